//! The HTTP edge: reads requests, asks a service, answers. Decides nothing.

mod auth;
mod body;
mod caller;
mod client_address;
mod detach;
mod docs;
mod fields;
mod headers;
mod health;
mod observe;
mod openapi;
mod orgs;
mod problem;
mod state;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use problem::Problem;
pub use state::{HttpState, RequestLimits, Services};

use openapi::with_problems;

/// Smaller answers are sent as they are: gzip makes them no smaller and costs time.
const COMPRESS_FROM_BYTES: u64 = 1_024;

/// Every documented call, and the document.
fn api() -> OpenApiRouter<HttpState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(with_problems(routes!(orgs::create::create), orgs::create::PROBLEMS))
        .routes(with_problems(routes!(orgs::get::get), orgs::get::PROBLEMS))
        .routes(with_problems(routes!(orgs::update::update), orgs::update::PROBLEMS))
        .routes(with_problems(routes!(orgs::delete::delete), orgs::delete::PROBLEMS))
        .routes(with_problems(routes!(auth::login::log_in), auth::login::PROBLEMS))
        .routes(with_problems(routes!(health::greet), &[]))
        .routes(with_problems(routes!(health::live), &[]))
        .routes(with_problems(routes!(health::ready), health::READY_PROBLEMS))
        .routes(with_problems(routes!(health::metrics), &[]))
}

/// The OpenAPI document of this API.
#[must_use]
pub fn openapi_document() -> OpenApi {
    openapi::finish(api().into_openapi())
}

/// The whole HTTP service. Pages of `cors_origins` may call it.
///
/// # Errors
/// The OpenAPI document cannot be written as JSON: a defect.
pub fn router(state: HttpState, cors_origins: &[HeaderValue]) -> Result<Router, serde_json::Error> {
    let (api, openapi) = api().split_for_parts();
    let router = api
        .merge(docs::routes(&openapi::finish(openapi))?)
        .with_state(state.clone())
        // From the inside out; each layer sees what those above it made of the answer.
        .layer(from_fn_with_state(state, detach::detach))
        // Outside of the task, so that a panic and a timeout are problems too.
        .layer(from_fn(observe::render_problems))
        .layer(from_fn(headers::harden))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM_BYTES)));
    // Outside of all that makes answers, because a page must be able to read errors as well.
    let router = if cors_origins.is_empty() { router } else { router.layer(headers::cors(cors_origins)) };
    // Outermost: whatever is answered, by whichever layer, has its id, its log line and its count.
    Ok(router.layer(from_fn(observe::watch)))
}
