//! The outermost layer: gives a request its id, its log line and its metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{counter, histogram};
use tracing::{Instrument, error_span, field, info};
use uuid::Uuid;

/// The header that carries the request's id, in both directions.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The span's field that a handler fills in once it knows the organization.
pub(super) const ORGANIZATION_ID: &str = "organization_id";

/// A client's own id is accepted up to this length, in `A-Z a-z 0-9 - _`.
const REQUEST_ID_MAX_CHARS: usize = 64;

/// The id of a request, among its extensions.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// The layer itself.
pub(super) async fn watch(mut request: Request, next: Next) -> Response {
    let id = RequestId(given_id(&request).unwrap_or_else(|| Uuid::now_v7().to_string().into()));
    let method = known_method(request.method());
    // The route, never the path: a path can hold a name, and the number of paths is unbounded.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    // At the highest level, so that no RUST_LOG strips the id from the lines inside.
    let span = error_span!("request", request_id = %id.0, { ORGANIZATION_ID } = field::Empty);
    request.extensions_mut().insert(id.clone());
    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let duration = started.elapsed();
    let status = response.status().as_u16();

    span.in_scope(|| info!(method, route, status, duration_ms = milliseconds(duration), "answered"));
    counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    histogram!("http_request_duration_seconds", "method" => method, "route" => route).record(duration);
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

fn given_id(request: &Request) -> Option<Arc<str>> {
    let id = request.headers().get(X_REQUEST_ID)?.to_str().ok()?;
    let is_plain = (1..=REQUEST_ID_MAX_CHARS).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    is_plain.then(|| id.into())
}

/// The method's name for the metrics, which must not grow with every method that a client makes up.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| method == known).unwrap_or("other")
}

/// Rounded to the microsecond; more digits are noise in a log.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
