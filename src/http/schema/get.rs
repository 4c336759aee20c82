//! `GET /org/{organization_name}/schema`

use axum::http::{HeaderName, HeaderValue, header};

use crate::domain::Tenant;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;

/// What this call can answer besides its success, and what every call on data can.
pub(in crate::http) const PROBLEMS: &[Kind] = &[kinds::SCHEMA_NOT_FOUND, kinds::VALIDATOR_OCCUPIED];

/// Get the schema
///
/// As it was sent.
#[utoipa::path(
    get, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "get_schema",
    security(("bearer" = []), ("password" = [])),
    params(
        ("organization_name" = String, Path, description = "The organization's name, in any spelling", min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon")
    ),
    responses((status = 200, description = "The JSON Schema", body = Object, content_type = "application/json"))
)]
pub(in crate::http) async fn get(
    tenant: Tenant,
    services: Services,
) -> Result<([(HeaderName, HeaderValue); 1], String), Problem> {
    let source = services.data.schema(&tenant).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], source))
}
