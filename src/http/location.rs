//! Where something is: the `Location` of what was created.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a segment of a path (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Says that what was created is at this path.
pub(super) fn insert(response: &mut Response, path: &str) {
    // A path that was requested, and percent-encoding, are ASCII.
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// The path of something that stands beneath another path.
pub(super) fn beneath(path: &str, segment: &str) -> String {
    format!("{path}/{}", utf8_percent_encode(segment, UNRESERVED))
}
