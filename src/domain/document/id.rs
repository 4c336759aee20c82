//! `_id`: what names a document, in JSON and in a path.

use bson::Bson;
use bson::oid::ObjectId;

use crate::domain::{Invalid, new_id};
use crate::extjson::{read_value, write_value};

/// The longest `_id` that is a string, in characters.
const ID_MAX_CHARS: usize = 128;

/// What names a document within its collection.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentId(Bson);

impl DocumentId {
    /// A new one, for a document that came without.
    #[must_use]
    pub fn generate() -> Self {
        Self(new_id().into())
    }

    /// The `_id` of a document that is to be created: a string of 1 to 128 characters, an integer, or an ObjectId.
    pub fn of_new(value: Bson) -> Result<Self, Invalid> {
        let refused = match &value {
            Bson::String(text) if text.is_empty() => Some(Invalid::new("too_short", "must not be empty")),
            Bson::String(text) if text.chars().count() > ID_MAX_CHARS => {
                Some(Invalid::new("too_long", format!("must have at most {ID_MAX_CHARS} characters")))
            }
            // A path is text without a NUL, so such a document could not be reached again.
            Bson::String(text) if text.contains('\0') => {
                Some(Invalid::new("invalid_characters", "must not contain a NUL character"))
            }
            Bson::ObjectId(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::String(_) => None,
            _ => Some(Invalid::new(
                "wrong_type",
                format!("must be a string of 1 to {ID_MAX_CHARS} characters, an integer, or {{\"$oid\": …}}"),
            )),
        };
        refused.map_or(Ok(Self(value)), Err)
    }

    /// The `_id` of a stored document, whatever it is.
    #[must_use]
    pub fn of_stored(value: Bson) -> Self {
        Self(value)
    }

    /// Reads an id as it stands in a path: 24 hex digits are an ObjectId, digits (with a `-`) an integer, what begins with
    /// `"` or `{` is Extended JSON, and all else a string as it is.
    ///
    /// # Errors
    /// It begins like Extended JSON and is none, or no `_id` can be so.
    pub fn from_path(text: &str) -> Result<Self, Invalid> {
        if text.contains('\0') {
            return Err(Invalid::new("invalid_characters", "must not contain a NUL character"));
        }
        if text.starts_with(['"', '{']) {
            let value = read_value(text.as_bytes()).ok().filter(is_possible);
            return value.map(Self).ok_or_else(|| {
                let expected = "begins like Extended JSON and is no value that an _id can have";
                Invalid::new("invalid_extended_json", expected)
            });
        }
        if text.len() == 24
            && let Ok(id) = ObjectId::parse_str(text)
        {
            return Ok(Self(id.into()));
        }
        // Only as an integer is written: "007" and "+7" are strings.
        let integer = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        Ok(Self(integer.map_or_else(|| Bson::String(text.to_owned()), number)))
    }

    /// The id as [`Self::from_path`] reads it, not percent-encoded yet.
    #[must_use]
    pub fn to_path(&self) -> String {
        match &self.0 {
            Bson::ObjectId(id) => id.to_hex(),
            Bson::Int32(number) => number.to_string(),
            Bson::Int64(number) => number.to_string(),
            // Dots alone mean another place in a path, also percent-encoded.
            Bson::String(text) if !matches!(text.as_str(), "" | "." | "..") && self.reads_as(text) => text.clone(),
            _ => {
                let mut text = Vec::new();
                // An id was read from BSON or from JSON, so it can be written as both.
                let _written = write_value(&mut text, self.to_raw().as_raw_bson_ref());
                String::from_utf8(text).unwrap_or_default()
            }
        }
    }

    /// The value.
    #[must_use]
    pub fn as_bson(&self) -> &Bson {
        &self.0
    }

    fn reads_as(&self, text: &str) -> bool {
        Self::from_path(text).is_ok_and(|read| read == *self)
    }
}

/// An integer in the smallest type that holds it, as JSON is read.
fn number(number: i64) -> Bson {
    i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32)
}

/// Whether MongoDB accepts such a value as `_id`.
fn is_possible(value: &Bson) -> bool {
    !matches!(value, Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_says_which_type_an_id_has() {
        let read = |text: &str| DocumentId::from_path(text).map(|id| id.0);
        let oid = ObjectId::parse_str("691f2a3b4c5d6e7f80910a1b").expect("an ObjectId");
        assert_eq!(read("691f2a3b4c5d6e7f80910a1b"), Ok(oid.into()));
        assert_eq!(read("-7"), Ok(Bson::Int32(-7)));
        assert_eq!(read("9007199254740993"), Ok(Bson::Int64(9_007_199_254_740_993)));
        assert_eq!(read("007"), Ok("007".into()));
        assert_eq!(read("a b"), Ok("a b".into()));
        assert_eq!(read("\"7\""), Ok("7".into()));
        assert_eq!(read("{\"$oid\":\"691f2a3b4c5d6e7f80910a1b\"}"), Ok(oid.into()));
        for broken in
            ["\"", "{", "{\"$oid\":1}", "\"a\" 1", "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\"}}"]
        {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn new_ids_are_strings_integers_and_object_ids() {
        let code = |value: Bson| DocumentId::of_new(value).err().map(|invalid| invalid.code);
        assert_eq!(code("x".into()), None);
        assert_eq!(code("é".repeat(ID_MAX_CHARS).into()), None);
        assert_eq!(code("é".repeat(ID_MAX_CHARS + 1).into()), Some("too_long"));
        assert_eq!(code("".into()), Some("too_short"));
        assert_eq!(code("a\0".into()), Some("invalid_characters"));
        assert_eq!(code(Bson::Double(1.0)), Some("wrong_type"));
        assert_eq!(code(Bson::Null), Some("wrong_type"));
    }

    proptest! {
        #[test]
        fn every_id_is_found_again_by_its_path(
            id in prop_oneof![
                any::<i64>().prop_map(number),
                any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
                "[0-9a-fA-F\"{}./%+-]{1,26}".prop_map(Bson::String),
                any::<String>().prop_filter("no NUL", |text| !text.contains('\0')).prop_map(Bson::String),
            ]
        ) {
            let id = DocumentId(id);
            prop_assert_eq!(DocumentId::from_path(&id.to_path()), Ok(id));
        }
    }
}
