//! Marks an answer whose organization was found by an old name: since when it is old (`Deprecation`, RFC 9745), until
//! when it works (`Sunset`, RFC 8594), and the URL with the current name (`Link: …; rel="canonical"`, RFC 6596).

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::location::beneath;
use super::problem::answers;
use super::state::HttpState;
use crate::service::orgs::{ByOldName, Reached};

/// Since when the name in the request is old.
pub(super) const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
/// Until when the old name works.
pub(super) const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The format of times in HTTP headers (RFC 9110, section 5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Where a handler notes the old name by which a request found its organization.
#[derive(Debug, Clone, Default)]
pub(super) struct OldNameNote(Arc<OnceLock<ByOldName>>);

impl OldNameNote {
    /// Notes the old name, if there is one.
    pub(super) fn leave(&self, by: Option<ByOldName>) {
        if let Some(by) = by {
            // A request names one organization, so the first note is right.
            let _first = self.0.set(by);
        }
    }

    /// Unwraps what was reached, and notes how.
    pub(super) fn of<T>(&self, reached: Reached<T>) -> T {
        self.leave(reached.by);
        reached.what
    }
}

impl FromRequestParts<HttpState> for OldNameNote {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

answers! { OldNameNote = []; }

/// Adds the headers to an answer, if an old name was noted.
pub(super) fn tell(response: &mut Response, note: &OldNameNote, uri: &Uri) {
    let Some(ByOldName { old, current }) = note.0.get() else { return };
    let values = [
        (DEPRECATION, Some(format!("@{}", old.given_up_at.unix_timestamp()))),
        (SUNSET, http_date(old.until)),
        (header::LINK, Some(format!("<{}>; rel=\"canonical\"", canonical(uri, current)))),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().append(name, value);
        }
    }
}

/// The same URL with the organization's current name.
fn canonical(uri: &Uri, current: &str) -> String {
    let below = uri.path().strip_prefix("/org/").and_then(|rest| rest.split_once('/'));
    let Some((_old, rest)) = below else {
        let name = form_urlencoded::Serializer::new(String::new()).append_pair("organization_name", current).finish();
        return format!("/org/get?{name}");
    };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{rest}{query}", beneath("/org", current))
}

fn http_date(time: OffsetDateTime) -> Option<String> {
    time.to_offset(time::UtcOffset::UTC).format(HTTP_DATE).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_place_is_the_same_with_the_present_name() {
        let canonical = |uri: &str| canonical(&uri.parse().expect("a URI"), "New Name");
        assert_eq!(canonical("/org/old/documents/a%2Fb?x=1"), "/org/New%20Name/documents/a%2Fb?x=1");
        assert_eq!(canonical("/org/get?organization_name=old"), "/org/get?organization_name=New+Name");
        assert_eq!(canonical("/org/update"), "/org/get?organization_name=New+Name");
    }

    #[test]
    fn a_time_is_written_as_http_has_it() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).expect("a time");
        assert_eq!(http_date(time).as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
