//! `GET /org/{organization_name}/schema`

use axum::http::{HeaderName, HeaderValue, header};

use crate::domain::Allowed;
use crate::domain::permission::DocumentsRead;
use crate::http::problem::Failed;
use crate::http::problem::calls::GET_SCHEMA;
use crate::http::state::Services;
use crate::service::DataError;

/// Get the schema
///
/// As it was sent.
#[utoipa::path(
    get, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "get_schema",
    responses((status = 200, description = "The JSON Schema", body = Object, content_type = "application/json"))
)]
pub(in crate::http) async fn get(
    tenant: Allowed<DocumentsRead>,
    services: Services,
) -> Result<([(HeaderName, HeaderValue); 1], String), Failed<DataError, GET_SCHEMA>> {
    let source = services.data.schema(&tenant).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], source))
}
