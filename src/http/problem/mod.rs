//! The one shape of every error: RFC 9457 `application/problem+json`.
//!
//! A handler gives a [`Problem`]; the layer in [`super::observe`] renders it, because only there the request's id is
//! known. What kinds there are stands in [`kinds`], how the services' errors map to them in `mapping.rs`.

pub(super) mod kinds;
mod mapping;

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::FieldError;
pub(super) use kinds::Kind;

/// The content type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// After how long a client may try again where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error as the client will see it.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this kind, in the kind's own words.
    #[must_use]
    pub(super) fn new(kind: Kind) -> Self {
        // "Busy" is the one conflict that goes away by itself.
        let retry_after =
            (kind.status == StatusCode::SERVICE_UNAVAILABLE || kind == kinds::ORGANIZATION_BUSY).then_some(RETRY_AFTER);
        Self { kind, detail: Cow::Borrowed(kind.detail), retry_after, errors: Vec::new() }
    }

    /// Whether it says that there is no valid token.
    #[must_use]
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.kind.status == StatusCode::UNAUTHORIZED
    }

    /// The same problem in other words.
    #[must_use]
    pub(super) fn with_detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The same problem, with the time after which another try can succeed.
    #[must_use]
    pub(super) fn with_retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Broken fields, all of them.
    #[must_use]
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(kinds::VALIDATION_FAILED) }
    }

    /// What an error means that the framework made by itself.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(kinds::ROUTE_NOT_FOUND),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(kinds::METHOD_NOT_ALLOWED),
            status if status.is_server_error() => Self::new(kinds::INTERNAL_ERROR),
            status => Self::new(Kind { status, ..kinds::BAD_REQUEST }),
        }
    }

    /// The answer, with the id of the request that it is about.
    #[must_use]
    pub(super) fn render(self, request_id: &str) -> Response {
        let errors = self.errors.into_iter();
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.kind.title(),
            status: self.kind.status.as_u16(),
            detail: self.detail,
            code: self.kind.code,
            request_id: request_id.to_owned(),
            errors: errors.map(|e| FieldProblem { pointer: e.pointer, code: e.code, detail: e.detail }).collect(),
        };
        let mut response = (self.kind.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Hands the problem on to the layer that renders it.
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The body of every answer that is an error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: `code` tells the kinds apart.
    #[schema(value_type = String, example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(value_type = String, example = "Not Found")]
    title: &'static str,
    /// The HTTP status, once more.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What was wrong, for people.
    #[schema(value_type = String, example = "Organization not found")]
    detail: Cow<'static, str>,
    /// What was wrong, for programs; stable.
    #[schema(value_type = String, example = "organization_not_found")]
    code: &'static str,
    /// The request that this is about; the server's log has the same.
    #[schema(example = "019ab3f6-7c1e-7a52-8f0e-3d2c1b0a9f8e")]
    request_id: String,
    /// Every field that was wrong; only with status 422.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// One field that was wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldProblem {
    /// Where: a JSON Pointer (RFC 6901) into the body, or `?name` for a parameter of the query.
    #[schema(example = "/organization_name")]
    pointer: String,
    /// What was wrong, for programs; stable.
    #[schema(value_type = String, example = "invalid_characters")]
    code: &'static str,
    /// What was expected, for people.
    #[schema(example = "may only contain the letters A-Z and a-z, digits, spaces, '_' and '-'")]
    detail: String,
}
