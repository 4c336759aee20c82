//! `GET /org/{organization_name}/stats`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi;
use super::problem::{Failed, calls};
use super::state::Service;
use crate::domain::permission::{Allowed, OrgRead};
use crate::service::data::CollectionStats;
use crate::service::{DataError, DataService};

openapi::calls![stats];

/// The size of an organization's data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(super) struct StatsAnswer {
    /// How many documents.
    #[schema(example = 3)]
    documents: u64,
    /// How many bytes of BSON they are.
    #[schema(example = 210)]
    bytes: u64,
    /// How many bytes a document has on average; 0 without any.
    #[schema(example = 70)]
    average_bytes: u64,
    /// How many bytes the documents take on the disk, compressed.
    #[schema(example = 20480)]
    storage_bytes: u64,
    /// The indexes.
    indexes: Vec<IndexSize>,
}

/// The size of an index.
#[derive(Debug, Serialize, ToSchema)]
struct IndexSize {
    /// Its name.
    #[schema(example = "_id_")]
    name: String,
    /// How many bytes it takes on the disk.
    #[schema(example = 20480)]
    bytes: u64,
}

impl From<CollectionStats> for StatsAnswer {
    fn from(stats: CollectionStats) -> Self {
        Self {
            documents: stats.documents,
            bytes: stats.bytes,
            average_bytes: stats.bytes.checked_div(stats.documents).unwrap_or_default(),
            storage_bytes: stats.storage_bytes,
            indexes: stats.index_bytes.into_iter().map(|(name, bytes)| IndexSize { name, bytes }).collect(),
        }
    }
}

/// Measure an organization's data
#[utoipa::path(
    get, path = "/org/{organization_name}/stats", tag = "documents", operation_id = "get_stats",
    responses((status = 200, description = "Its size", body = StatsAnswer))
)]
pub(super) async fn stats(
    tenant: Allowed<OrgRead>,
    data: Service<DataService>,
) -> Result<Json<StatsAnswer>, Failed<DataError, { calls::READ }>> {
    Ok(Json(data.stats(&tenant).await?.into()))
}
