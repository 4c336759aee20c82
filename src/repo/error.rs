//! What can go wrong between us and MongoDB, told apart by what the caller can do about it.
//!
//! MongoDB's own error texts can hold the values of documents (a duplicate key error quotes the email), so they
//! are never kept: an error holds the code, its name, and what was tried.

use mongodb::error::{Error as DriverError, ErrorKind, WriteFailure};
use uuid::Uuid;

/// MongoDB's error codes that mean something to us
/// (names and numbers: MongoDB's `src/mongo/base/error_codes.yml`).
pub(crate) mod code {
    pub(crate) const UNAUTHORIZED: i32 = 13;
    pub(crate) const NAMESPACE_NOT_FOUND: i32 = 26;
    pub(crate) const INDEX_NOT_FOUND: i32 = 27;
    pub(crate) const NAMESPACE_EXISTS: i32 = 48;
    pub(crate) const MAX_TIME_MS_EXPIRED: i32 = 50;
    pub(crate) const WRITE_CONCERN_TIMEOUT: i32 = 64;
    pub(crate) const WRITE_CONFLICT: i32 = 112;
    pub(crate) const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    pub(crate) const COLLECTION_UUID_MISMATCH: i32 = 361;
    pub(crate) const DUPLICATE_KEY: i32 = 11000;
    pub(crate) const INDEX_BUILD_IN_PROGRESS: i32 = 12587;
    /// The collection of a cursor or of a running query was renamed, or the cursor is gone.
    pub(crate) const CURSOR_ENDED: &[i32] = &[43, 175, 237];
    /// An index of that name or of these keys is there with other options.
    pub(crate) const INDEX_CONFLICT: &[i32] = &[85, 86];
    /// What the command asks for makes no sense to MongoDB: bad value, failed to parse, type mismatch, cannot create index,
    /// two lists in one index, invalid index options, invalid regular expression.
    pub(crate) const NOT_ACCEPTED: &[i32] = &[2, 9, 14, 67, 171, 197, 51091];
    /// The document, or the command with it, is larger than BSON may be.
    pub(crate) const TOO_LARGE: &[i32] = &[10334, 17419];
    /// A command of many writes ended in the middle, or what it has to say of them is larger than a reply may be: its time was
    /// over, somebody killed it, the reply was larger than BSON may be (10334) or than MongoDB's buffers (13548, over 64 MiB).
    /// Measured on MongoDB 6.0.5: what was written until then stays.
    pub(crate) const BATCH_BROKEN: &[i32] = &[MAX_TIME_MS_EXPIRED, 11601, 10334, 13548, 17419];
    /// Codes that say "ask another member" or "ask again": the state change and shutdown errors of the Server
    /// Discovery and Monitoring specification, and network time-outs inside the cluster.
    pub(crate) const UNAVAILABLE: &[i32] =
        &[6, 7, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436, 133, 134];
}

