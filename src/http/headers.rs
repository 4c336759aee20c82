//! The headers that every answer carries, and which other sites may read answers (CORS).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use super::observe::X_REQUEST_ID;
use super::old_names::{DEPRECATION, SUNSET};

/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// What every answer forbids a browser unless it says otherwise itself: JSON is not a page, so it loads nothing, is
/// shown in no frame and names no referrer.
const DEFAULTS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
];

/// Adds the headers that are not there.
pub(super) fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    // At once, and for those that other layers add.
    headers.reserve(2 * DEFAULTS.len());
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
}

/// Lets pages of these origins call the API; `*` is all of them. Tokens travel in a header that a page must set by
/// itself, so cookies (credentials) are never allowed.
pub(super) fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().cloned())
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            IDEMPOTENCY_KEY,
            X_REQUEST_ID,
        ])
        .expose_headers([
            DEPRECATION,
            header::ETAG,
            IDEMPOTENCY_REPLAYED,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            SUNSET,
            header::WWW_AUTHENTICATE,
            X_REQUEST_ID,
        ])
        .max_age(CORS_MAX_AGE)
}
