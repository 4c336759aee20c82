//! What can go wrong between us and MongoDB, sorted by what the caller can do about it.
//!
//! MongoDB's own error texts can contain document values (a duplicate key error quotes the email), so they are never
//! kept: an error holds the code, its name, and what was attempted.

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use uuid::Uuid;

/// The MongoDB error codes we act on (names and numbers: MongoDB's `src/mongo/base/error_codes.yml`).
pub(crate) mod code {
    pub(crate) const UNAUTHORIZED: i32 = 13;
    pub(crate) const NAMESPACE_NOT_FOUND: i32 = 26;
    pub(crate) const INDEX_NOT_FOUND: i32 = 27;
    pub(crate) const NAMESPACE_EXISTS: i32 = 48;
    pub(crate) const MAX_TIME_MS_EXPIRED: i32 = 50;
    pub(crate) const WRITE_CONFLICT: i32 = 112;
    pub(crate) const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    pub(crate) const COLLECTION_UUID_MISMATCH: i32 = 361;
    pub(crate) const DUPLICATE_KEY: i32 = 11000;
    pub(crate) const INDEX_BUILD_IN_PROGRESS: i32 = 12587;
    /// The collection under a cursor or running query was renamed, or the cursor is gone.
    pub(crate) const CURSOR_ENDED: &[i32] = &[43, 175, 237];
    /// An index with that name or those keys exists with other options.
    pub(crate) const INDEX_CONFLICT: &[i32] = &[85, 86];
    /// MongoDB rejects the input: bad value, failed to parse, type mismatch, cannot create index, two lists in one
    /// index, invalid index options, invalid regular expression.
    pub(crate) const NOT_ACCEPTED: &[i32] = &[2, 9, 14, 67, 171, 197, 51091];
    /// The document, or the command containing it, exceeds the BSON size limit.
    pub(crate) const TOO_LARGE: &[i32] = &[10334, 17419];
    /// A command of many writes broke off: it ran out of time, somebody killed it, or its reply exceeded BSON's limit
    /// (10334) or MongoDB's buffers (13548, over 64 MiB). Measured on MongoDB 6.0.5: what was written until then stays.
    pub(crate) const BATCH_BROKEN: &[i32] = &[MAX_TIME_MS_EXPIRED, 11601, 10334, 13548, 17419];
    /// Codes that mean "ask another member" or "ask again": the state change and shutdown errors of the Server
    /// Discovery and Monitoring specification, network timeouts inside the cluster, and a write concern timeout (64).
    pub(crate) const UNANSWERED: &[i32] =
        &[6, 7, 64, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 133, 134];
}

/// What a failed command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Unknown: it may have taken effect, or may still do so.
    Unknown,
}

