//! What the services' errors mean to a client. Mapped once, here; a cause that a person must look into is logged
//! once, here too.

use std::time::Duration;

use tracing::{error, info};

use super::{Problem, kinds};
use crate::domain::{Invalid, Quota, QuotaReached};
use crate::extjson::ReadError;
use crate::repo::{Effect, RepoError};
use crate::service::attempts::Attempt;
use crate::service::idempotency::{KeyError, Refusal};
use crate::service::org::NotAdmitted;
use crate::service::{AuthError, ChangeError, DataError, OrgError, PasswordError, TooMany};
use crate::shares::Refused;

impl From<RepoError> for Problem {
    fn from(error: RepoError) -> Self {
        error!(%error, "the store failed");
        Self::new(match error {
            error if error.effect() == Effect::Unknown => kinds::OUTCOME_UNKNOWN,
            RepoError::CollectionBusy { .. } => kinds::ORGANIZATION_BUSY,
            error if error.is_temporary() => kinds::DATABASE_UNAVAILABLE,
            _ => kinds::INTERNAL_ERROR,
        })
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(match refused {
            Refused::ShareUsedUp => kinds::SHARE_USED_UP,
            Refused::AllUsedUp => kinds::SERVER_BUSY,
        })
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::QueueFull => Self::new(kinds::PASSWORD_QUEUE_FULL),
            PasswordError::ShareUsedUp => Self::new(kinds::SHARE_USED_UP),
            PasswordError::Failed => {
                error!(%error, "a password could not be checked");
                Self::new(kinds::INTERNAL_ERROR)
            }
        }
    }
}

impl From<TooMany> for Problem {
    fn from(TooMany { what, retry_after }: TooMany) -> Self {
        let who_and_what = match what {
            Attempt::LogIn => "Too many attempts to log in",
            Attempt::CheckPassword => "Too many updates of your organization with a password",
            Attempt::Create => "Too many attempts to create an organization from your network",
            Attempt::Change => "Too many updates of your organization with a new email or name",
            Attempt::FindUnknown => "Too many names asked for that no organization has",
        };
        // Retry-After counts whole seconds: a second more than the rest, so that the next try is not too early.
        let retry_after = retry_after + Duration::from_secs(1);
        let detail = format!("{who_and_what}; wait as long as Retry-After says");
        Self::new(kinds::TOO_MANY_ATTEMPTS).with_detail(detail).with_retry_after(retry_after)
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Reused => {
                let why = Invalid::new("reused", "was used with another body");
                Self { errors: vec![why.at("Idempotency-Key")], ..Self::new(kinds::IDEMPOTENCY_KEY_REUSED) }
            }
            KeyError::TooMany { retry_after } => {
                Self::new(kinds::TOO_MANY_IDEMPOTENCY_KEYS).with_retry_after(retry_after + Duration::from_secs(1))
            }
            KeyError::InProgress | KeyError::Repo(RepoError::TakenOver) => Self::new(kinds::REQUEST_IN_PROGRESS),
            KeyError::Repo(error) => error.into(),
        }
    }
}

impl Refusal for Problem {
    fn is_undecided(&self) -> bool {
        self.kind == kinds::OUTCOME_UNKNOWN
    }
}

impl From<NotAdmitted> for Problem {
    fn from(error: NotAdmitted) -> Self {
        Self::new(match error {
            NotAdmitted::Closed => kinds::REGISTRATION_CLOSED,
            NotAdmitted::NoToken => kinds::MISSING_TOKEN,
            NotAdmitted::WrongToken => kinds::INVALID_TOKEN,
        })
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidCredentials => Self::new(kinds::INVALID_CREDENTIALS),
            AuthError::InvalidToken => Self::new(kinds::INVALID_TOKEN),
            AuthError::TooMany(error) => error.into(),
            AuthError::Password(error) => error.into(),
            AuthError::Token(error) => unsigned(&error),
            AuthError::Repo(error) => error.into(),
        }
    }
}

