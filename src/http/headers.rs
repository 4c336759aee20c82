//! The security headers of every answer, the check of `Host`, and CORS.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, Uri, Version, header};
use axum::response::Response;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use super::observe::X_REQUEST_ID;
use super::old_names::{DEPRECATION, SUNSET};
use super::problem::{Problem, kinds};

/// How long a browser may remember what CORS allows.
const CORS_MAX_AGE: Duration = Duration::from_mins(10);

/// The longest host: a name of 253 characters (RFC 1035, section 2.3.4) and a port, with some room.
const HOST_MAX_BYTES: usize = 300;

/// Restrictions for browsers, unless an answer sets its own: JSON is no page, so it loads nothing, appears in no frame and
/// sends no referrer.
const DEFAULTS: [(HeaderName, HeaderValue); 5] = [
    // Nearly every answer is private; the others set their own.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ),
];

/// Paths of organizations, whose answers depend on the caller.
const OF_ORGANIZATIONS: &str = "/org/";

/// Adds the defaults that an answer does not set itself.
pub(super) fn harden(response: &mut Response, uri: &Uri) {
    let headers = response.headers_mut();
    // One allocation, with room for the headers of other layers.
    headers.reserve(2 * DEFAULTS.len());
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    if uri.path().starts_with(OF_ORGANIZATIONS) {
        headers.append(header::VARY, HeaderValue::from_static("authorization"));
    }
}

/// Refuses a request without exactly one well-formed `Host` (RFC 9112, section 3.2). Intermediaries, such as caches, may read
/// an ambiguous one differently.
pub(super) fn check_host(request: &Request) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_clear = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    let why = "The request must say once which host it is for, in the header Host";
    if is_clear { Ok(()) } else { Err(Problem::new(kinds::BAD_REQUEST).with_detail(why)) }
}

/// A name or an address, with or without a port (RFC 3986, sections 3.2.2 and 3.2.3).
fn is_host(host: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte);
    let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
    !name.is_empty() && host.len() <= HOST_MAX_BYTES && host.iter().all(is_allowed)
}

/// Lets pages of these origins call the API; `*` allows all. Pages set the token's header themselves, so credentials
/// (cookies) are never allowed.
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

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_clear(hosts: &[&str], version: Version) -> bool {
        let request = hosts.iter().fold(Request::builder().version(version), |built, host| built.header("host", *host));
        check_host(&request.body(Body::empty()).expect("a request")).is_ok()
    }

    #[test]
    fn a_request_needs_exactly_one_well_formed_host() {
        for host in ["a.example", "A.example:8000", "127.0.0.1:8000", "[::1]:8000", "localhost", "a_b"] {
            assert!(is_clear(&[host], Version::HTTP_11), "{host}");
        }
        for host in ["", ":80", "a b", "user@a.example", "a.example/x", "a?b", "a#b", "a\\b", &"a".repeat(301)] {
            assert!(!is_clear(&[host], Version::HTTP_11), "{host}");
        }
        assert!(!is_clear(&[], Version::HTTP_11) && is_clear(&[], Version::HTTP_10));
        assert!(!is_clear(&["a.example", "a.example"], Version::HTTP_11));
    }
}