/// Why a storage operation failed. [`Self::effect`] says what it did anyway.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepoError {
    /// A unique index refused the write.
    #[error("the value is taken (unique index {index})")]
    Duplicate {
        /// The index's name.
        index: String,
    },
    /// The collection with this UUID is not where the command looked.
    #[error("the collection is not the expected one")]
    CollectionMismatch {
        /// The name that the UUID has in this database now, if any.
        actual: Option<String>,
    },
    /// A collection with this name already exists.
    #[error("the collection exists already")]
    NamespaceExists,
    /// There is no collection with this name.
    #[error("the collection does not exist")]
    NamespaceNotFound,
    /// A transaction, an index build or another change held the collection.
    #[error("the collection is held by something else ({summary})")]
    CollectionBusy {
        /// The code and its name.
        summary: String,
    },
    /// Another server resumed or ended the work; this one must stop.
    #[error("the lease is lost")]
    LeaseLost,
    /// MongoDB gave no answer, or not the one to this command.
    #[error("MongoDB gave no answer ({summary})")]
    Unanswered {
        /// What the command did.
        effect: Effect,
        /// What the driver reported, without data.
        summary: String,
    },
    /// No usable server was found in time; nothing was sent.
    #[error("MongoDB cannot be reached ({summary})")]
    Unreachable {
        /// What the driver reported, without data.
        summary: String,
    },
    /// A command of many writes got no reply that tells the outcome of each. A smaller one could.
    #[error("the outcome of many writes is unknown ({summary})")]
    BatchBroken {
        /// What the driver reported, without data.
        summary: String,
    },
    /// A foreign index stands in the way of one of ours.
    #[error("the index {index} of the collection {collection} is not as it must be")]
    IndexConflict {
        /// The collection.
        collection: &'static str,
        /// The index's name.
        index: &'static str,
    },
    /// MongoDB aborted the operation because it took too long or conflicted with another one.
    #[error("MongoDB gave the operation up ({summary})")]
    GivenUp {
        /// The code and its name.
        summary: String,
    },
    /// The collection's validator refused the document.
    #[error("the collection's validator refused the document")]
    DocumentRefused {
        /// MongoDB's `errInfo`: the rules that were broken. Holds document values, so it is never logged.
        info: Box<bson::Document>,
    },
    /// The document is too large for MongoDB to store.
    #[error("the document is too large")]
    DocumentTooLarge,
    /// A cursor or running command ended because its collection was renamed or its server changed; retrying helps.
    #[error("the query was ended ({summary})")]
    QueryEnded {
        /// What it did. Measured on MongoDB 6.0.5: a delete interrupted by a rename takes effect, yet gets this error.
        effect: Effect,
        /// The code and its name.
        summary: String,
    },
    /// There is no index with that name.
    #[error("the index does not exist")]
    IndexNotFound,
    /// An index with that name or those keys exists with other options.
    #[error("another such index exists")]
    IndexExists,
    /// MongoDB does not accept the request.
    #[error("MongoDB does not accept this ({summary})")]
    NotAccepted {
        /// The code and its name.
        summary: String,
    },
    /// A stored document does not have the required shape.
    #[error("document {id} of {collection} cannot be read ({reason})")]
    Undecodable {
        /// The collection.
        collection: &'static str,
        /// The document's `_id`.
        id: String,
        /// What is wrong with it; names fields, never values.
        reason: String,
    },
    /// The user in the connection string lacks the permission.
    #[error("the user in MONGO_URI may not do this ({summary})")]
    Unauthorized {
        /// The code and its name.
        summary: String,
    },
    /// Any other refusal by MongoDB: a bug in this server, or a fault in the deployment.
    #[error("MongoDB refused the command ({summary})")]
    Refused {
        /// The code and its name.
        summary: String,
    },
}

impl RepoError {
    /// What the command did, and whether a retry can succeed without intervention.
    const fn nature(&self) -> (Effect, bool) {
        match self {
            Self::Unanswered { effect, .. } | Self::QueryEnded { effect, .. } => (*effect, true),
            Self::BatchBroken { .. } => (Effect::Unknown, true),
            // This attempt did nothing, but its change continues elsewhere.
            Self::LeaseLost => (Effect::Unknown, false),
            Self::Unreachable { .. } | Self::CollectionBusy { .. } | Self::GivenUp { .. } => (Effect::Nothing, true),
            Self::Duplicate { .. }
            | Self::CollectionMismatch { .. }
            | Self::NamespaceExists
            | Self::NamespaceNotFound
            | Self::IndexConflict { .. }
            | Self::DocumentRefused { .. }
            | Self::DocumentTooLarge
            | Self::IndexNotFound
            | Self::IndexExists
            | Self::NotAccepted { .. }
            | Self::Undecodable { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. } => (Effect::Nothing, false),
        }
    }

    /// What the command did.
    pub const fn effect(&self) -> Effect {
        self.nature().0
    }

    /// Whether a retry can succeed without intervention: MongoDB is away or busy.
    pub const fn is_temporary(&self) -> bool {
        self.nature().1
    }

    /// Whether the command's outcome is open: MongoDB did not receive it, or its result is unknown.
    pub fn is_undecided(&self) -> bool {
        self.effect() == Effect::Unknown || matches!(self, Self::Unanswered { .. } | Self::Unreachable { .. })
    }

