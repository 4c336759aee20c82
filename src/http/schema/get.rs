//! `GET /org/{organization_name}/schema`

use axum::http::{HeaderName, HeaderValue, header};

use crate::domain::permission::{Allowed, DocumentsRead};
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::service::{DataError, DataService};

/// Get the schema
///
/// As it was sent.
#[utoipa::path(
    get, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "get_schema",
    responses((status = 200, description = "The JSON Schema", body = Object, content_type = "application/json"))
)]
pub(in crate::http) async fn get(
    tenant: Allowed<DocumentsRead>,
    data: Service<DataService>,
) -> Result<([(HeaderName, HeaderValue); 1], String), Failed<DataError, { calls::GET_SCHEMA }>> {
    let source = data.schema(&tenant).await?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], source))
}
