//! Finds integers that fit no integer type. `serde_json` silently reads such a literal as the nearest double; here it
//! is found again, so that `9223372036854775808` is refused instead of stored as another number.

/// From here on, in either direction, a double may come from an integer literal that does not fit in 64 bits.
pub(super) const SUSPICIOUS_FROM: f64 = 9_223_372_036_854_775_808.0;

/// For every number of at least [`SUSPICIOUS_FROM`] in a valid JSON text, in order: whether it is an integer literal,
/// without a fraction or an exponent.
pub(super) fn suspicious_literals(text: &[u8]) -> Vec<bool> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = match first {
            b'"' => after_string(after),
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().take_while(|byte| is_number_byte(**byte)).count();
                let (literal, after) = rest.split_at(length);
                found.extend(std::str::from_utf8(literal).ok().and_then(is_lost_integer));
                after
            }
            _ => after,
        };
    }
    found
}

/// Whether a number is an integer that does not fit in 64 bits; `None` if it is not suspicious.
fn is_lost_integer(literal: &str) -> Option<bool> {
    let is_integer = !literal.contains(['.', 'e', 'E']);
    let is_suspicious = literal.parse::<f64>().is_ok_and(|value| value.abs() >= SUSPICIOUS_FROM);
    // The smallest 64-bit integer is valid.
    (is_suspicious && !(is_integer && literal.parse::<i64>().is_ok())).then_some(is_integer)
}

fn is_number_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The rest of the text after a string whose opening quote was read.
fn after_string(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
            [] => return rest,
        };
    }
}
