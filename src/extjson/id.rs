//! `_id` as it appears in a URL path.

use bson::Bson;
use bson::oid::ObjectId;

use super::{read_value, write_value};
use crate::domain::Invalid;
use crate::domain::documents::DocumentId;

impl DocumentId {
    /// Reads an id as it stands in a path: 24 hex digits are an ObjectId, digits (with a `-`) an integer, what begins with
    /// `"` or `{` is Extended JSON, and all else a string as it is.
    pub fn from_path(text: &str) -> Result<Self, Invalid> {
        if text.contains('\0') {
            return Err(Invalid::new("invalid_characters", "must not contain a NUL character"));
        }
        if text.starts_with(['"', '{']) {
            let value = read_value(text.as_bytes()).ok().filter(is_possible);
            return value.map(Self::of_stored).ok_or_else(|| {
                let expected = "begins like Extended JSON and is no value that an _id can have";
                Invalid::new("invalid_extended_json", expected)
            });
        }
        if text.len() == 24
            && let Ok(id) = ObjectId::parse_str(text)
        {
            return Ok(Self::of_stored(id.into()));
        }
        // Canonical integers only: "007" and "+7" are strings.
        let integer = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        Ok(Self::of_stored(integer.map_or_else(|| Bson::String(text.to_owned()), number)))
    }

    /// The inverse of [`Self::from_path`], before percent-encoding.
    pub fn to_path(&self) -> String {
        match self.as_bson() {
            Bson::ObjectId(id) => id.to_hex(),
            // A segment of dots is a relative path, even percent-encoded.
            Bson::String(text) if !matches!(text.as_str(), "" | "." | "..") && self.reads_as(text) => text.clone(),
            _ => {
                let mut text = Vec::new();
                // An id came from BSON or JSON, so writing it cannot fail.
                let _written = write_value(&mut text, self.to_raw().as_raw_bson_ref());
                String::from_utf8(text).unwrap_or_default()
            }
        }
    }

    fn reads_as(&self, text: &str) -> bool {
        Self::from_path(text).is_ok_and(|read| read == *self)
    }
}

/// An integer in the smallest type that holds it, as in JSON.
fn number(number: i64) -> Bson {
    i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32)
}

/// Whether MongoDB accepts this value as `_id`.
fn is_possible(value: &Bson) -> bool {
    !matches!(value, Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_says_which_type_an_id_has() {
        let read = |text: &str| DocumentId::from_path(text).map(|id| id.as_bson().clone());
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
            let id = DocumentId::of_stored(id);
            prop_assert_eq!(DocumentId::from_path(&id.to_path()), Ok(id));
        }
    }
}
