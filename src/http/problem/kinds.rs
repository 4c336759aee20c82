//! Every kind of problem that a client can meet: its status, its stable code and its usual sentence.
//!
//! Clients match on the codes: one may be added, none may be changed. The sentences for what the original had too are
//! the original's, because its clients read `detail`.

use axum::http::StatusCode;

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Kind {
    /// The status that it is answered with.
    pub(in crate::http) status: StatusCode,
    /// Its stable name, for programs.
    pub(in crate::http) code: &'static str,
    /// Its usual sentence, for people.
    pub(in crate::http) detail: &'static str,
    /// After how many seconds to try again where nothing better is known; without it, another try does not help by itself.
    pub(in crate::http) retry_after_seconds: Option<u8>,
}

impl Kind {
    /// The status in words.
    pub(in crate::http) fn title(self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }
}

macro_rules! kinds {
    ($($name:ident = $status:ident, $code:literal, $detail:literal $(, again after $seconds:literal)?;)*) => {
        $(pub(in crate::http) const $name: Kind = Kind {
            status: StatusCode::$status,
            code: $code,
            detail: $detail,
            retry_after_seconds: kinds!(@after $($seconds)?),
        };)*

        /// All of them, in this order.
        pub(in crate::http) const ALL: &[Kind] = &[$($name),*];
    };
    (@after) => { None };
    (@after $seconds:literal) => { Some($seconds) };
}

