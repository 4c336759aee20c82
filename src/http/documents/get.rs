//! `GET /org/{organization_name}/documents/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{hold_document, insert_tag, shown};
use crate::domain::documents::Version;
use crate::domain::permission::{Allowed, DocumentsRead};
use crate::http::conditions::Conditions;
use crate::http::problem::{Failed, calls};
use crate::http::state::{HttpState, Service};
use crate::http::tenant::PathId;
use crate::service::{DataError, DataService};

/// Get a document
///
/// In the path, 24 hex digits are an ObjectId, digits an integer, and all else a string as it is; a string that looks like
/// one of those stands in quotes (`%2242%22`), and every other value is Extended JSON (`{"$binary": …}`, percent-encoded).
#[utoipa::path(
    get, path = "/org/{organization_name}/documents/{id}", tag = "documents", operation_id = "get_document",
    params(
        ("id" = String, Path, description = "The document's `_id`", example = "691f2a3b4c5d6e7f80910a1b"),
        ("If-None-Match" = Option<String>, Header, description = "States that the client has already: 304 if it is in one of them"),
        ("If-Match" = Option<String>, Header, description = "States that the client expects: 412 if it is in none of them")
    ),
    responses(
        (status = 200, description = "The document", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "The document's state"))),
        (status = 304, description = "The client has it as it is", headers(("ETag" = String, description = "The document's state")))
    )
)]
pub(in crate::http) async fn get(
    tenant: Allowed<DocumentsRead>,
    data: Service<DataService>,
    PathId(id): PathId,
    conditions: Conditions,
    State(state): State<HttpState>,
) -> Result<Response, Failed<DataError, { calls::GET }>> {
    let held = hold_document(&state, &data, &tenant).await?;
    let document = data.get(&tenant, &id).await?;
    let version = Version::of(&document);
    if !conditions.if_match.allows(&version) {
        return Err(DataError::PreconditionFailed.into());
    }
    let tag = version.tag();
    if conditions.is_known(&tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        insert_tag(response.headers_mut(), &tag);
        return Ok(response);
    }
    Ok(shown(StatusCode::OK, document, &tag, held).await?)
}
