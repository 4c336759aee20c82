//! `Idempotency-Key`: a request repeated with the same key and body is carried out once and gets the same answer each time
//! (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use super::problem::{Failed, Problem, answers, calls, kinds};
use super::state::HttpState;
use crate::service::idempotency::{Answer, KeyError, RequestKey};

/// The header with the client's key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of a replayed answer.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// The header's description in the OpenAPI document.
pub(super) const DESCRIPTION: &str = "A key of the client's own for this request, such as a UUID: 1 to 255 visible ASCII \
    characters. Repeated within 24 hours with the same body, the request is not carried out again but answered as before, \
    with `Idempotency-Replayed: true`; with another body it is refused. What was refused, or changed nothing, can be repeated \
    with the same key.";

answers! { RequestKey = [BAD_REQUEST] Failed<KeyError, { calls::REPEAT }>; }

impl FromRequestParts<HttpState> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let patience = state.limits.timeout / 2;
        let mut sent = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(first) = sent.next() else { return Ok(Self { key: None, patience }) };
        let key = first.to_str().unwrap_or_default();
        let is_valid = (1..=KEY_MAX_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if is_valid && sent.next().is_none() {
            return Ok(Self { key: Some(key.to_owned()), patience });
        }
        let detail = "Idempotency-Key must be sent once, as 1 to 255 visible ASCII characters";
        Err(Problem::new(kinds::BAD_REQUEST).with_detail(detail))
    }
}

/// A successful answer with this JSON, which can be replayed.
pub(super) fn success(status: StatusCode, body: &impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_string(body).map_err(|error| {
        error!(%error, "an answer cannot be written");
        Problem::new(kinds::INTERNAL_ERROR)
    })?;
    Ok(Answer { status: status.as_u16(), body, is_unchanged: false, is_replay: false })
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.is_replay {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
