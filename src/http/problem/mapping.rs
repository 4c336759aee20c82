//! Maps the services' errors to problems, one row each: which calls can meet it, and as which kind. A cause that a
//! person must look into is logged here, once.

use std::time::Duration;

use tracing::{error, info};

use super::answers::problems;
use super::calls::{
    BUILD_INDEX, CREATE, DELETE, DROP_INDEX, FIND, GET, GET_SCHEMA, GIVE_UP_NAME, INSERT, LOG_IN, REACH, READ,
    RECORDED, REMOVE, REMOVE_SCHEMA, REPEAT, RESTORE, REWRITE, SET_SCHEMA, UPDATE, WATCH_CHANGE, WRITES,
};
use super::{Problem, calls, kinds};
use crate::domain::{Invalid, Quota, QuotaReached};
use crate::extjson::ReadError;
use crate::repo::{Effect, RepoError};
use crate::service::attempts::Attempt;
use crate::service::idempotency::{KeyError, Refusal};
use crate::service::orgs::NotAdmitted;
use crate::service::{AuthError, ChangeError, DataError, OrgError, PasswordError, TooMany};
use crate::shares::Refused;

problems! { error: RepoError {
    error if (error.effect() == Effect::Unknown) in RECORDED | GIVE_UP_NAME | REPEAT =>
        OUTCOME_UNKNOWN, |problem| problem.logged(&error, FAILED);
    RepoError::CollectionBusy { .. } in UPDATE | DELETE | RESTORE =>
        ORGANIZATION_BUSY, |problem| problem.logged(&error, FAILED);
    error if (error.is_temporary()) => DATABASE_UNAVAILABLE, |problem| problem.logged(&error, FAILED);
    error => INTERNAL_ERROR, |problem| problem.logged(&error, FAILED);
}}

problems! { refused: Refused {
    Refused::ShareUsedUp => SHARE_USED_UP;
    Refused::AllUsedUp => SERVER_BUSY;
}}

problems! { error: PasswordError {
    PasswordError::QueueFull => PASSWORD_QUEUE_FULL;
    PasswordError::ShareUsedUp => SHARE_USED_UP;
    PasswordError::Failed => INTERNAL_ERROR, |problem| problem.logged(&error, "a password could not be checked");
}}

problems! { many: TooMany {
    TooMany { what, retry_after } => TOO_MANY_ATTEMPTS, |problem| too_many(problem, what, retry_after);
}}

problems! { error: KeyError {
    KeyError::Reused => IDEMPOTENCY_KEY_REUSED, |problem| {
        let why = Invalid::new("reused", "was used with another body");
        problem.with_errors(vec![why.at("Idempotency-Key")])
    };
    KeyError::TooMany { retry_after } => TOO_MANY_IDEMPOTENCY_KEYS, |problem|
        problem.with_retry_after(retry_after + Duration::from_secs(1));
    KeyError::InProgress | KeyError::Repo(RepoError::LeaseLost) => REQUEST_IN_PROGRESS;
    KeyError::Repo(error) => <RepoError> error;
}}

problems! { error: NotAdmitted {
    NotAdmitted::Closed => REGISTRATION_CLOSED;
    NotAdmitted::NoToken => MISSING_TOKEN;
    NotAdmitted::WrongToken => INVALID_TOKEN;
}}

problems! { error: AuthError {
    AuthError::InvalidCredentials in LOG_IN | RESTORE => INVALID_CREDENTIALS;
    AuthError::InvalidToken in calls::RECOGNIZE | UPDATE => INVALID_TOKEN;
    AuthError::TooMany(many) in LOG_IN | RESTORE => <TooMany> many;
    AuthError::Password(error) in LOG_IN | RESTORE => <PasswordError> error;
    AuthError::Token(error) in LOG_IN => INTERNAL_ERROR, |problem| problem.logged(&error, UNSIGNED);
    AuthError::Repo(error) => <RepoError> error;
}}

