//! The one shape of every error: RFC 9457 `application/problem+json`.
//!
//! A handler returns a [`Problem`]; the layer in [`super::answers`] renders it, because it knows the request's id.
//! [`kinds`] lists the kinds, and `mapping.rs` maps the services' errors to them. From these, `answers.rs` derives what
//! the OpenAPI document says each call can answer.

mod answers;
pub(super) mod calls;
pub(super) mod kinds;
mod mapping;

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{ChangeId, FieldError};
pub(super) use answers::{Answers, Failed, Handles, Means, answers, problems};
pub(super) use kinds::Kind;
pub(super) use mapping::not_json;

/// The content type of every error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// How many invalid fields are reported at once.
const MAX_ERRORS: usize = 100;

/// An error as the client will see it.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    errors: Vec<FieldError>,
    change_id: Option<ChangeId>,
}

impl Problem {
    /// A problem of this kind, with the kind's own detail.
    pub(super) fn new(kind: Kind) -> Self {
        let retry_after = kind.retry_after_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Self { kind, detail: Cow::Borrowed(kind.detail), retry_after, errors: Vec::new(), change_id: None }
    }

    /// Whether it means that there is no valid token.
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.kind.status == StatusCode::UNAUTHORIZED
    }

    /// The same problem with another detail.
    pub(super) fn with_detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The same problem, with the time after which a retry can succeed.
    pub(super) fn with_retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// The same problem, with the change that the client can look at.
    pub(super) fn with_change(self, id: ChangeId) -> Self {
        Self { change_id: Some(id), ..self }
    }

    /// A problem that lists all invalid fields.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::new(kinds::VALIDATION_FAILED).with_errors(errors)
    }

    /// The same problem, with the invalid fields.
    fn with_errors(self, mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        Self { errors, ..self }
    }

    /// The problem as part of an answer, such as one line of a stream.
    pub(super) fn into_failure(self) -> Failure {
        let errors = self.errors.into_iter().map(FieldProblem::from).collect();
        Failure { code: self.kind.code, detail: self.detail, errors }
    }

    /// The problem for an error that the framework made.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(kinds::ROUTE_NOT_FOUND),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(kinds::METHOD_NOT_ALLOWED),
            status if status.is_server_error() => Self::new(kinds::INTERNAL_ERROR),
            status => Self::new(Kind { status, ..kinds::BAD_REQUEST }),
        }
    }

    /// Renders the answer, with the request's id.
    pub(super) fn render(self, request_id: &str) -> Response {
        let errors = self.errors.into_iter();
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.kind.title(),
            status: self.kind.status.as_u16(),
            detail: self.detail,
            code: self.kind.code,
            request_id: request_id.to_owned(),
            errors: errors.map(FieldProblem::from).collect(),
            change_id: self.change_id.map(|id| id.to_string()),
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
    /// Passes the problem to the layer that renders it.
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
    /// The change to look at, with `GET /org/{organization_name}/changes/{id}`; only with `outcome_unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "691f2a3b4c5d6e7f80910a1d")]
    change_id: Option<String>,
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { pointer: error.pointer, code: error.code, detail: error.detail }
    }
}

/// What was wrong with a part of a stream, such as one line of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Failure {
    /// What was wrong, for programs: the codes of the other errors.
    #[schema(value_type = String, example = "document_exists")]
    code: &'static str,
    /// What was wrong, for people.
    #[schema(value_type = String, example = "There is a document of this id already")]
    detail: Cow<'static, str>,
    /// Every field that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldProblem>,
}

/// One field that was wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FieldProblem {
    /// Where: a JSON Pointer (RFC 6901) into the body, `?name` for a parameter of the query, `{name}` for one of the path, or
    /// a header's name.
    #[schema(example = "/organization_name")]
    pointer: String,
    /// What was wrong, for programs; stable.
    #[schema(value_type = String, example = "invalid_characters")]
    code: &'static str,
    /// What was expected, for people.
    #[schema(example = "may only contain the letters A-Z and a-z, digits, spaces, '_' and '-'")]
    detail: String,
}
