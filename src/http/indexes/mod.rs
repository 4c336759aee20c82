//! `/org/{organization_name}/indexes`: the indexes of an organization's collection. One file for each call; here is what
//! they share.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod list;

use bson::Document;
use bson::raw::{RawBsonRef, RawDocumentBuf};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::openapi;
use crate::extjson::write_value;
use crate::service::data::StoredIndex;

openapi::calls![list::list, create::create, delete::delete];

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Index)]
pub(super) struct IndexAnswer {
    /// Its name.
    #[schema(example = "email_1")]
    name: String,
    /// Its fields in their order: 1 ascending, -1 descending.
    #[schema(value_type = Object, example = json!({ "email": 1 }))]
    keys: Option<Box<RawValue>>,
    /// Whether no two documents may have the same value.
    unique: bool,
    /// Whether documents without its fields are left out.
    sparse: bool,
    /// After how many seconds, from the date in its field, a document is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expire_after_seconds: Option<i64>,
    /// Which documents alone are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    partial_filter: Option<Box<RawValue>>,
    /// `ready`, or `building`: not used yet.
    #[schema(value_type = String, example = "ready")]
    state: &'static str,
}

impl From<StoredIndex> for IndexAnswer {
    fn from(StoredIndex { index, is_building }: StoredIndex) -> Self {
        Self {
            name: index.name,
            keys: extended_json(&index.keys),
            unique: index.is_unique,
            sparse: index.is_sparse,
            expire_after_seconds: index.expire_after_seconds,
            partial_filter: index.partial_filter.as_ref().and_then(extended_json),
            state: if is_building { "building" } else { "ready" },
        }
    }
}

/// A document of the catalog, as it is shown. It was BSON a moment ago, so it can be again.
fn extended_json(document: &Document) -> Option<Box<RawValue>> {
    let raw = RawDocumentBuf::try_from(document).ok()?;
    let mut text = Vec::new();
    write_value(&mut text, RawBsonRef::Document(&raw)).ok()?;
    RawValue::from_string(String::from_utf8(text).ok()?).ok()
}
