//! Parses keyword values: numbers, counts, and values to compare with.

use bson::{Bson, Document};

use super::Invalid;

/// `true` or `false`.
pub(super) fn boolean(value: &Bson) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::new("wrong_type", "must be true or false"))
}

/// A string.
pub(super) fn text(value: &Bson) -> Result<&str, Invalid> {
    value.as_str().ok_or_else(|| Invalid::new("wrong_type", "must be a string"))
}

/// A list; `of` describes its items.
pub(super) fn list<'a>(value: &'a Bson, of: &str) -> Result<&'a [Bson], Invalid> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| Invalid::new("wrong_type", format!("must be a list of {of}")))
}

/// A non-empty list.
pub(super) fn filled_list<'a>(value: &'a Bson, of: &str) -> Result<&'a [Bson], Invalid> {
    let items = list(value, of)?;
    if items.is_empty() { Err(Invalid::new("invalid_value", "must not be empty")) } else { Ok(items) }
}

/// An object.
pub(super) fn object(value: &Bson) -> Result<&Document, Invalid> {
    value.as_document().ok_or_else(|| Invalid::new("wrong_type", "must be an object"))
}

/// A finite number in its BSON type, so that no digit is lost.
pub(super) fn number(value: &Bson) -> Result<Bson, Invalid> {
    let read = as_f64(value).ok_or_else(|| Invalid::new("wrong_type", "must be a number"))?;
    if read.is_finite() { Ok(value.clone()) } else { Err(Invalid::new("invalid_value", "must be a finite number")) }
}

/// A finite number above zero.
pub(super) fn positive_number(value: &Bson) -> Result<Bson, Invalid> {
    let number = number(value)?;
    if as_f64(&number).is_some_and(|read| read > 0.0) {
        Ok(number)
    } else {
        Err(Invalid::new("invalid_value", "must be greater than 0"))
    }
}

/// A count: a whole number from zero up, even if written as `3.0`.
pub(super) fn count(value: &Bson) -> Result<i64, Invalid> {
    let whole = match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => whole(*number),
        _ => return Err(Invalid::new("wrong_type", "must be a whole number")),
    };
    whole
        .filter(|number| *number >= 0)
        .ok_or_else(|| Invalid::new("invalid_value", "must be a whole number that is not negative"))
}

/// Whether every multiple of this number is an integer.
pub(super) fn is_whole(value: &Bson) -> bool {
    match value {
        Bson::Int32(_) | Bson::Int64(_) => true,
        Bson::Double(number) => number.fract() == 0.0,
        _ => false,
    }
}

/// A text that is equal for values that MongoDB's `enum` treats as equal: numbers by value, whatever their type, and a
/// document's members in any order.
pub(super) fn comparable(value: &Bson) -> String {
    match value {
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => comparable_number(value),
        Bson::Array(items) => format!("[{}]", items.iter().map(comparable).collect::<Vec<_>>().join(",")),
        Bson::Document(members) => {
            let mut texts: Vec<String> =
                members.iter().map(|(name, value)| format!("{name:?}:{}", comparable(value))).collect();
            texts.sort_unstable();
            format!("{{{}}}", texts.join(","))
        }
        other => format!("{other:?}"),
    }
}

/// Whether the value has a NUL where BSON would end a name or a regular expression.
pub(super) fn has_nul(value: &Bson) -> bool {
    match value {
        Bson::Array(items) => items.iter().any(has_nul),
        Bson::Document(members) => members_have_nul(members),
        Bson::JavaScriptCodeWithScope(code) => members_have_nul(&code.scope),
        Bson::RegularExpression(regex) => {
            regex.pattern.as_str().contains('\0') || regex.options.as_str().contains('\0')
        }
        _ => false,
    }
}

fn members_have_nul(members: &Document) -> bool {
    members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
}

fn comparable_number(value: &Bson) -> String {
    let integer = match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => as_f64(value).and_then(whole),
    };
    integer.map_or_else(|| value.to_string(), |number| number.to_string())
}

/// The exact whole number of a float, if 64-bit floats can distinguish it from its neighbours.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked, and the fraction is zero")]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[expect(clippy::cast_precision_loss, reason = "only the sign and infinity matter, and rounding keeps both")]
fn as_f64(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(number) => Some(f64::from(*number)),
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => Some(*number),
        Bson::Decimal128(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
