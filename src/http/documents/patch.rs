//! `PATCH /org/{organization_name}/documents/{id}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bson::Document;

use super::{unreadable, written};
use crate::domain::Invalid;
use crate::domain::documents::{DocumentId, MergePatch};
use crate::domain::permission::{Allowed, DocumentsWrite};
use crate::extjson::read_stored;
use crate::http::body::JsonDocument;
use crate::http::bytes::HeldBytes;
use crate::http::conditions::Conditions;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::{HttpState, Service};
use crate::http::tenant::PathId;
use crate::off_thread::off_thread;
use crate::service::{DataError, DataService};

/// How many times larger than its text a patch is as a tree of values, at most: an element of a list of digits, two bytes of text,
/// takes over a hundred.
const TREE: usize = 64;
/// The same for a stored document: such an element has twelve bytes of BSON.
const TREE_OF_BSON: usize = 12;

/// Change parts of a document
///
/// A JSON Merge Patch (RFC 7396): members replace those of the document, objects are merged, null removes. It is applied to
/// the document as it is at that moment, so two patches of different fields at once both take effect. With `If-Match` it
/// happens only while the document is in that state: of two with the same state exactly one wins, and the other gets 412.
#[utoipa::path(
    patch, path = "/org/{organization_name}/documents/{id}", tag = "documents", operation_id = "patch_document",
    params(
        ("id" = String, Path, description = "The document's `_id`", example = "691f2a3b4c5d6e7f80910a1b"),
        ("If-Match" = Option<String>, Header, description = "The state that it must be in, or `*` for any")
    ),
    request_body(content(
        (Object = "application/merge-patch+json", example = json!({ "name": "Ada Lovelace", "nickname": null })),
        (Object = "application/json")
    )),
    responses((
        status = 200, description = "The document, as it is stored now", body = Object, content_type = "application/json",
        headers(("ETag" = String, description = "The document's state"))
    ))
)]
pub(in crate::http) async fn patch(
    tenant: Allowed<DocumentsWrite>,
    data: Service<DataService>,
    PathId(id): PathId,
    conditions: Conditions,
    State(state): State<HttpState>,
    JsonDocument(text, mut held_body): JsonDocument,
) -> Result<Response, Failed<DataError, { calls::REWRITE }>> {
    let expected = conditions.of_change()?;
    held_body.grow_to(TREE * text.len()).await?;
    let of = id.clone();
    let patch = off_thread(text.len(), move || read(&of, &text)).await?;
    let bound = TREE_OF_BSON * data.reply_bound(&tenant, 1);
    let held = HeldBytes::of(&state.answer_bytes, tenant.org_id(), bound).await?;
    let patched = data.patch(&tenant, &id, Arc::new(patch), &expected).await?;
    Ok(written(StatusCode::OK, patched, held).await?)
}

fn read(id: &DocumentId, text: &[u8]) -> Result<MergePatch, Problem> {
    let read = read_stored(text)?;
    if read.id.is_some_and(|sent| DocumentId::of_stored(sent) != *id) {
        let why = Invalid::new("contradiction", "cannot be changed, and differs from the one in the path");
        return Err(Problem::invalid(vec![why.at("/_id")]));
    }
    Document::try_from(read.fields).map(MergePatch::new).map_err(|_malformed| unreadable())
}
