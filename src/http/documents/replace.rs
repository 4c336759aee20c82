//! `PUT /org/{organization_name}/documents/{id}`

use axum::extract::OriginalUri;
use axum::http::StatusCode;
use axum::response::Response;

use super::{whole, written};
use crate::domain::Invalid;
use crate::domain::documents::{DocumentId, NewDocument};
use crate::domain::permission::{Allowed, DocumentsWrite};
use crate::extjson::read_stored;
use crate::http::body::JsonDocument;
use crate::http::conditions::Conditions;
use crate::http::location;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::http::tenant::PathId;
use crate::off_thread::off_thread;
use crate::service::{DataError, DataService};

/// Replace a document, or create one under a chosen id
///
/// With `If-Match` it happens only while the document is in that state: whoever was slower gets 412 and looks again. With
/// `If-None-Match: *` the document is created (201), and 412 says that there is one already. Without either, whatever is
/// there is replaced, and 404 says that nothing is. An `_id` in the body must be that of the path.
#[utoipa::path(
    put, path = "/org/{organization_name}/documents/{id}", tag = "documents", operation_id = "replace_document",
    params(
        ("id" = String, Path, description = "The document's `_id`", example = "691f2a3b4c5d6e7f80910a1b"),
        ("If-Match" = Option<String>, Header, description = "The state that it must be in, or `*` for any"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: create it, and replace nothing")
    ),
    request_body(content = Object, content_type = "application/json", example = json!({ "name": "Ada Lovelace" })),
    responses(
        (status = 200, description = "The document, as it is stored now", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "The document's state"))),
        (status = 201, description = "The document was created", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "The document's state"), ("Location" = String, description = "The document's path")))
    )
)]
pub(in crate::http) async fn replace(
    tenant: Allowed<DocumentsWrite>,
    data: Service<DataService>,
    PathId(id): PathId,
    conditions: Conditions,
    OriginalUri(uri): OriginalUri,
    JsonDocument(text, held): JsonDocument,
) -> Result<Response, Failed<DataError, { calls::REWRITE }>> {
    let must_create = conditions.must_create()?;
    let document = off_thread(text.len(), move || read(id, &text, must_create)).await?;
    if !must_create {
        data.replace(&tenant, &document, &conditions.if_match).await?;
        return Ok(written(StatusCode::OK, document, held).await?);
    }
    data.insert(&tenant, &document).await.map_err(|error| match error {
        DataError::Exists => DataError::PreconditionFailed,
        error => error,
    })?;
    let mut response = written(StatusCode::CREATED, document, held).await?;
    location::insert(&mut response, uri.path());
    Ok(response)
}

fn read(id: DocumentId, text: &[u8], is_new: bool) -> Result<NewDocument, Problem> {
    let read = read_stored(text)?;
    if read.id.is_some_and(|sent| DocumentId::of_stored(sent) != id) {
        return Err(Problem::invalid(vec![
            Invalid::new("contradiction", "differs from the one in the path").at("/_id"),
        ]));
    }
    let id = if is_new { DocumentId::of_new(id.as_bson().clone()) } else { Ok(id) };
    let id = id.map_err(|invalid| Problem::invalid(vec![invalid.at("{id}")]))?;
    NewDocument::new(id, &read.fields).map_err(whole)
}
