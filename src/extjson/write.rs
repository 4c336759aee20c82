//! BSON to text.

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use bson::{Bson, DateTime};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::REVISION_FIELD;

/// The last millisecond of the year 9999, which is as far as RFC 3339 goes.
const LAST_RFC3339_MILLIS: i64 = 253_402_300_799_999;

/// Writes a stored document as it is shown: everything but the server's own field.
///
/// # Errors
/// The document is malformed BSON; the text may have begun by then.
pub fn write_document(out: &mut Vec<u8>, document: &RawDocument) -> serde_json::Result<()> {
    serde_json::to_writer(out, &Shown(document))
}

/// A value in relaxed Extended JSON.
#[derive(Debug, Clone, Copy)]
pub struct ExtJson<'a>(pub RawBsonRef<'a>);

/// A stored document without the server's own field.
struct Shown<'a>(&'a RawDocument);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_members(self.0, serializer, |name| name != REVISION_FIELD)
    }
}

impl Serialize for ExtJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RawBsonRef::String(text) => serializer.serialize_str(text),
            RawBsonRef::Int32(number) => serializer.serialize_i32(number),
            RawBsonRef::Int64(number) => serializer.serialize_i64(number),
            RawBsonRef::Double(number) if number.is_finite() => serializer.serialize_f64(number),
            RawBsonRef::Double(number) => single(serializer, "$numberDouble", infinite(number)),
            RawBsonRef::Boolean(value) => serializer.serialize_bool(value),
            RawBsonRef::Null => serializer.serialize_unit(),
            RawBsonRef::Document(document) => serialize_members(document, serializer, |_| true),
            RawBsonRef::Array(array) => serialize_array(array, serializer),
            RawBsonRef::ObjectId(id) => single(serializer, "$oid", &id.to_hex()),
            RawBsonRef::DateTime(time) if (0..=LAST_RFC3339_MILLIS).contains(&time.timestamp_millis()) => {
                single(serializer, "$date", &rfc3339(time).map_err(S::Error::custom)?)
            }
            // What is rare goes through the library's own tree.
            rare => Bson::try_from(rare).map_err(S::Error::custom)?.into_relaxed_extjson().serialize(serializer),
        }
    }
}

fn serialize_members<S: Serializer>(
    document: &RawDocument,
    serializer: S,
    is_shown: impl Fn(&str) -> bool,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for member in document {
        let (name, value) = member.map_err(S::Error::custom)?;
        if is_shown(name.as_str()) {
            map.serialize_entry(name.as_str(), &ExtJson(value))?;
        }
    }
    map.end()
}

fn serialize_array<S: Serializer>(array: &RawArray, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for value in array {
        list.serialize_element(&ExtJson(value.map_err(S::Error::custom)?))?;
    }
    list.end()
}

fn single<S: Serializer>(serializer: S, name: &'static str, value: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

fn infinite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number.is_sign_negative() {
        "-Infinity"
    } else {
        "Infinity"
    }
}

fn rfc3339(time: DateTime) -> bson::error::Result<String> {
    time.try_to_rfc3339_string()
}
