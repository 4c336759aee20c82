//! `DELETE /org/{organization_name}/schema`

use axum::http::StatusCode;

use crate::domain::Allowed;
use crate::domain::permission::SchemaWrite;
use crate::http::problem::Failed;
use crate::http::problem::calls::REMOVE_SCHEMA;
use crate::http::state::Services;
use crate::service::DataError;

/// Remove the schema
///
/// From now on documents may be as they like.
#[utoipa::path(
    delete, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "delete_schema",
    responses((status = 204, description = "There is no schema any more"))
)]
pub(in crate::http) async fn delete(
    tenant: Allowed<SchemaWrite>,
    services: Services,
) -> Result<StatusCode, Failed<DataError, REMOVE_SCHEMA>> {
    services.data.remove_schema(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
