//! `DELETE /org/{organization_name}/documents/{id}`

use axum::http::StatusCode;

use crate::domain::Tenant;
use crate::http::conditions::Conditions;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;
use crate::http::tenant::PathId;

/// What this call can answer besides its success, and what every call on data can.
pub(in crate::http) const PROBLEMS: &[Kind] = &[
    kinds::DOCUMENT_NOT_FOUND,
    kinds::PRECONDITION_FAILED,
    kinds::DOCUMENT_BUSY,
    kinds::QUERY_TOO_SLOW,
    kinds::OUTCOME_UNKNOWN,
];

/// Delete a document
#[utoipa::path(
    delete, path = "/org/{organization_name}/documents/{id}", tag = "documents", operation_id = "delete_document",
    security(("bearer" = []), ("password" = [])),
    params(
        ("organization_name" = String, Path, description = "The organization's name, in any spelling", min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon"),
        ("id" = String, Path, description = "The document's `_id`", example = "691f2a3b4c5d6e7f80910a1b"),
        ("If-Match" = Option<String>, Header, description = "The state that it must be in, or `*` for any")
    ),
    responses((status = 204, description = "The document is gone"))
)]
pub(in crate::http) async fn delete(
    tenant: Tenant,
    services: Services,
    PathId(id): PathId,
    conditions: Conditions,
) -> Result<StatusCode, Problem> {
    services.data.remove(&tenant, &id, &conditions.of_change()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
