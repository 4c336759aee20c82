//! `POST /org/{organization_name}/documents`: one document, or many in one stream (`import.rs`).

use axum::extract::{FromRequest, OriginalUri, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::import::{ImportAnswer, import};
use super::{new_document, written};
use crate::domain::permission::{Allowed, DocumentsWrite};
use crate::extjson::read_stored;
use crate::http::body::{JsonDocument, content_type};
use crate::http::location;
use crate::http::problem::{Failed, Problem, answers, calls};
use crate::http::state::{HttpState, Service};
use crate::http::streams::NDJSON;
use crate::off_thread::off_thread;
use crate::service::{DataError, DataService};

/// A document, or many in a stream.
pub(in crate::http) enum NewDocuments {
    One(JsonDocument),
    Many(Request),
}

impl FromRequest<HttpState> for NewDocuments {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let is_stream = content_type(request.headers()).is_some_and(|kind| kind.essence_str() == NDJSON);
        if is_stream {
            Ok(Self::Many(request))
        } else {
            JsonDocument::from_request(request, state).await.map(Self::One)
        }
    }
}

answers! { NewDocuments = [] JsonDocument; }

/// Add a document, or import many
///
/// **`application/json`**: a JSON object. It is answered as it was stored (201), with its path in `Location` and its state in
/// `ETag`. `_id` is a string of 1 to 128 characters, an integer or `{"$oid": …}`; without one the document gets an ObjectId.
/// What JSON lacks is written in relaxed [MongoDB Extended JSON v2](https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/):
/// `{"$date": "2026-11-25T09:30:00Z"}`, `{"$numberDecimal": "9.99"}`, `{"$binary": …}`, …
///
/// **`application/x-ndjson`**: a document a line, streamed. Each stands or falls alone; broken lines do not stop the others. The
/// answer (200) is a stream of lines too: progress, and at last one with `"done": true` that counts what was inserted and what
/// failed, with the first 100 failures by their lines. If the import had to be cut, that line has an `error`, and what was
/// counted as inserted is stored.
#[utoipa::path(
    post, path = "/org/{organization_name}/documents", tag = "documents", operation_id = "insert_document",
    request_body(content(
        (Object = "application/json", example = json!({ "name": "Ada", "born": { "$date": "1815-12-10T00:00:00Z" } })),
        (String = "application/x-ndjson", example = "{\"name\":\"Ada\"}\n{\"name\":\"Grace\"}\n")
    )),
    responses(
        (status = 201, description = "The document, as it was stored", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "The document's state"), ("Location" = String, description = "The document's path"))),
        (status = 200, description = "The lines of an import", body = ImportAnswer, content_type = "application/x-ndjson")
    )
)]
pub(in crate::http) async fn insert(
    tenant: Allowed<DocumentsWrite>,
    data: Service<DataService>,
    State(state): State<HttpState>,
    OriginalUri(uri): OriginalUri,
    documents: NewDocuments,
) -> Result<Response, Failed<DataError, { calls::INSERT }>> {
    let JsonDocument(text, held) = match documents {
        NewDocuments::One(document) => document,
        NewDocuments::Many(request) => return Ok(import(&tenant, &data, &state, request).await?),
    };
    let document = off_thread(text.len(), move || new_document(read_stored(&text)?)).await?;
    data.insert(&tenant, &document).await?;
    let path = location::beneath(uri.path(), &document.id.to_path());
    let mut response = written(StatusCode::CREATED, document, held).await?;
    location::insert(&mut response, &path);
    Ok(response)
}
