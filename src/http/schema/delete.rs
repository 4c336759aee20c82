//! `DELETE /org/{organization_name}/schema`

use axum::http::StatusCode;

use crate::domain::Tenant;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;

/// What this call can answer besides its success, and what every call on data can.
pub(in crate::http) const PROBLEMS: &[Kind] =
    &[kinds::SCHEMA_NOT_FOUND, kinds::VALIDATOR_OCCUPIED, kinds::OUTCOME_UNKNOWN, kinds::DATABASE_FORBIDS];

/// Remove the schema
///
/// From now on documents may be as they like.
#[utoipa::path(
    delete, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "delete_schema",
    security(("bearer" = []), ("password" = [])),
    params(
        ("organization_name" = String, Path, description = "The organization's name, in any spelling", min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon")
    ),
    responses((status = 204, description = "There is no schema any more"))
)]
pub(in crate::http) async fn delete(tenant: Tenant, services: Services) -> Result<StatusCode, Problem> {
    services.data.remove_schema(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
