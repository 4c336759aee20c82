//! The one shape of every error: RFC 9457 `application/problem+json`.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::error;

use crate::domain::FieldError;
use crate::repo::RepoError;
use crate::service::{AuthError, OrgError, PasswordError};

/// An error as the client sees it. Rendered by [`Problem::render`], which knows the request's id.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem with its stable code and its sentence.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
        Self { status, code, detail: detail.into(), retry_after, errors: Vec::new() }
    }

    /// Broken fields, all of them.
    #[must_use]
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = "Some fields are missing or not valid";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", detail) }
    }

    /// MongoDB cannot be asked now.
    #[must_use]
    pub(super) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", "The database is not available; try again")
    }

    /// A defect of ours; the log has more under the same request id.
    #[must_use]
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The server failed; see its log for the request id",
        )
    }

    /// No valid token.
    #[must_use]
    pub(super) fn unauthenticated(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
    }

    /// What an error without a problem, made by the framework, means.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "route_not_found", "There is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "This path does not know this method; see Allow")
            }
            status if status.is_server_error() => Self::internal(),
            status => Self::new(status, "bad_request", status.canonical_reason().unwrap_or("Bad request")),
        }
    }

    /// The answer, with the id of the request that it is about.
    #[must_use]
    pub(super) fn render(self, request_id: &str) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        if !self.errors.is_empty()
            && let Some(body) = body.as_object_mut()
        {
            let errors = self.errors.iter();
            let errors = errors.map(|e| json!({ "pointer": e.pointer, "code": e.code, "detail": e.detail }));
            body.insert("errors".to_owned(), errors.collect());
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
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
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<RepoError> for Problem {
    fn from(error: RepoError) -> Self {
        error!(%error, "the store failed");
        match error {
            RepoError::Unavailable { .. } => Self::unavailable(),
            RepoError::OutcomeUnknown { .. } | RepoError::TakenOver => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                "The database did not confirm; look at the result before you try again",
            ),
            RepoError::CollectionBusy { .. } => Self::busy(),
            RepoError::Duplicate { .. }
            | RepoError::CollectionMismatch { .. }
            | RepoError::NamespaceExists
            | RepoError::NamespaceNotFound
            | RepoError::Undecodable { .. }
            | RepoError::Refused { .. } => Self::internal(),
        }
    }
}

impl Problem {
    fn busy() -> Self {
        let detail = "The organization is being changed by another call; try again";
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::new(StatusCode::CONFLICT, "organization_busy", detail) }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::QueueFull => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "password_queue_full",
                "Too many passwords are being checked; try again",
            ),
            PasswordError::Failed => {
                error!(%error, "a password could not be checked");
                Self::internal()
            }
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidCredentials => {
                Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "Invalid credentials")
            }
            AuthError::InvalidToken => Self::unauthenticated("Could not validate credentials"),
            AuthError::TooManyAttempts { retry_after } => Self {
                retry_after: Some(retry_after + Duration::from_secs(1)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", "Too many attempts to log in; wait")
            },
            AuthError::Password(error) => error.into(),
            AuthError::Token(error) => {
                error!(%error, "a token could not be signed");
                Self::internal()
            }
            AuthError::Repo(error) => error.into(),
        }
    }
}

impl From<OrgError> for Problem {
    fn from(error: OrgError) -> Self {
        let conflict = |code, detail: &str| Self::new(StatusCode::CONFLICT, code, detail);
        match error {
            OrgError::NotFound => Self::new(StatusCode::NOT_FOUND, "organization_not_found", "Organization not found"),
            OrgError::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, "forbidden", "This token belongs to another organization")
            }
            OrgError::NameTaken => conflict("organization_exists", "Organization already exists"),
            OrgError::NewNameTaken => conflict("new_name_taken", "New organization name already exists"),
            OrgError::EmailTaken => conflict("email_taken", "Email belongs to another admin"),
            OrgError::CollectionOccupied => {
                conflict("collection_occupied", "A collection of that name exists and belongs to no organization")
            }
            OrgError::Busy => Self::busy(),
            OrgError::BadPassword(invalid) => Self::invalid(vec![invalid.at("/password")]),
            OrgError::CapacityReached => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "capacity_reached",
                "This server holds as many organizations as it may",
            ),
            OrgError::Password(error) => error.into(),
            OrgError::Token(error) => AuthError::Token(error).into(),
            OrgError::Undecided(error) | OrgError::Repo(error) => error.into(),
        }
    }
}
