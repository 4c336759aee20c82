//! `DELETE /org/{organization_name}/schema`

use axum::http::StatusCode;

use crate::domain::permission::{Allowed, SchemaWrite};
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::service::{DataError, DataService};

/// Remove the schema
///
/// From now on documents may be as they like.
#[utoipa::path(
    delete, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "delete_schema",
    responses((status = 204, description = "There is no schema any more"))
)]
pub(in crate::http) async fn delete(
    tenant: Allowed<SchemaWrite>,
    data: Service<DataService>,
) -> Result<StatusCode, Failed<DataError, { calls::REMOVE_SCHEMA }>> {
    data.remove_schema(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
