//! Writes BSON as text, by hand rather than through `serde`, because this takes most of an export's time.

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use bson::{Bson, DateTime};

use crate::domain::documents::REVISION_FIELD;

/// The last millisecond of the year 9999, where RFC 3339 ends.
const LAST_RFC3339_MILLIS: i64 = 253_402_300_799_999;

/// Why BSON could not be written; part of the text may have been.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is malformed.
    #[error("the document is malformed BSON")]
    Bson(#[from] bson::error::Error),
    /// A value has no JSON form.
    #[error("a value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Writes a stored document as shown to clients: everything but the server's own field.
pub fn write_document(out: &mut Vec<u8>, document: &RawDocument) -> Result<(), WriteError> {
    write_members(out, document, |name| name != REVISION_FIELD)
}

/// Writes a value in relaxed Extended JSON.
pub fn write_value(out: &mut Vec<u8>, value: RawBsonRef<'_>) -> Result<(), WriteError> {
    match value {
        RawBsonRef::String(text) => write_text(out, text)?,
        RawBsonRef::Int32(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        RawBsonRef::Int64(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
        RawBsonRef::Double(number) if number.is_finite() => serde_json::to_writer(out, &number)?,
        RawBsonRef::Double(number) => write_typed(out, "$numberDouble", infinite(number).as_bytes()),
        RawBsonRef::Boolean(true) => out.extend_from_slice(b"true"),
        RawBsonRef::Boolean(false) => out.extend_from_slice(b"false"),
        RawBsonRef::Null => out.extend_from_slice(b"null"),
        RawBsonRef::Document(document) => write_members(out, document, |_| true)?,
        RawBsonRef::Array(array) => write_array(out, array)?,
        RawBsonRef::ObjectId(id) => {
            let mut digits = [0; 24];
            // Twelve bytes always make 24 digits.
            let _fits = hex::encode_to_slice(id.bytes(), &mut digits);
            write_typed(out, "$oid", &digits);
        }
        RawBsonRef::DateTime(time) if is_rfc3339(time) => {
            write_typed(out, "$date", time.try_to_rfc3339_string()?.as_bytes());
        }
        // Not through the library, which would write every later time as the last one of the year 9999.
        RawBsonRef::DateTime(time) => {
            out.extend_from_slice(b"{\"$date\":");
            write_typed(out, "$numberLong", itoa::Buffer::new().format(time.timestamp_millis()).as_bytes());
            out.push(b'}');
        }
        // Rare types go through the library's own tree.
        rare => serde_json::to_writer(out, &Bson::try_from(rare)?.into_relaxed_extjson())?,
    }
    Ok(())
}

fn write_members(out: &mut Vec<u8>, document: &RawDocument, is_shown: impl Fn(&str) -> bool) -> Result<(), WriteError> {
    let mut before = b'{';
    for member in document {
        let (name, value) = member?;
        if is_shown(name.as_str()) {
            out.push(before);
            before = b',';
            write_text(out, name.as_str())?;
            out.push(b':');
            write_value(out, value)?;
        }
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn write_array(out: &mut Vec<u8>, array: &RawArray) -> Result<(), WriteError> {
    out.push(b'[');
    let mut is_first = true;
    for value in array {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        write_value(out, value?)?;
    }
    out.push(b']');
    Ok(())
}

/// Writes a quoted text. Most texts need no escapes, and checking that is far faster than looking for each.
fn write_text(out: &mut Vec<u8>, text: &str) -> Result<(), WriteError> {
    #[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler looks at many bytes at once")]
    let is_plain =
        text.bytes().fold(true, |is_plain, byte| is_plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text)?;
    }
    Ok(())
}

/// Writes `{"$type":"value"}`, for a value that needs no escapes.
fn write_typed(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\"}");
}

fn is_rfc3339(time: DateTime) -> bool {
    (0..=LAST_RFC3339_MILLIS).contains(&time.timestamp_millis())
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
