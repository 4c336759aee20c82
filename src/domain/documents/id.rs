//! `_id`, which identifies a document.

use bson::Bson;

use crate::domain::{Invalid, new_id};

/// The longest `_id` that is a string, in characters.
const ID_MAX_CHARS: usize = 128;

/// Identifies a document within its collection.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentId(Bson);

impl DocumentId {
    /// Generates an id for a document that came without one.
    pub fn generate() -> Self {
        Self(new_id().into())
    }

    /// Checks the `_id` of a new document: a string of 1 to 128 characters, an integer, or an ObjectId.
    pub fn of_new(value: Bson) -> Result<Self, Invalid> {
        let refused = match &value {
            Bson::String(text) if text.is_empty() => Some(Invalid::new("too_short", "must not be empty")),
            Bson::String(text) if text.chars().count() > ID_MAX_CHARS => {
                Some(Invalid::new("too_long", format!("must have at most {ID_MAX_CHARS} characters")))
            }
            // A path cannot contain a NUL, so such a document could never be reached.
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

    /// Wraps the `_id` of a stored document, whatever it is.
    pub fn of_stored(value: Bson) -> Self {
        Self(value)
    }

    /// The value.
    pub fn as_bson(&self) -> &Bson {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