    /// A write whose effect is unknown.
    pub(crate) fn unknown(summary: impl Into<String>) -> Self {
        Self::Unanswered { effect: Effect::Unknown, summary: summary.into() }
    }

    /// MongoDB was not asked, or its answer no longer matters.
    pub(crate) fn unasked(summary: impl Into<String>) -> Self {
        Self::Unanswered { effect: Effect::Nothing, summary: summary.into() }
    }

    /// The same failure for a read, which changes nothing.
    pub(crate) fn of_read(error: impl Into<Self>) -> Self {
        let mut error = error.into();
        if let Self::Unanswered { effect, .. } | Self::QueryEnded { effect, .. } = &mut error {
            *effect = Effect::Nothing;
        }
        error
    }

    /// The same failure for a command of many writes. When its reply would exceed 16 MiB, MongoDB (measured on 6.0.5)
    /// reports on none of them and closes the connection, so a broken connection may mean that too.
    pub(crate) fn of_batch(error: DriverError) -> Self {
        let is_broken = match error.kind.as_ref() {
            ErrorKind::Io(_) => true,
            ErrorKind::Command(command) => code::BATCH_BROKEN.contains(&command.code),
            _ => false,
        };
        let error = Self::from(error);
        if is_broken { Self::BatchBroken { summary: error.to_string() } } else { error }
    }

    /// The same failure for a command that needs the collection to itself: if aborted, something else held it.
    pub(crate) fn of_ddl(self) -> Self {
        match self {
            Self::GivenUp { summary } => Self::CollectionBusy { summary },
            other => other,
        }
    }

    /// Sorts an error that MongoDB returned, by its code, code name and text, and the collection's actual place.
    pub(crate) fn from_code(number: i32, name: &str, message: &str, actual: Option<&str>) -> Self {
        let summary = format!("{number} {name}");
        match number {
            code::COLLECTION_UUID_MISMATCH => Self::CollectionMismatch { actual: actual.map(ToOwned::to_owned) },
            code::DUPLICATE_KEY => Self::Duplicate { index: index_of(message) },
            code::UNAUTHORIZED => Self::Unauthorized { summary },
            code::NAMESPACE_EXISTS => Self::NamespaceExists,
            code::NAMESPACE_NOT_FOUND => Self::NamespaceNotFound,
            code::MAX_TIME_MS_EXPIRED | code::WRITE_CONFLICT => Self::GivenUp { summary },
            code::INDEX_BUILD_IN_PROGRESS => Self::CollectionBusy { summary },
            code::INDEX_NOT_FOUND => Self::IndexNotFound,
            number if code::CURSOR_ENDED.contains(&number) => Self::QueryEnded { effect: Effect::Unknown, summary },
            number if code::INDEX_CONFLICT.contains(&number) => Self::IndexExists,
            number if code::NOT_ACCEPTED.contains(&number) => Self::NotAccepted { summary },
            number if code::TOO_LARGE.contains(&number) => Self::DocumentTooLarge,
            number if code::UNANSWERED.contains(&number) => Self::unknown(summary),
            _ => Self::Refused { summary },
        }
    }
}

impl From<DriverError> for RepoError {
    fn from(error: DriverError) -> Self {
        match error.kind.as_ref() {
            ErrorKind::Command(command) => {
                let actual = error.server_response().and_then(|reply| reply.get_str("actualCollection").ok());
                Self::from_code(command.code, &command.code_name, &command.message, actual)
            }
            ErrorKind::Write(WriteFailure::WriteError(write)) => {
                Self::from_code(write.code, write.code_name.as_deref().unwrap_or_default(), &write.message, None)
            }
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
                Self::unknown(format!("write concern: {} {}", concern.code, concern.code_name))
            }
            // The driver itself retries reads and single-document writes once. What remains is a connection that broke
            // twice: a write's effect is then unknown.
            ErrorKind::Io(io) => Self::unknown(format!("connection: {}", io.kind())),
            // Reported only when no attempt reached MongoDB: the driver prefers the error of one that did.
            ErrorKind::ServerSelection { .. } => Self::Unreachable { summary: "no server could be reached".into() },
            ErrorKind::ConnectionPoolCleared { .. } => Self::unasked("connection pool cleared"),
            ErrorKind::DnsResolve { .. } => Self::unasked("the host name does not resolve"),
            ErrorKind::Authentication { .. } => Self::unasked("authentication failed"),
            ErrorKind::InvalidArgument { .. } => Self::Refused { summary: "invalid argument".into() },
            ErrorKind::InvalidTlsConfig { .. } => Self::Refused { summary: "invalid TLS configuration".into() },
            ErrorKind::IncompatibleServer { .. } => Self::Refused { summary: "incompatible server".into() },
            // `ErrorKind` is non-exhaustive; its name alone holds no data.
            other => Self::Refused { summary: kind_name(other) },
        }
    }
}

