//! The order of a listing: sort fields, with the identifier as the final tie-breaker.

use std::fmt;

use bson::Document;

use super::path::FieldPath;
use crate::domain::Invalid;

/// The most fields a caller may sort by, not counting `_id`, which is always included.
pub const SORT_KEYS_MAX: usize = 8;

/// The unique field, and therefore the last of each order.
pub(super) const ID: &str = "_id";

/// The direction of a sort field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// One field of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SortKey {
    pub(super) path: FieldPath,
    pub(super) direction: Direction,
}

/// A total order of documents. The default is by `_id`. As text it is what [`Sort::parse`] reads, `_id` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    keys: Vec<SortKey>,
}

impl Sort {
    /// Parses `-created,name`: paths separated by commas, with a `-` for descending ones.
    ///
    /// # Errors
    /// No fields or too many; a repeated field; a field after `_id`; a path that is invalid or has an index (an array's
    /// elements have no place of their own in an order); the server's own field.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut sort = Self { keys: Vec::new() };
        for part in text.split(',') {
            sort.push(SortKey::parse(part)?)?;
        }
        Ok(sort.with_id_last())
    }

    /// The sort for MongoDB.
    pub fn to_document(&self) -> Document {
        self.keys.iter().map(|key| (key.path.to_string(), key.direction.number().into())).collect()
    }

    pub(super) fn keys(&self) -> &[SortKey] {
        &self.keys
    }

    fn push(&mut self, key: SortKey) -> Result<(), Invalid> {
        if self.keys.iter().any(|known| known.path == key.path) {
            return Err(Invalid::new("repeated", format!("must name {} only once", key.path)));
        }
        if self.ends_with_id() {
            return Err(Invalid::new("invalid_value", "must not name a field after _id, which no two documents share"));
        }
        if self.keys.len() == SORT_KEYS_MAX && !key.is_id() {
            return Err(Invalid::new("too_many", format!("must name at most {SORT_KEYS_MAX} fields")));
        }
        self.keys.push(key);
        Ok(())
    }

    fn ends_with_id(&self) -> bool {
        self.keys.last().is_some_and(SortKey::is_id)
    }

    fn with_id_last(mut self) -> Self {
        if !self.ends_with_id() {
            self.keys.push(SortKey::id());
        }
        self
    }
}

impl Default for Sort {
    fn default() -> Self {
        Self { keys: vec![SortKey::id()] }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.keys.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let sign = if key.direction == Direction::Descending { "-" } else { "" };
            write!(f, "{comma}{sign}{}", key.path)?;
        }
        Ok(())
    }
}

impl SortKey {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let (direction, path) = match text.strip_prefix('-') {
            Some(path) => (Direction::Descending, path),
            None => (Direction::Ascending, text),
        };
        let path = FieldPath::parse_from_top(path)?;
        if path.segments().any(|segment| segment.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(Invalid::new("invalid_value", "must not have a name that is a number"));
        }
        Ok(Self { path, direction })
    }

    fn id() -> Self {
        Self { path: FieldPath::id(), direction: Direction::Ascending }
    }

    pub(super) fn is_id(&self) -> bool {
        self.path.as_str() == ID
    }
}

impl Direction {
    fn number(self) -> i32 {
        match self {
            Self::Ascending => 1,
            Self::Descending => -1,
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        Sort::parse(text).err().map(|invalid| invalid.code)
    }

    #[test]
    fn the_identifier_is_the_last_word() {
        let sort = Sort::parse("-created,name.last").expect("a sort");
        assert_eq!(sort.to_document(), doc! { "created": -1, "name.last": 1, "_id": 1 });
        assert_eq!(sort.to_string(), "-created,name.last,_id");
        assert_eq!(Sort::parse("a,-_id").expect("a sort").to_document(), doc! { "a": 1, "_id": -1 });
        assert_eq!(Sort::default().to_document(), doc! { "_id": 1 });
    }

    #[test]
    fn a_sort_is_what_its_text_reads_as() {
        for text in ["a", "-a,b", "-_id", "--a", "a,b,c,d,e,f,g,h"] {
            let sort = Sort::parse(text).expect("a sort");
            assert_eq!(Sort::parse(&sort.to_string()).expect("a sort"), sort);
        }
    }

    #[test]
    fn each_broken_rule_has_its_code() {
        assert_eq!(code(""), Some("too_short"));
        assert_eq!(code("-"), Some("too_short"));
        assert_eq!(code("a,"), Some("too_short"));
        assert_eq!(code("a,-a"), Some("repeated"));
        assert_eq!(code("_id,a"), Some("invalid_value"));
        assert_eq!(code("a.0"), Some("invalid_value"));
        assert_eq!(code("0"), Some("invalid_value"));
        assert_eq!(code("a.0b"), None);
        assert_eq!(code("-_rev"), Some("reserved_field"));
        assert_eq!(code("$natural"), Some("invalid_characters"));
        assert_eq!(code("a,b,c,d,e,f,g,h"), None);
        assert_eq!(code("a,b,c,d,e,f,g,h,_id"), None);
        assert_eq!(code("a,b,c,d,e,f,g,h,i"), Some("too_many"));
    }
}
