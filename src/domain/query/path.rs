//! Field paths: names joined by dots, as MongoDB reads them.

use crate::domain::Invalid;
use crate::domain::documents::REVISION_FIELD;

/// The most names in one path. MongoDB refuses 200 in a filter and 201 in a sort, and stores no document that deep.
pub const SEGMENTS_MAX: usize = 100;

/// A valid path in MongoDB: no empty name, none that begins with `$`, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// Parses a path within a value, where all names are the client's own.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("too_short", "must name a field"));
        }
        if text.contains('\0') {
            return Err(Invalid::new("invalid_characters", "must not contain a NUL character"));
        }
        if text.split('.').any(str::is_empty) {
            return Err(Invalid::new("invalid_value", "must not have an empty name before, between or after its dots"));
        }
        if text.split('.').any(|segment| segment.starts_with('$')) {
            return Err(Invalid::new("invalid_characters", "must not have a name that begins with '$'"));
        }
        if text.split('.').count() > SEGMENTS_MAX {
            return Err(Invalid::new("too_deep", format!("must have at most {SEGMENTS_MAX} names")));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses a path from the top of a document, where [`REVISION_FIELD`] is refused.
    pub fn parse_from_top(text: &str) -> Result<Self, Invalid> {
        let path = Self::parse(text)?;
        if path.segments().next() == Some(REVISION_FIELD) {
            return Err(Invalid::new(
                "reserved_field",
                format!("must not name {REVISION_FIELD}, which is the server's own"),
            ));
        }
        Ok(path)
    }

    /// The path of a document's identifier.
    pub fn id() -> Self {
        Self("_id".to_owned())
    }

    /// The path as MongoDB reads it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The common prefix of two paths; `None` when they differ in the first name.
    pub(super) fn common_with(&self, other: &Self) -> Option<Self> {
        let both = self.segments().zip(other.segments()).take_while(|(one, other)| one == other);
        let common: Vec<&str> = both.map(|(segment, _)| segment).collect();
        if common.is_empty() { None } else { Some(Self(common.join("."))) }
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_has_its_code() {
        let code = |text: &str| FieldPath::parse_from_top(text).err().map(|invalid| invalid.code);
        assert_eq!(code(""), Some("too_short"));
        for empty in [".", "a.", ".a", "a..b"] {
            assert_eq!(code(empty), Some("invalid_value"), "{empty}");
        }
        assert_eq!(code("a\0"), Some("invalid_characters"));
        assert_eq!(code("$a"), Some("invalid_characters"));
        assert_eq!(code("a.$b"), Some("invalid_characters"));
        assert_eq!(code("a.b$"), None);
        assert_eq!(code("_rev"), Some("reserved_field"));
        assert_eq!(code("_rev.a"), Some("reserved_field"));
        assert_eq!(code("a._rev"), None);
        assert_eq!(code("_revision"), None);
        assert_eq!(code(&["a"; SEGMENTS_MAX].join(".")), None);
        assert_eq!(code(&["a"; SEGMENTS_MAX + 1].join(".")), Some("too_deep"));
    }

    #[test]
    fn below_a_value_no_name_is_hidden() {
        assert!(FieldPath::parse("_rev").is_ok());
    }
}
