//! What the services' errors mean to a client. Mapped once, here; a cause that a person must look into is logged
//! once, here too.

use std::time::Duration;

use tracing::error;

use super::{Problem, kinds};
use crate::repo::RepoError;
use crate::service::{AuthError, OrgError, PasswordError};

impl From<RepoError> for Problem {
    fn from(error: RepoError) -> Self {
        error!(%error, "the store failed");
        Self::new(match error {
            RepoError::Unavailable { .. } | RepoError::GivenUp { .. } => kinds::DATABASE_UNAVAILABLE,
            RepoError::OutcomeUnknown { .. } | RepoError::TakenOver => kinds::OUTCOME_UNKNOWN,
            RepoError::CollectionBusy { .. } => kinds::ORGANIZATION_BUSY,
            RepoError::Duplicate { .. }
            | RepoError::CollectionMismatch { .. }
            | RepoError::NamespaceExists
            | RepoError::NamespaceNotFound
            | RepoError::IndexConflict { .. }
            | RepoError::Undecodable { .. }
            | RepoError::Unauthorized { .. }
            | RepoError::Refused { .. } => kinds::INTERNAL_ERROR,
        })
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::QueueFull => Self::new(kinds::PASSWORD_QUEUE_FULL),
            PasswordError::Failed => {
                error!(%error, "a password could not be checked");
                Self::new(kinds::INTERNAL_ERROR)
            }
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidCredentials => Self::new(kinds::INVALID_CREDENTIALS),
            AuthError::InvalidToken => Self::new(kinds::INVALID_TOKEN),
            // Retry-After counts whole seconds: a second more than the rest, so that the next try is not too early.
            AuthError::TooManyAttempts { retry_after } => {
                Self::new(kinds::TOO_MANY_ATTEMPTS).with_retry_after(retry_after + Duration::from_secs(1))
            }
            AuthError::Password(error) => error.into(),
            AuthError::Token(error) => unsigned(&error),
            AuthError::Repo(error) => error.into(),
        }
    }
}

impl From<OrgError> for Problem {
    fn from(error: OrgError) -> Self {
        Self::new(match error {
            OrgError::NotFound => kinds::ORGANIZATION_NOT_FOUND,
            OrgError::Forbidden => kinds::FORBIDDEN,
            OrgError::NameTaken => kinds::ORGANIZATION_EXISTS,
            OrgError::NewNameTaken => kinds::NEW_NAME_TAKEN,
            OrgError::EmailTaken => kinds::EMAIL_TAKEN,
            OrgError::CollectionOccupied => kinds::COLLECTION_OCCUPIED,
            OrgError::CollectionReplaced => {
                error!("an organization's collection is gone or another program replaced it");
                kinds::TENANT_COLLECTION_REPLACED
            }
            OrgError::Busy => kinds::ORGANIZATION_BUSY,
            OrgError::CapacityReached => kinds::CAPACITY_REACHED,
            OrgError::BadPassword(invalid) => return Self::invalid(vec![invalid.at("/password")]),
            OrgError::Password(error) => return error.into(),
            OrgError::Token(error) => return unsigned(&error),
            // Recorded, so another server or the next start ends it: whatever stopped us, "try again" would be wrong.
            OrgError::Undecided(error) => {
                error!(%error, "a recorded change was not finished");
                kinds::OUTCOME_UNKNOWN
            }
            OrgError::Repo(error) => return error.into(),
        })
    }
}

fn unsigned(error: &jsonwebtoken::errors::Error) -> Problem {
    error!(%error, "a token could not be signed");
    Problem::new(kinds::INTERNAL_ERROR)
}
