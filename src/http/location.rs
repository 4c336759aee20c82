//! The `Location` of a new resource.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Not encoded in a path segment (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Sets the header.
pub(super) fn insert(response: &mut Response, path: &str) {
    // Cannot fail: a requested path and percent-encoding are ASCII.
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// The path of a resource beneath another one.
pub(super) fn beneath(path: &str, segment: &str) -> String {
    format!("{path}/{}", utf8_percent_encode(segment, UNRESERVED))
}
