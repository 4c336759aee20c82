//! Tenants' documents: their ids, their versions, and how patches change them.

mod id;
mod patch;
mod version;

use bson::Bson;
use bson::oid::ObjectId;
use bson::raw::{CStr, RawBson, RawDocument, RawDocumentBuf, cstr};

pub use id::DocumentId;
pub use patch::MergePatch;
pub use version::{EntityTag, Precondition, Version};

use super::{Amount, Invalid, new_id};

/// The largest document that MongoDB stores, in bytes of BSON (`maxBsonObjectSize`).
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// The server's own top-level field: it changes with every write of the document and is never shown.
pub const REVISION_FIELD: &str = "_rev";

/// MongoDB's type names (its manual, `$type`), including the deprecated ones, which old documents may hold. `number`
/// stands for four of them.
#[rustfmt::skip]
pub(super) const BSON_TYPES: [&str; 22] = [
    "array", "binData", "bool", "date", "dbPointer", "decimal", "double", "int", "javascript", "javascriptWithScope",
    "long", "maxKey", "minKey", "null", "number", "object", "objectId", "regex", "string", "symbol", "timestamp",
    "undefined",
];

/// [`REVISION_FIELD`] as a raw BSON key.
const REVISION_KEY: &CStr = cstr!("_rev");

/// A document to be stored: `_id` first, the server's own field last.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Its id.
    pub id: DocumentId,
    /// Identifies this write; no other has the same.
    pub revision: ObjectId,
    /// The complete document.
    pub raw: RawDocumentBuf,
}

impl NewDocument {
    /// Assembles a document with a new revision.
    pub fn new(id: DocumentId, fields: &RawDocument) -> Result<Self, Invalid> {
        let revision = new_id();
        let mut raw = RawDocumentBuf::new();
        raw.append(cstr!("_id"), id.to_raw());
        let raw = with_members(raw, fields);
        let raw = raw.map(|mut raw| {
            raw.append(REVISION_KEY, revision);
            raw
        });
        match raw {
            Ok(raw) if raw.as_bytes().len() <= MAX_DOCUMENT_BYTES => Ok(Self { id, revision, raw }),
            Ok(_) | Err(_) => Err(too_large()),
        }
    }

    /// What it adds if it replaces nothing.
    pub fn amount(&self) -> Amount {
        Amount::of_document(u64::try_from(self.raw.as_bytes().len()).unwrap_or(u64::MAX))
    }

    /// The tag of this version.
    pub fn tag(&self) -> EntityTag {
        Version::Revision(self.revision).tag()
    }
}

/// The refusal of a document larger than [`MAX_DOCUMENT_BYTES`].
pub fn too_large() -> Invalid {
    let why = format!("the document is larger than the {MAX_DOCUMENT_BYTES} bytes of BSON that MongoDB stores");
    Invalid::new("document_too_large", why)
}

/// Appends all members of another document, as bytes.
fn with_members(document: RawDocumentBuf, members: &RawDocument) -> bson::error::Result<RawDocumentBuf> {
    let mut bytes = document.into_bytes();
    // A document is its length (4 bytes), its members, and a NUL.
    bytes.pop();
    bytes.extend_from_slice(members.as_bytes().get(4..).unwrap_or(&[0]));
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_le_bytes();
    bytes.splice(..4, length);
    RawDocumentBuf::from_bytes(bytes)
}

/// The members of a stored document, without its `_id` and the server's own field.
pub fn own_members(document: &RawDocument) -> bson::error::Result<bson::Document> {
    let mut own = bson::Document::new();
    for member in document {
        let (name, value) = member?;
        if name.as_str() != "_id" && name.as_str() != REVISION_FIELD {
            own.insert(name.as_str(), Bson::try_from(value)?);
        }
    }
    Ok(own)
}

impl DocumentId {
    /// As raw BSON.
    pub fn to_raw(&self) -> RawBson {
        // Only keys with a NUL cannot be converted, and an id was read from BSON or has none.
        RawBson::try_from(self.as_bson().clone()).unwrap_or(RawBson::Null)
    }
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;

    #[test]
    fn a_new_document_has_its_id_first_and_its_revision_last() {
        let fields = RawDocumentBuf::try_from(&doc! { "b": 1, "a": { "_rev": 2 } }).expect("BSON");
        let id = DocumentId::of_new("x".into()).expect("a good id");
        let new = NewDocument::new(id, &fields).expect("small");
        let stored = Document::try_from(new.raw.clone()).expect("BSON");
        assert_eq!(stored, doc! { "_id": "x", "b": 1, "a": { "_rev": 2 }, "_rev": new.revision });
        assert_eq!(stored.keys().collect::<Vec<_>>(), ["_id", "b", "a", "_rev"]);
        assert_eq!(own_members(&new.raw).expect("BSON"), doc! { "b": 1, "a": { "_rev": 2 } });
    }

    #[test]
    fn a_document_that_mongodb_cannot_store_is_refused() {
        let fields = |bytes: usize| RawDocumentBuf::try_from(&doc! { "a": "x".repeat(bytes) }).expect("BSON");
        let new = |bytes| NewDocument::new(DocumentId::generate(), &fields(bytes));
        assert_eq!(new(MAX_DOCUMENT_BYTES).expect_err("too large").code, "document_too_large");
        assert!(new(MAX_DOCUMENT_BYTES - 100).is_ok());
    }
}