impl From<OrgError> for Problem {
    fn from(error: OrgError) -> Self {
        match error {
            OrgError::NotFound => Self::new(kinds::ORGANIZATION_NOT_FOUND),
            OrgError::Forbidden => Self::new(kinds::FORBIDDEN),
            OrgError::NameTaken => Self::new(kinds::ORGANIZATION_EXISTS),
            OrgError::NotAdmitted(error) => error.into(),
            OrgError::TooMany(error) => error.into(),
            OrgError::CapacityReached => Self::new(kinds::CAPACITY_REACHED),
            OrgError::BadPassword(invalid) => Self::invalid(vec![invalid.at("/password")]),
            OrgError::StorageLow(_) => Self::new(kinds::STORAGE_LOW),
            OrgError::TooManyOldNames => Self::new(kinds::TOO_MANY_OLD_NAMES),
            OrgError::NameNotFound => Self::new(kinds::NAME_NOT_FOUND),
            OrgError::NameInUse => Self::new(kinds::NAME_IN_USE),
            OrgError::ChangeNotFound => Self::new(kinds::CHANGE_NOT_FOUND),
            OrgError::NotDeleted => Self::new(kinds::NOT_DELETED),
            OrgError::Change(error) => error.into(),
            OrgError::Auth(error) => error.into(),
            OrgError::Password(error) => error.into(),
            OrgError::Token(error) => unsigned(&error),
            OrgError::Repo(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        Self::new(match error {
            ChangeError::NameTaken => kinds::NEW_NAME_TAKEN,
            ChangeError::EmailTaken => kinds::EMAIL_TAKEN,
            ChangeError::CollectionOccupied => kinds::COLLECTION_OCCUPIED,
            ChangeError::CollectionReplaced => {
                error!(%error, "an operator must look at an organization's collection");
                kinds::TENANT_COLLECTION_REPLACED
            }
            ChangeError::CollectionHeld => kinds::COLLECTION_HELD,
            ChangeError::Busy => kinds::ORGANIZATION_BUSY,
            ChangeError::Gone => kinds::ORGANIZATION_NOT_FOUND,
            // Recorded, so another server or the next start ends it: whatever stopped us, "try again" would be wrong.
            ChangeError::Undecided { change_id, cause } => {
                error!(error = %cause, %change_id, "a recorded change was not finished");
                return Self::new(kinds::OUTCOME_UNKNOWN).with_change(change_id);
            }
            ChangeError::Repo(error) => return error.into(),
        })
    }
}

impl From<DataError> for Problem {
    fn from(error: DataError) -> Self {
        Self::new(match error {
            DataError::NotFound => kinds::DOCUMENT_NOT_FOUND,
            DataError::Exists => kinds::DOCUMENT_EXISTS,
            DataError::NotUnique { index } => {
                let detail = format!("The unique index '{index}' has this value already");
                return Self::new(kinds::NOT_UNIQUE).with_detail(detail);
            }
            DataError::PreconditionFailed => kinds::PRECONDITION_FAILED,
            DataError::DocumentBusy => kinds::DOCUMENT_BUSY,
            DataError::Invalid(errors) => return Self::invalid(errors),
            DataError::SchemaViolation(errors) => return Self::schema_violated(errors),
            DataError::Busy(refused) => return refused.into(),
            DataError::QuotaReached(reached) => return quota_reached(reached),
            DataError::StorageLow => kinds::STORAGE_LOW,
            DataError::TooSlow => kinds::QUERY_TOO_SLOW,
            DataError::TooManyIndexes => kinds::TOO_MANY_INDEXES,
            DataError::IndexBuilding => kinds::INDEX_BUILDING,
            DataError::TooManyBuilds => kinds::SERVER_BUSY,
            DataError::IndexExists => kinds::INDEX_EXISTS,
            DataError::IndexNotFound => kinds::INDEX_NOT_FOUND,
            DataError::SchemaNotFound => kinds::SCHEMA_NOT_FOUND,
            DataError::ForeignValidator => kinds::VALIDATOR_OCCUPIED,
            DataError::Gone => kinds::ORGANIZATION_NOT_FOUND,
            DataError::Moving => kinds::TENANT_MOVING,
            DataError::Replaced => {
                error!(%error, "an operator must look at an organization's collection");
                kinds::TENANT_COLLECTION_REPLACED
            }
            DataError::OutcomeUnknown(error) => {
                error!(%error, "a write of a document was not confirmed");
                kinds::OUTCOME_UNKNOWN
            }
            DataError::Repo(error @ RepoError::Unauthorized { .. }) => {
                error!(%error, "an operator must grant the server more in MongoDB");
                kinds::DATABASE_FORBIDS
            }
            // A write that takes too long is as likely the tenant's schema or indexes as a slow MongoDB.
            DataError::Repo(error @ RepoError::GivenUp { .. }) => {
                info!(%error, "an operation on an organization's data took too long");
                kinds::DATABASE_UNAVAILABLE
            }
            DataError::Repo(error) => return error.into(),
        })
    }
}

fn quota_reached(QuotaReached { quota, limit, used, coming }: QuotaReached) -> Problem {
    let what = match quota {
        Quota::Documents => "documents",
        Quota::Bytes => "bytes of documents",
    };
    Problem::new(kinds::QUOTA_REACHED).with_detail(format!(
        "The organization keeps {used} of the {limit} {what} that it may, and {coming} more would be too many; delete \
         something, or ask the server's operator for more"
    ))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Syntax { line, column } => not_json(line, column),
            ReadError::Invalid(errors) => Self::invalid(errors),
        }
    }
}

/// The parser's own words can quote the body, which may hold a password; the place is enough.
pub(in crate::http) fn not_json(line: usize, column: usize) -> Problem {
    Problem::new(kinds::INVALID_JSON).with_detail(format!("The body is not JSON: line {line}, column {column}"))
}

fn unsigned(error: &jsonwebtoken::errors::Error) -> Problem {
    error!(%error, "a token could not be signed");
    Problem::new(kinds::INTERNAL_ERROR)
}
