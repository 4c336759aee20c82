//! The HTTP edge: reads requests, asks a service, answers. Decides nothing.

mod answers;
mod auth;
mod body;
mod bytes;
mod caller;
mod changes;
mod client;
mod client_address;
mod conditions;
mod connections;
mod detach;
mod docs;
mod documents;
mod fields;
mod headers;
mod health;
mod idempotency;
mod indexes;
mod location;
mod names;
mod observe;
mod old_names;
mod openapi;
mod orgs;
mod problem;
mod schema;
mod sending;
mod state;
mod stats;
mod streams;
mod tenant;

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use connections::Gate;
pub use problem::Problem;
pub use state::{HttpState, RequestLimits, Services, Shared};

/// Smaller answers are sent as they are: gzip makes them no smaller and costs time.
const COMPRESS_FROM_BYTES: u64 = 1_024;

/// Every documented call, and the document.
fn api() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(orgs::routes())
        .merge(names::routes())
        .merge(changes::routes())
        .merge(documents::routes())
        .merge(indexes::routes())
        .merge(schema::routes())
        .merge(stats::routes())
        .merge(auth::routes())
        .merge(health::routes())
}

/// The OpenAPI document of this API.
pub fn openapi_document() -> OpenApi {
    openapi::finish(api().into_openapi())
}

/// The whole HTTP service. Pages of `cors_origins` may call it.
pub fn router(state: HttpState, cors_origins: &[HeaderValue]) -> Result<Router, serde_json::Error> {
    let (api, openapi) = api().split_for_parts();
    let routes = api.merge(docs::routes(&openapi::finish(openapi))?).with_state(state.clone());
    Ok(with_layers(routes, state, cors_origins))
}

/// What happens around every route, from the inside out: each layer sees what those above it made of the answer.
fn with_layers(routes: Router, state: HttpState, cors_origins: &[HeaderValue]) -> Router {
    let inner = routes
        .layer(from_fn_with_state(state, answers::complete))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM_BYTES).and(may_transform)));
    // Outside of all that makes answers, because a page must be able to read errors as well.
    let readable = if cors_origins.is_empty() { inner } else { inner.layer(headers::cors(cors_origins)) };
    // Outermost: whatever is answered, by whichever layer, has its id, its log line and its count.
    readable.layer(from_fn(observe::watch))
}

/// Whether an answer allows to be packed: one that tells of progress does not, because a packer holds its lines back.
fn may_transform(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    headers.get(CACHE_CONTROL).is_none_or(|control| control != streams::AS_IT_COMES)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::get;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use serde_json::Value;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_like_any_other_and_says_nothing_of_itself() {
        let limits = RequestLimits {
            timeout: Duration::from_mins(1),
            max_body_bytes: 0,
            max_document_bytes: 0,
            max_import_bytes: 0,
            max_running_streams: 1,
            max_bytes_in_flight: 1,
            min_stream_rate: 0,
            max_stream_time: Duration::from_mins(1),
            max_running: 2,
            trusted_proxies: [].into(),
        };
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let state = HttpState::new(limits, metrics, CancellationToken::new());
        let routes = Router::new().route("/", get(async || -> String { panic!("an inner secret") }));
        let request = Request::get("/")
            .header("host", "a.example")
            .header("x-request-id", "mine")
            .body(Body::empty())
            .expect("a request");
        let answer = with_layers(routes, state, &[]).oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&body["code"], &body["request_id"]), (&"internal_error".into(), &"mine".into()));
        assert!(!body.to_string().contains("inner secret"));
    }
}
