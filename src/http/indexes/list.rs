//! `GET /org/{organization_name}/indexes`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::IndexAnswer;
use crate::domain::permission::{Allowed, DocumentsRead};
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::service::{DataError, DataService};

/// The indexes of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Indexes {
    /// All of them, the one over `_id` included.
    indexes: Vec<IndexAnswer>,
}

/// List indexes
#[utoipa::path(
    get, path = "/org/{organization_name}/indexes", tag = "indexes and schema", operation_id = "list_indexes",
    responses((status = 200, description = "The indexes", body = Indexes))
)]
pub(in crate::http) async fn list(
    tenant: Allowed<DocumentsRead>,
    data: Service<DataService>,
) -> Result<Json<Indexes>, Failed<DataError, { calls::LIST_INDEXES }>> {
    let indexes = data.indexes(&tenant).await?;
    Ok(Json(Indexes { indexes: indexes.into_iter().map(IndexAnswer::from).collect() }))
}
