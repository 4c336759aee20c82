//! Versions of a document: its entity tag, and what a client expects it to be.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument};

use crate::domain::documents::REVISION_FIELD;

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// Written by this server: the revision of the write.
    Revision(ObjectId),
    /// Written by another program, which knows no revisions: its content.
    Content(EntityTag),
}

/// A strong entity tag, without its quotes (RFC 9110, section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag(String);

/// What a client expects of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// It exists (`If-Match: *`).
    Exists,
    /// It has one of these versions (`If-Match`).
    IsOneOf(Vec<EntityTag>),
}

impl Version {
    /// The version of a stored document.
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
    /// Wraps a tag that a client sent, without its quotes.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The revision that it stands for, if any.
    pub fn revision(&self) -> Option<ObjectId> {
        ObjectId::parse_str(&self.0).ok()
    }
}

impl std::fmt::Display for EntityTag {
    /// Writes it as in a header, with its quotes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl Precondition {
    /// Whether a document of this version meets the expectation.
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