problems! { error: OrgError {
    OrgError::NotFound in !CREATE => ORGANIZATION_NOT_FOUND;
    OrgError::Forbidden in REACH | UPDATE | DELETE => FORBIDDEN;
    OrgError::NameTaken in CREATE | RESTORE => ORGANIZATION_EXISTS;
    OrgError::NotAdmitted(error) in CREATE => <NotAdmitted> error;
    OrgError::TooMany(many) in CREATE | FIND | REACH | UPDATE | DELETE => <TooMany> many;
    OrgError::CapacityReached in CREATE => CAPACITY_REACHED;
    OrgError::BadPassword(invalid) in CREATE => VALIDATION_FAILED, |problem| problem.with_errors(vec![invalid.at("/password")]);
    OrgError::StorageLow(_) in CREATE => STORAGE_LOW;
    OrgError::TooManyOldNames in UPDATE => TOO_MANY_OLD_NAMES;
    OrgError::NameNotFound in GIVE_UP_NAME => NAME_NOT_FOUND;
    OrgError::NameInUse in GIVE_UP_NAME => NAME_IN_USE;
    OrgError::ChangeNotFound in WATCH_CHANGE => CHANGE_NOT_FOUND;
    OrgError::NotDeleted in RESTORE => NOT_DELETED;
    OrgError::Change(error) in RECORDED => <ChangeError> error;
    OrgError::Auth(error) in UPDATE | RESTORE => <AuthError> error;
    OrgError::Password(error) in CREATE | UPDATE => <PasswordError> error;
    OrgError::Token(error) in UPDATE => INTERNAL_ERROR, |problem| problem.logged(&error, UNSIGNED);
    OrgError::Repo(error) => <RepoError> error;
}}

problems! { error: ChangeError {
    ChangeError::NameTaken in UPDATE => NEW_NAME_TAKEN;
    ChangeError::EmailTaken in CREATE | UPDATE => EMAIL_TAKEN;
    ChangeError::CollectionOccupied in CREATE | UPDATE | RESTORE => COLLECTION_OCCUPIED;
    ChangeError::CollectionReplaced in UPDATE | DELETE | RESTORE =>
        TENANT_COLLECTION_REPLACED, |problem| problem.logged(&error, LOOK);
    ChangeError::CollectionHeld in UPDATE | RESTORE => COLLECTION_HELD;
    ChangeError::Busy in UPDATE | DELETE | RESTORE => ORGANIZATION_BUSY;
    ChangeError::Gone in UPDATE | DELETE | RESTORE => ORGANIZATION_NOT_FOUND;
    // It is recorded, so another server or the next start finishes it: "try again" would be wrong, whatever the cause.
    ChangeError::Undecided { change_id, cause } => OUTCOME_UNKNOWN, |problem| {
        error!(error = %cause, %change_id, "a recorded change was not finished");
        problem.with_change(change_id)
    };
    ChangeError::Repo(error) => <RepoError> error;
}}

