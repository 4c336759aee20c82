//! `/`, `/health/*` and `/metrics`, for operators.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::openapi;
use super::problem::{Failed, problems};
use super::state::{HttpState, Service};
use crate::repo::{Database, ping};
use crate::service::Storage;
use crate::service::storage::StorageCondition;

openapi::calls![greet, live, ready, metrics];

/// How long MongoDB may take to answer before the server reports that it is not ready.
const PING_LIMIT: Duration = Duration::from_secs(2);

/// MongoDB does not answer.
#[derive(Debug)]
pub(super) struct NotReady;

problems! { error: NotReady { NotReady => DATABASE_UNAVAILABLE; }}

/// The server runs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Greeting {
    /// For people.
    #[schema(value_type = String, example = "Service is running")]
    message: &'static str,
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `live`.
    #[schema(value_type = String, example = "live")]
    status: &'static str,
}

/// How the server and MongoDB are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// Always `ready`.
    #[schema(value_type = String, example = "ready")]
    status: &'static str,
    /// How MongoDB's disk is: `ok`; `low`, when what adds data is refused with 507; or `unknown`, when MongoDB does not tell or
    /// `MIN_FREE_STORAGE_PERCENT` is 0.
    #[schema(value_type = String, example = "ok")]
    storage: &'static str,
}

/// See that the service runs
#[utoipa::path(
    get, path = "/", tag = "operations", operation_id = "greet",
    responses((status = 200, description = "The service runs", body = Greeting))
)]
pub(super) async fn greet() -> Json<Greeting> {
    Json(Greeting { message: "Service is running" })
}

/// See that the process answers
///
/// Asks nothing of MongoDB: restart the server when this fails, not when MongoDB is away.
#[utoipa::path(
    get, path = "/health/live", tag = "operations", operation_id = "live",
    responses((status = 200, description = "The process answers", body = Health))
)]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// See that the server can serve
///
/// 200 when MongoDB answers within 2 seconds, else 503: send requests elsewhere, and do not restart. When MongoDB's disk is
/// nearly full it is still 200, because reading and deleting go on, and `storage` says so.
#[utoipa::path(
    get, path = "/health/ready", tag = "operations", operation_id = "ready",
    responses((status = 200, description = "MongoDB answers", body = Readiness))
)]
pub(super) async fn ready(
    database: Service<Database>,
    storage: Service<Storage>,
    State(state): State<HttpState>,
) -> Result<Json<Readiness>, Failed<NotReady>> {
    let storage = match storage.condition() {
        StorageCondition::Ok => "ok",
        StorageCondition::Low => "low",
        StorageCondition::Unknown => "unknown",
    };
    // Shared, so that many probes cost MongoDB no more than one.
    let is_up = state.pings.get((), || is_up(Database::clone(&database))).await;
    if is_up { Ok(Json(Readiness { status: "ready", storage })) } else { Err(NotReady.into()) }
}

/// Whether MongoDB answers in time.
async fn is_up(database: Database) -> bool {
    // In a task of its own: at the limit only its handle may be dropped, never the driver's future (see `super::detach`).
    let asked = tokio::spawn(async move { ping(&database).await });
    matches!(timeout(PING_LIMIT, asked).await, Ok(Ok(Ok(()))))
}

/// Read the metrics
///
/// In Prometheus' text format: requests by method, route and status with their durations, the queue of password
/// checks, the connections to MongoDB, the free part of its disk. Shows no data of any organization.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(state): State<HttpState>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render())
}