/// Why a storage operation did not give its answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepoError {
    /// A unique index refused the write.
    #[error("the value is taken (unique index {index})")]
    Duplicate {
        /// The index's name.
        index: String,
    },
    /// The collection of this UUID is not where the command looked; nothing was done.
    #[error("the collection is not the expected one")]
    CollectionMismatch {
        /// The name under which the UUID exists in this database now, if at all.
        actual: Option<String>,
    },
    /// A collection of this name exists already; nothing was done.
    #[error("the collection exists already")]
    NamespaceExists,
    /// There is no collection of this name; nothing was done.
    #[error("the collection does not exist")]
    NamespaceNotFound,
    /// A transaction, an index build or another change held the collection; nothing was done.
    #[error("the collection is held by something else ({summary})")]
    CollectionBusy {
        /// The code and its name.
        summary: String,
    },
    /// The change was taken over or finished by another server; this one must stop.
    #[error("the change was taken over by another server")]
    TakenOver,
    /// MongoDB could not be asked, or could not answer.
    #[error("MongoDB is not available ({summary})")]
    Unavailable {
        /// What the driver met, without data.
        summary: String,
    },
    /// No server that could be asked was found in time; nothing was sent.
    #[error("MongoDB cannot be reached ({summary})")]
    Unreachable {
        /// What the driver met, without data.
        summary: String,
    },
    /// The write may or may not have happened.
    #[error("the outcome of a write is unknown ({summary})")]
    OutcomeUnknown {
        /// What the driver met, without data.
        summary: String,
    },
    /// A command of many writes has no reply that says what became of each: any of them may have happened. A smaller one
    /// can have one.
    #[error("the outcome of many writes is unknown ({summary})")]
    BatchBroken {
        /// What the driver met, without data.
        summary: String,
    },
    /// An index that is not ours stands in the way of one of ours.
    #[error(
        "the index {index} of the collection {collection} is not as it must be; remove it, and the server makes it \
         anew: db.{collection}.dropIndex(\"{index}\")"
    )]
    IndexConflict {
        /// The collection.
        collection: &'static str,
        /// The index's name.
        index: &'static str,
    },
    /// MongoDB gave the operation up because it took too long or met another one; nothing was done.
    #[error("MongoDB gave the operation up ({summary})")]
    GivenUp {
        /// The code and its name.
        summary: String,
    },
    /// The collection's validator refused the document; nothing was done.
    #[error("the collection's validator refused the document")]
    DocumentRefused {
        /// MongoDB's `errInfo`: the rules that were broken. Holds values of the document, so it is never logged.
        info: Box<bson::Document>,
    },
    /// The document is larger than MongoDB stores; nothing was done.
    #[error("the document is too large")]
    DocumentTooLarge,
    /// A cursor or a running command ended because its collection was renamed, or its server changed; asking anew helps.
    /// A write may have happened all the same.
    #[error("the query was ended ({summary})")]
    QueryEnded {
        /// The code and its name.
        summary: String,
    },
    /// There is no index of that name; nothing was done.
    #[error("the index does not exist")]
    IndexNotFound,
    /// An index of that name or of these keys is there with other options; nothing was done.
    #[error("another such index exists")]
    IndexExists,
    /// MongoDB does not accept what was asked for; nothing was done.
    #[error("MongoDB does not accept this ({summary})")]
    NotAccepted {
        /// The code and its name.
        summary: String,
    },
    /// A stored document does not have the shape that it must have.
    #[error("document {id} of {collection} cannot be read ({reason})")]
    Undecodable {
        /// The collection.
        collection: &'static str,
        /// The document's `_id`.
        id: String,
        /// What is wrong with it; names fields, never values.
        reason: String,
    },
    /// The user in the connection string may not do this; nothing was done.
    #[error("the user in MONGO_URI may not do this ({summary})")]
    Unauthorized {
        /// The code and its name.
        summary: String,
    },
    /// Anything else that MongoDB refused: a defect of ours or of the deployment.
    #[error("MongoDB refused the command ({summary})")]
    Refused {
        /// The code and its name.
        summary: String,
    },
}