problems! { error: DataError {
    DataError::NotFound in GET | REWRITE | REMOVE => DOCUMENT_NOT_FOUND;
    DataError::Exists in INSERT => DOCUMENT_EXISTS;
    DataError::NotUnique { index } in INSERT | REWRITE | BUILD_INDEX =>
        NOT_UNIQUE, |problem| problem.with_detail(format!("The unique index '{index}' has this value already"));
    DataError::PreconditionFailed in GET | REWRITE | REMOVE => PRECONDITION_FAILED;
    DataError::DocumentBusy in REWRITE | REMOVE => DOCUMENT_BUSY;
    DataError::Invalid(errors) => VALIDATION_FAILED, |problem| problem.with_errors(errors);
    DataError::SchemaViolation(errors) in INSERT | REWRITE => SCHEMA_VIOLATED, |problem| problem.with_errors(errors);
    DataError::Busy(refused) => <Refused> refused;
    DataError::QuotaReached(reached) in INSERT | REWRITE =>
        QUOTA_REACHED, |problem| problem.with_detail(quota_reached(reached));
    DataError::StorageLow in INSERT | REWRITE | BUILD_INDEX => STORAGE_LOW;
    DataError::TooSlow in READ | GET | INSERT | REWRITE | REMOVE | SET_SCHEMA => QUERY_TOO_SLOW;
    DataError::TooManyIndexes in BUILD_INDEX => TOO_MANY_INDEXES;
    DataError::IndexBuilding in BUILD_INDEX => INDEX_BUILDING;
    DataError::TooManyBuilds in BUILD_INDEX => SERVER_BUSY;
    DataError::IndexExists in BUILD_INDEX => INDEX_EXISTS;
    DataError::IndexNotFound in DROP_INDEX => INDEX_NOT_FOUND;
    DataError::SchemaNotFound in GET_SCHEMA | REMOVE_SCHEMA => SCHEMA_NOT_FOUND;
    DataError::ForeignValidator in GET_SCHEMA | SET_SCHEMA | REMOVE_SCHEMA => VALIDATOR_OCCUPIED;
    DataError::Gone => ORGANIZATION_NOT_FOUND;
    DataError::Moving => TENANT_MOVING;
    DataError::Replaced => TENANT_COLLECTION_REPLACED, |problem| problem.logged(&error, LOOK);
    DataError::OutcomeUnknown(error) in WRITES =>
        OUTCOME_UNKNOWN, |problem| problem.logged(&error, "a write of a document was not confirmed");
    DataError::Repo(error @ RepoError::Unauthorized { .. }) =>
        DATABASE_FORBIDS, |problem| problem.logged(&error, "an operator must grant the server more rights in MongoDB");
    // The tenant's schema or indexes can make a write slow as easily as MongoDB can.
    DataError::Repo(error @ RepoError::GivenUp { .. }) => DATABASE_UNAVAILABLE, |problem| {
        info!(%error, "an operation on an organization's data took too long");
        problem
    };
    DataError::Repo(error) => <RepoError> error;
}}

const FAILED: &str = "the store failed";
const UNSIGNED: &str = "a token could not be signed";
const LOOK: &str = "an operator must look at an organization's collection";

impl Problem {
    /// Logs the problem's cause, for a person to look into.
    fn logged(self, error: &dyn std::error::Error, what: &str) -> Self {
        error!(error = %error, "{what}");
        self
    }
}

impl Refusal for Problem {
    fn is_undecided(&self) -> bool {
        self.kind == kinds::OUTCOME_UNKNOWN
    }
}

fn too_many(problem: Problem, what: Attempt, retry_after: Duration) -> Problem {
    let who_and_what = match what {
        Attempt::LogIn => "Too many attempts to log in",
        Attempt::CheckPassword => "Too many updates of your organization with a password",
        Attempt::Create => "Too many attempts to create an organization from your network",
        Attempt::Change => "Too many updates of your organization with a new email or name",
        Attempt::FindUnknown => "Too many names asked for that no organization has",
    };
    // Retry-After counts whole seconds: one more, so that the next attempt is not too early.
    let retry_after = retry_after + Duration::from_secs(1);
    problem.with_detail(format!("{who_and_what}; wait as long as Retry-After says")).with_retry_after(retry_after)
}

fn quota_reached(QuotaReached { quota, limit, used, coming }: QuotaReached) -> String {
    let what = match quota {
        Quota::Documents => "documents",
        Quota::Bytes => "bytes of documents",
    };
    format!(
        "The organization keeps {used} of the {limit} {what} that it may, and {coming} more would be too many; delete \
         something, or ask the server's operator for more"
    )
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Syntax { line, column } => not_json(line, column),
            ReadError::Invalid(errors) => Self::invalid(errors),
        }
    }
}

/// Tells only the place: the parser's own message can quote the body, which may hold a password.
pub(in crate::http) fn not_json(line: usize, column: usize) -> Problem {
    Problem::new(kinds::INVALID_JSON).with_detail(format!("The body is not JSON: line {line}, column {column}"))
}
