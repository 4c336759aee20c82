//! What tells two states of one document apart: its entity tag, and what a client expects it to be.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument};

use crate::domain::documents::REVISION_FIELD;

/// One state of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Made by a write of this server: the write's own mark.
    Revision(ObjectId),
    /// Made by somebody else, who knows no revisions: what it holds.
    Content(EntityTag),
}

/// A strong entity tag, without its quotes (RFC 9110, section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

/// What a client says that it knows of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// It exists (`If-Match: *`).
    Exists,
    /// It is in one of these states (`If-Match`).
    IsOneOf(Vec<EntityTag>),
}

impl Version {
    /// The state that a stored document is in.
    pub fn of(document: &RawDocument) -> Self {
        if let Ok(Some(RawBsonRef::ObjectId(revision))) = document.get(REVISION_FIELD) {
            return Self::Revision(revision);
        }
        let hash = digest(&SHA256, document.as_bytes());
        Self::Content(EntityTag(format!("sha256-{}", URL_SAFE_NO_PAD.encode(hash))))
    }

    /// Its tag.
    pub fn tag(&self) -> EntityTag {
        match self {
            Self::Revision(revision) => EntityTag(revision.to_hex()),
            Self::Content(tag) => tag.clone(),
        }
    }
}

impl EntityTag {
    /// A tag that a client sent, without its quotes.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The revision that it stands for, if it is one.
    pub fn revision(&self) -> Option<ObjectId> {
        ObjectId::parse_str(&self.0).ok()
    }
}

impl std::fmt::Display for EntityTag {
    /// As it stands in a header, with its quotes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Precondition {
    /// Whether a document in this state is as expected.
    pub fn allows(&self, version: &Version) -> bool {
        match self {
            Self::None | Self::Exists => true,
            Self::IsOneOf(tags) => tags.contains(&version.tag()),
        }
    }

    /// Whether nothing is expected.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use bson::raw::RawDocumentBuf;

    use super::*;
    use crate::domain::new_id;

    #[test]
    fn a_revision_is_its_own_tag_and_everything_else_is_known_by_its_content() {
        let of = |document: bson::Document| Version::of(&RawDocumentBuf::try_from(&document).expect("BSON"));
        let revision = new_id();
        let written = of(doc! { "_id": 1, "a": 1, "_rev": revision });
        assert_eq!(written.tag().to_string(), format!("\"{}\"", revision.to_hex()));
        assert_eq!(written.tag().revision(), Some(revision));
        let (one, other) = (of(doc! { "_id": 1, "a": 1 }), of(doc! { "_id": 1, "a": 2 }));
        assert_ne!(one.tag(), other.tag());
        assert_eq!(one.tag(), of(doc! { "_id": 1, "a": 1 }).tag());
        assert_eq!(one.tag().revision(), None);
        assert!(matches!(of(doc! { "_rev": 7 }), Version::Content(_)), "a field of that name which is not ours");
    }
}
