//! Regular expressions: what can be told of them before MongoDB compiles them.

use super::{Invalid, REVISION};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 500;

/// What PCRE, which MongoDB uses, reads in another way than JSON Schema means it, with what to do about it.
/// The middle tells whether it is so inside of a class of characters (`[…]`), too.
const FOREIGN: [(&str, bool, &str); 4] = [
    ("(*", false, "must not begin a group with '(*'"),
    ("(?#", false, "must not hold a comment"),
    ("\\Q", true, "must not use \\Q"),
    ("\\u", true, "must name characters as \\x{00e9} instead of \\u00e9"),
];

/// Reads a pattern. Whether it is a regular expression in all its parts is for MongoDB to say.
pub(super) fn pattern(text: &str) -> Result<(), Invalid> {
    let refuse = |detail: String| Err(Invalid::new("invalid_value", detail));
    if text.len() > MAX_BYTES {
        return refuse(format!("must have at most {MAX_BYTES} bytes"));
    }
    if text.contains('\0') {
        return refuse("must not contain a NUL character".to_owned());
    }
    match unfold(text) {
        Ok(()) => Ok(()),
        Err(detail) => refuse(detail.to_owned()),
    }
}

/// The same pattern for the names of the whole document's members, made never to match the server's own field.
///
/// The pattern still matches anywhere in a name: what comes before is skipped as shortly as possible, and its own
/// anchors see the whole name. No group is added that is counted, so that `\1` means what it meant. [`pattern`] has
/// seen that its groups are closed: none can end the one around it.
pub(super) fn sparing_revision(text: &str) -> String {
    format!(r"\A(?!{REVISION}\z)(?s:.*?)(?:{text})")
}

/// Looks at each construct once: groups and classes must be closed, and none may be foreign.
fn unfold(text: &str) -> Result<(), &'static str> {
    let mut rest = text;
    let mut open_groups = 0_usize;
    let mut in_class = false;
    while let Some(first) = rest.chars().next() {
        if let Some(detail) = foreign(rest, in_class) {
            return Err(detail);
        }
        let mut length = first.len_utf8();
        match first {
            '\\' => length += rest.chars().nth(1).ok_or("must not end with a backslash")?.len_utf8(),
            ']' => in_class = false,
            _ if in_class => {}
            '[' => (in_class, length) = (true, class_opening(rest)),
            '(' => open_groups += 1,
            ')' => open_groups = open_groups.checked_sub(1).ok_or("must not close a group that is not open")?,
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if open_groups == 0 && !in_class { Ok(()) } else { Err("must close each group and each class of characters") }
}

/// Why what stands at the beginning is refused, if it is.
fn foreign(rest: &str, in_class: bool) -> Option<&'static str> {
    let begins = |foreign: &&(&str, bool, &'static str)| rest.starts_with(foreign.0) && (foreign.1 || !in_class);
    if let Some((_, _, detail)) = FOREIGN.iter().find(begins) {
        return Some(detail);
    }
    if in_class && ["[:", "[.", "[="].iter().any(|opening| rest.starts_with(opening)) {
        return Some("must not name a class of characters inside of another");
    }
    (!in_class && sets_extended(rest)).then_some("must not use the option x")
}

/// How many bytes open the class at the beginning. A `]` that comes first stands for itself.
fn class_opening(rest: &str) -> usize {
    ["[^]", "[]", "[^"].iter().find(|opening| rest.starts_with(**opening)).map_or(1, |opening| opening.len())
}

/// Whether the group at the beginning turns on the option that makes a `#` begin a comment.
fn sets_extended(text: &str) -> bool {
    text.strip_prefix("(?")
        .and_then(|rest| rest.split([':', ')', '-']).next())
        .is_some_and(|flags| flags.contains('x') && flags.chars().all(|c| c.is_ascii_alphabetic() || c == '^'))
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn ordinary_patterns_pass() {
        for text in [
            "", "^a$", "(a)|b\\1", "[()]", "[]()]", "[^]]", "\\(\\)", "[\\]]", "(?<n>a)", "(?i)a", "(?-x)a", "\\\\Q",
            "(?=x)",
        ] {
            assert!(pattern(text).is_ok(), "{text}");
        }
        assert!(pattern(&"a".repeat(500)).is_ok());
    }

    #[test]
    fn what_would_not_stay_within_a_group_is_refused() {
        for text in [
            "(",
            ")",
            "a)|(b",
            "[",
            "[]",
            "[^]",
            "\\",
            "a\0",
            "(?#a)",
            "(*UTF8)a",
            "\\Qa",
            "[\\Q]",
            "\\u00e9",
            "(?x)a",
            "(?ix:a)",
            "[[:alpha:]]",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
        assert!(pattern(&"a".repeat(501)).is_err());
    }
}
