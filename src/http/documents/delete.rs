//! `DELETE /org/{organization_name}/documents/{id}`

use axum::http::StatusCode;

use crate::domain::permission::{Allowed, DocumentsWrite};
use crate::http::conditions::Conditions;
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::http::tenant::PathId;
use crate::service::{DataError, DataService};

/// Delete a document
#[utoipa::path(
    delete, path = "/org/{organization_name}/documents/{id}", tag = "documents", operation_id = "delete_document",
    params(
        ("id" = String, Path, description = "The document's `_id`", example = "691f2a3b4c5d6e7f80910a1b"),
        ("If-Match" = Option<String>, Header, description = "The state that it must be in, or `*` for any")
    ),
    responses((status = 204, description = "The document is gone"))
)]
pub(in crate::http) async fn delete(
    tenant: Allowed<DocumentsWrite>,
    data: Service<DataService>,
    PathId(id): PathId,
    conditions: Conditions,
) -> Result<StatusCode, Failed<DataError, { calls::REMOVE }>> {
    data.remove(&tenant, &id, &conditions.of_change()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