kinds! {
    BAD_REQUEST = BAD_REQUEST, "bad_request", "The request cannot be read";
    INVALID_JSON = BAD_REQUEST, "invalid_json", "The body is not JSON";
    MISSING_TOKEN = UNAUTHORIZED, "missing_token", "Not authenticated";
    INVALID_TOKEN = UNAUTHORIZED, "invalid_token", "Could not validate credentials";
    INVALID_CREDENTIALS = UNAUTHORIZED, "invalid_credentials", "Invalid credentials";
    FORBIDDEN = FORBIDDEN, "forbidden", "This token belongs to another organization";
    REGISTRATION_CLOSED = FORBIDDEN, "registration_closed",
        "This server takes no new organizations; ask whoever runs it";
    QUOTA_REACHED = FORBIDDEN, "quota_reached",
        "The organization keeps as much as it may; delete something, or ask the server's operator for more";
    ORGANIZATION_NOT_FOUND = NOT_FOUND, "organization_not_found", "Organization not found";
    NAME_NOT_FOUND = NOT_FOUND, "name_not_found", "The organization has no such old name";
    CHANGE_NOT_FOUND = NOT_FOUND, "change_not_found", "The organization has no such change, or it was too long ago";
    DOCUMENT_NOT_FOUND = NOT_FOUND, "document_not_found", "There is no document of this id";
    INDEX_NOT_FOUND = NOT_FOUND, "index_not_found", "There is no index of this name";
    SCHEMA_NOT_FOUND = NOT_FOUND, "schema_not_found", "The organization has set no schema";
    ROUTE_NOT_FOUND = NOT_FOUND, "route_not_found", "There is nothing at this path; /redoc lists what there is";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not know this method; see Allow";
    BODY_TIMEOUT = REQUEST_TIMEOUT, "body_timeout", "The body did not arrive in time";
    ANSWER_TIMEOUT = REQUEST_TIMEOUT, "answer_timeout", "The answer was not taken in time";
    ORGANIZATION_EXISTS = CONFLICT, "organization_exists", "Organization already exists";
    NEW_NAME_TAKEN = CONFLICT, "new_name_taken", "New organization name already exists";
    EMAIL_TAKEN = CONFLICT, "email_taken", "Email belongs to another admin";
    COLLECTION_OCCUPIED = CONFLICT, "collection_occupied",
        "There is a collection of that name already, which is not this organization's; choose another name";
    ORGANIZATION_BUSY = CONFLICT, "organization_busy",
        "The organization is being changed by another call; try again", again after 1;
    REQUEST_IN_PROGRESS = CONFLICT, "request_in_progress",
        "A request with this Idempotency-Key is not over yet; repeat it later", again after 1;
    TOO_MANY_OLD_NAMES = CONFLICT, "too_many_old_names",
        "The organization has as many old names as it may; give one up first, or keep none";
    NAME_IN_USE = CONFLICT, "name_in_use", "This is the organization's present name; rename it to give the name up";
    NOT_DELETED = CONFLICT, "not_deleted", "The organization is not deleted; log in";
    DOCUMENT_EXISTS = CONFLICT, "document_exists", "There is a document of this id already";
    NOT_UNIQUE = CONFLICT, "not_unique", "A unique index has this value already";
    DOCUMENT_BUSY = CONFLICT, "document_busy", "The document is changed by too many at once; try again", again after 1;
    INDEX_EXISTS = CONFLICT, "index_exists",
        "There is another index of this name or of these keys; drop it first or choose another name";
    INDEX_BUILDING = CONFLICT, "index_building", "Another index of the organization is being built; wait until it is ready", again after 1;
    INDEX_PROTECTED = CONFLICT, "index_protected", "The index over _id cannot be dropped";
    TOO_MANY_INDEXES = CONFLICT, "too_many_indexes", "The organization has as many indexes as it may; drop one first";
    VALIDATOR_OCCUPIED = CONFLICT, "validator_occupied",
        "The collection has a validator that was made by hand; its operator must remove it first";
    PRECONDITION_FAILED = PRECONDITION_FAILED, "precondition_failed",
        "The document is not as If-Match or If-None-Match expects; get it again";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "The body is larger than this server reads";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type",
        "Send the body as one of the types that this call documents, such as application/json, and say so in Content-Type";
    VALIDATION_FAILED = UNPROCESSABLE_ENTITY, "validation_failed", "Some fields are missing or not valid";
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency_key_reused",
        "This Idempotency-Key was used for a request that said something else; use another key";
    SCHEMA_VIOLATED = UNPROCESSABLE_ENTITY, "schema_violated", "The document breaks the organization's schema";
    TOO_MANY_ATTEMPTS = TOO_MANY_REQUESTS, "too_many_attempts", "Too many attempts; wait as long as Retry-After says", again after 1;
    SHARE_USED_UP = TOO_MANY_REQUESTS, "share_used_up",
        "You have as much of the server at work as one may have who shares it with others; wait for your own requests first", again after 1;
    TOO_MANY_IDEMPOTENCY_KEYS = TOO_MANY_REQUESTS, "too_many_idempotency_keys",
        "As many Idempotency-Keys of yours are kept as may be; wait as long as Retry-After says, or send the request without one", again after 1;
    INTERNAL_ERROR = INTERNAL_SERVER_ERROR, "internal_error", "The server failed; its log has more under this request_id";
    DATABASE_FORBIDS = INTERNAL_SERVER_ERROR, "database_forbids",
        "The user that the server has in MongoDB may not do this; its operator must grant it";
    DATABASE_UNAVAILABLE = SERVICE_UNAVAILABLE, "database_unavailable", "The database is not available; try again", again after 1;
    OUTCOME_UNKNOWN = SERVICE_UNAVAILABLE, "outcome_unknown",
        "The database did not confirm; look at the result before you try again", again after 1;
    REQUEST_TIMEOUT = SERVICE_UNAVAILABLE, "request_timeout",
        "The server did not finish in time; look at the result before you try again", again after 1;
    QUERY_TOO_SLOW = SERVICE_UNAVAILABLE, "query_too_slow",
        "The query took too long; narrow its filter, or create an index for it", again after 1;
    TENANT_MOVING = SERVICE_UNAVAILABLE, "tenant_moving",
        "The organization's collection is being changed; nothing was done, try again", again after 1;
    COLLECTION_HELD = SERVICE_UNAVAILABLE, "collection_held",
        "A transaction or an index build holds the organization's collection; nothing was changed, try again", again after 1;
    SERVER_STOPPING = SERVICE_UNAVAILABLE, "server_stopping", "The server is stopping; go on with another, or later", again after 1;
    PASSWORD_QUEUE_FULL = SERVICE_UNAVAILABLE, "password_queue_full",
        "Too many passwords are being checked; try again", again after 1;
    SERVER_BUSY = SERVICE_UNAVAILABLE, "server_busy", "The server has as many requests at work as it can hold; try again", again after 1;
    TENANT_COLLECTION_REPLACED = SERVICE_UNAVAILABLE, "tenant_collection_replaced",
        "The organization's collection is gone or was replaced by hand; nothing was changed, and its operator must look", again after 1;
    CAPACITY_REACHED = SERVICE_UNAVAILABLE, "capacity_reached",
        "This server holds as many organizations as MAX_ORGANIZATIONS allows", again after 1;
    STORAGE_LOW = INSUFFICIENT_STORAGE, "storage_low",
        "The database's disk is nearly full: reading and deleting go on, and nothing can be added until its operator has made room", again after 30;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_means_one_thing_and_every_kind_is_an_error() {
        let codes: BTreeSet<_> = ALL.iter().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), ALL.len());
        assert!(ALL.iter().all(|kind| kind.status.is_client_error() || kind.status.is_server_error()));
    }
}