/// The index that a duplicate key error is about. Takes only the index's name from the text, which is `E11000 duplicate
/// key error collection: db.coll index: email_1 dup key: { email: "…" }`.
fn index_of(message: &str) -> String {
    message
        .split_once(" index: ")
        .and_then(|(_, rest)| rest.split_once(" dup key"))
        .map_or_else(|| "unknown".to_owned(), |(index, _)| index.to_owned())
}

fn kind_name(kind: &ErrorKind) -> String {
    let text = format!("{kind:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// A UUID as MongoDB stores it.
pub(crate) fn bson_uuid(uuid: Uuid) -> bson::Uuid {
    bson::Uuid::from_uuid_1(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_what_the_command_did_and_whether_to_try_again() {
        use Effect::{Nothing, Unknown};
        let away = [6, 7, 64, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 133, 134];
        let table: [(&str, Effect, bool, &[i32]); 14] = [
            ("Unauthorized", Nothing, false, &[13]),
            ("NamespaceNotFound", Nothing, false, &[26]),
            ("IndexNotFound", Nothing, false, &[27]),
            ("NamespaceExists", Nothing, false, &[48]),
            ("CollectionMismatch", Nothing, false, &[361]),
            ("Duplicate", Nothing, false, &[11000]),
            ("IndexExists", Nothing, false, &[85, 86]),
            ("NotAccepted", Nothing, false, &[2, 9, 14, 67, 171, 197, 51091]),
            ("DocumentTooLarge", Nothing, false, &[10334, 17419]),
            ("Refused", Nothing, false, &[1, 121, 999_999]),
            ("GivenUp", Nothing, true, &[50, 112]),
            ("CollectionBusy", Nothing, true, &[12587]),
            ("QueryEnded", Unknown, true, &[43, 175, 237]),
            ("Unanswered", Unknown, true, &away),
        ];
        for (kind, effect, is_temporary, codes) in table {
            for code in codes {
                let error = RepoError::from_code(*code, "Name", "", None);
                assert!(format!("{error:?}").starts_with(kind), "{code}: {error:?}");
                assert_eq!((error.effect(), error.is_temporary()), (effect, is_temporary), "{code}");
                assert_eq!(error.is_undecided(), effect == Unknown, "{code}");
                let of_read = RepoError::of_read(error);
                assert_eq!((of_read.effect(), of_read.is_temporary()), (Nothing, is_temporary), "{code}");
            }
        }
    }

    #[test]
    fn nobody_knows_what_became_of_a_write_whose_connection_broke() {
        let cut = || DriverError::from(std::io::Error::other("cut"));
        assert_eq!(RepoError::from(cut()).effect(), Effect::Unknown);
        assert_eq!(RepoError::of_read(cut()).effect(), Effect::Nothing);
        assert_eq!(RepoError::of_batch(cut()).effect(), Effect::Unknown);
    }

    #[test]
    fn a_duplicate_key_error_gives_up_its_index_and_not_its_value() {
        let message =
            "E11000 duplicate key error collection: m.admins index: email_1 dup key: { email: \"a@example.com\" }";
        assert_eq!(index_of(message), "email_1");
        assert_eq!(index_of("something else"), "unknown");
    }
}
