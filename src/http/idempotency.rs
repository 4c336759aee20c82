//! `Idempotency-Key`: a request that is repeated with the same key and the same body is carried out once and answered each
//! time as the first time (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::problem::calls::REPEAT;
use super::problem::{Failed, Problem, answers, kinds};
use super::state::HttpState;
use crate::service::idempotency::{Given, KeyError, Outcome, RequestKey};

/// The header with the client's key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// What a call says for its document.
pub(super) const DESCRIPTION: &str = "A key of the client's own for this request, such as a UUID: 1 to 255 visible ASCII \
    characters. Repeated within 24 hours with the same body, the request is not carried out again but answered as before, \
    with `Idempotency-Replayed: true`; with another body it is refused. What was refused, or changed nothing, can be repeated \
    with the same key.";

answers! { RequestKey = [BAD_REQUEST] Failed<KeyError, REPEAT>; }

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

/// A successful answer that can be given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answered {
    status: u16,
    /// Whether it tells of no change at all; then it is not kept.
    #[serde(skip)]
    is_unchanged: bool,
    body: String,
}

impl Answered {
    /// An answer with this JSON.
    ///
    /// # Errors
    /// It is not JSON: a defect.
    pub(super) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        match serde_json::to_string(body) {
            Ok(body) => Ok(Self { status: status.as_u16(), is_unchanged: false, body }),
            Err(error) => {
                error!(%error, "an answer cannot be written");
                Err(Problem::new(kinds::INTERNAL_ERROR))
            }
        }
    }

    /// The same answer, to a request that found nothing to change.
    pub(super) fn unchanged(self) -> Self {
        Self { is_unchanged: true, ..self }
    }
}

impl From<Result<Answered, Problem>> for Outcome<Answered, Problem> {
    fn from(result: Result<Answered, Problem>) -> Self {
        match result {
            Ok(answer) if !answer.is_unchanged => Self::Changed(answer),
            Err(problem) if problem.is_undecided() => Self::Undecided(problem),
            unchanged => Self::Unchanged(unchanged),
        }
    }
}

impl IntoResponse for Given<Answered> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.answer.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.answer.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.is_replay {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