impl RepoError {
    /// Whether another attempt can succeed without anybody's doing: MongoDB is away, or busy.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::OutcomeUnknown { .. }
            | Self::BatchBroken { .. }
            | Self::CollectionBusy { .. }
            | Self::QueryEnded { .. }
            | Self::GivenUp { .. } => true,
            Self::Duplicate { .. }
            | Self::CollectionMismatch { .. }
            | Self::NamespaceExists
            | Self::NamespaceNotFound
            | Self::TakenOver
            | Self::IndexConflict { .. }
            | Self::DocumentRefused { .. }
            | Self::DocumentTooLarge
            | Self::IndexNotFound
            | Self::IndexExists
            | Self::NotAccepted { .. }
            | Self::Undecodable { .. }
            | Self::Unauthorized { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// The same failure of a read: it changed nothing, so its outcome is not unknown.
    #[must_use]
    pub(crate) fn of_read(error: impl Into<Self>) -> Self {
        match error.into() {
            Self::OutcomeUnknown { summary } => Self::Unavailable { summary },
            other => other,
        }
    }

    /// The same failure of a command of many writes. MongoDB (measured on 6.0.5) says nothing of any of them and closes the
    /// connection when its reply would be larger than 16 MiB, so a connection that broke may mean that too.
    #[must_use]
    pub(crate) fn of_batch(error: DriverError) -> Self {
        let is_broken = match error.kind.as_ref() {
            ErrorKind::Io(_) => true,
            ErrorKind::Command(command) => code::BATCH_BROKEN.contains(&command.code),
            _ => false,
        };
        let error = Self::from(error);
        if is_broken { Self::BatchBroken { summary: error.to_string() } } else { error }
    }

    /// The same failure of a command that needs the collection for itself: given up means that somebody held it.
    #[must_use]
    pub(crate) fn of_ddl(self) -> Self {
        match self {
            Self::GivenUp { summary } => Self::CollectionBusy { summary },
            other => other,
        }
    }

    /// Sorts an error code that MongoDB answered.
    pub(crate) fn from_code(number: i32, name: &str) -> Self {
        let summary = format!("{number} {name}");
        match number {
            code::UNAUTHORIZED => Self::Unauthorized { summary },
            code::NAMESPACE_EXISTS => Self::NamespaceExists,
            code::NAMESPACE_NOT_FOUND => Self::NamespaceNotFound,
            code::MAX_TIME_MS_EXPIRED | code::WRITE_CONFLICT => Self::GivenUp { summary },
            code::INDEX_BUILD_IN_PROGRESS => Self::CollectionBusy { summary },
            code::INDEX_NOT_FOUND => Self::IndexNotFound,
            number if code::CURSOR_ENDED.contains(&number) => Self::QueryEnded { summary },
            number if code::INDEX_CONFLICT.contains(&number) => Self::IndexExists,
            number if code::NOT_ACCEPTED.contains(&number) => Self::NotAccepted { summary },
            number if code::TOO_LARGE.contains(&number) => Self::DocumentTooLarge,
            code::WRITE_CONCERN_TIMEOUT => Self::OutcomeUnknown { summary },
            number if code::UNAVAILABLE.contains(&number) => Self::Unavailable { summary },
            _ => Self::Refused { summary },
        }
    }
}

impl From<DriverError> for RepoError {
    fn from(error: DriverError) -> Self {
        match error.kind.as_ref() {
            ErrorKind::Command(command) if command.code == code::COLLECTION_UUID_MISMATCH => {
                let actual = error
                    .server_response()
                    .and_then(|reply| reply.get_str("actualCollection").ok())
                    .map(ToOwned::to_owned);
                Self::CollectionMismatch { actual }
            }
            ErrorKind::Command(command) if command.code == code::DUPLICATE_KEY => {
                Self::Duplicate { index: index_of(&command.message) }
            }
            ErrorKind::Command(command) => Self::from_code(command.code, &command.code_name),
            ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == code::DUPLICATE_KEY => {
                Self::Duplicate { index: index_of(&write.message) }
            }
            ErrorKind::Write(WriteFailure::WriteError(write)) => {
                Self::from_code(write.code, write.code_name.as_deref().unwrap_or_default())
            }
            ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
                Self::OutcomeUnknown { summary: format!("write concern: {} {}", concern.code, concern.code_name) }
            }
            // The driver repeats reads and single-document writes once by itself. What is left after that is a
            // connection that broke twice: for a write, nobody knows what happened.
            ErrorKind::Io(io) => Self::OutcomeUnknown { summary: format!("connection: {}", io.kind()) },
            ErrorKind::ServerSelection { .. } => Self::Unreachable { summary: "no server could be reached".into() },
            ErrorKind::ConnectionPoolCleared { .. } => Self::Unavailable { summary: "connection pool cleared".into() },
            ErrorKind::DnsResolve { .. } => Self::Unavailable { summary: "the host name does not resolve".into() },
            ErrorKind::Authentication { .. } => Self::Unavailable { summary: "authentication failed".into() },
            ErrorKind::InvalidArgument { .. } => Self::Refused { summary: "invalid argument".into() },
            ErrorKind::InvalidTlsConfig { .. } => Self::Refused { summary: "invalid TLS configuration".into() },
            ErrorKind::IncompatibleServer { .. } => Self::Refused { summary: "incompatible server".into() },
            // `ErrorKind` is non-exhaustive; its name alone holds no data.
            other => Self::Refused { summary: kind_name(other) },
        }
    }
}

/// The index that a duplicate key error is about. The text is
/// `E11000 duplicate key error collection: db.coll index: email_1 dup key: { email: "…" }`; only the index's
/// name is taken out of it.
pub(crate) fn index_of(message: &str) -> String {
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
    fn a_duplicate_key_error_gives_up_its_index_and_not_its_value() {
        let message =
            "E11000 duplicate key error collection: m.admins index: email_1 dup key: { email: \"a@example.com\" }";
        assert_eq!(index_of(message), "email_1");
        assert_eq!(index_of("something else"), "unknown");
    }
}
