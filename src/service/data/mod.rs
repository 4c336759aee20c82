//! Tenants' documents, indexes and schemas. Every call takes a [`crate::domain::Tenant`], which only an authorized
//! caller can obtain.

mod admission;
mod cursors;
mod export;
mod import;
mod index_builds;
mod indexes;
mod located;
mod quota;
mod reads;
mod schema;
mod sizes;
mod writes;

pub use admission::Admission;
pub use cursors::CursorSealer;
pub use export::Export;
pub use import::{Import, Imported};
pub use indexes::MAX_INDEXES;
pub use reads::{ListDocuments, PAGE_BYTES, Page};
pub use schema::AppliedSchema;

pub use crate::repo::data::{CollectionStats, DocumentBatch, StoredIndex};

use std::sync::Arc;

use index_builds::Builds;
use sizes::Sizes;

use crate::domain::{FieldError, Invalid, OrgId, QuotaReached, Tenant};
use crate::repo::{DataRepo, OrgRepo, RepoError, Repos};
use crate::service::storage::StorageLow;
use crate::shares::{PATIENCE, Refused, Share, Shares};

/// Why a call on a tenant's data failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No document has this id.
    #[error("the document does not exist")]
    NotFound,
    /// A document with this id exists already.
    #[error("the document exists already")]
    Exists,
    /// A unique index has the value already.
    #[error("a unique index has the value already")]
    NotUnique {
        /// The index's name, which the tenant chose.
        index: String,
    },
    /// The document is not in the state that the caller expects.
    #[error("the document is not as the caller expects it")]
    PreconditionFailed,
    /// So many clients write the document at once that this write never met it as it had read it.
    #[error("the document is changed by too many at once")]
    DocumentBusy,
    /// The input is not acceptable.
    #[error("something that was sent is not acceptable")]
    Invalid(Vec<FieldError>),
    /// The collection's schema refuses the document.
    #[error("the schema refuses the document")]
    SchemaViolation(Vec<FieldError>),
    /// The organization uses its full share of concurrent work, or the server is at its limit.
    #[error(transparent)]
    Busy(#[from] Refused),
    /// The organization has reached a quota.
    #[error("the organization keeps as much as it may")]
    QuotaReached(QuotaReached),
    /// MongoDB's disk has no room for what the write would add.
    #[error("MongoDB's disk is nearly full")]
    StorageLow,
    /// The query exceeded its time limit.
    #[error("the query took too long")]
    TooSlow,
    /// The organization has the most indexes allowed.
    #[error("the organization has as many indexes as it may")]
    TooManyIndexes,
    /// Another index of the organization is being built.
    #[error("another index of the organization is being built")]
    IndexBuilding,
    /// The server is building the most indexes allowed.
    #[error("the server builds as many indexes as it may")]
    TooManyBuilds,
    /// Another index has this name or these keys.
    #[error("there is another such index")]
    IndexExists,
    /// No index has this name.
    #[error("the index does not exist")]
    IndexNotFound,
    /// The collection has no schema.
    #[error("there is no schema")]
    SchemaNotFound,
    /// The collection has a validator that this server did not make.
    #[error("the collection has a validator of somebody else")]
    ForeignValidator,
    /// The organization was deleted in the meantime.
    #[error("the organization is gone")]
    Gone,
    /// The collection moves faster than it can be followed, or something else holds it.
    #[error("the collection cannot be reached while it is being changed")]
    Moving,
    /// The collection is missing or was replaced, and not by a change of ours.
    #[error("the collection was replaced by hand")]
    Replaced,
    /// The write may or may not have happened.
    #[error("the outcome of the write is not known")]
    OutcomeUnknown(#[source] RepoError),
    /// The store failed.
    #[error("the store failed")]
    Repo(#[from] RepoError),
}

impl From<QuotaReached> for DataError {
    fn from(reached: QuotaReached) -> Self {
        Self::QuotaReached(reached)
    }
}

impl From<StorageLow> for DataError {
    fn from(StorageLow: StorageLow) -> Self {
        Self::StorageLow
    }
}

impl DataError {
    /// Whether the request caused it, or it will soon pass by itself: no operator need look into it.
    pub fn is_ordinary(&self) -> bool {
        match self {
            Self::Repo(error) => matches!(error, RepoError::GivenUp { .. }),
            Self::Replaced | Self::OutcomeUnknown(_) => false,
            Self::NotFound
            | Self::Exists
            | Self::NotUnique { .. }
            | Self::PreconditionFailed
            | Self::DocumentBusy
            | Self::Invalid(_)
            | Self::SchemaViolation(_)
            | Self::Busy(_)
            | Self::QuotaReached(_)
            // The disk monitor logs this once.
            | Self::StorageLow
            | Self::TooSlow
            | Self::TooManyIndexes
            | Self::IndexBuilding
            | Self::TooManyBuilds
            | Self::IndexExists
            | Self::IndexNotFound
            | Self::SchemaNotFound
            | Self::ForeignValidator
            | Self::Gone
            | Self::Moving => true,
        }
    }

    /// A single unacceptable value, with its place.
    fn invalid(why: Invalid, pointer: &str) -> Self {
        Self::Invalid(vec![why.at(pointer)])
    }
}

/// Serves tenants' data.
#[derive(Debug, Clone)]
pub struct DataService {
    repo: DataRepo,
    orgs: OrgRepo,
    cursors: CursorSealer,
    builds: Builds,
    admission: Admission,
    turns: Arc<Shares<OrgId>>,
    sizes: Arc<Sizes>,
}

impl DataService {
    /// Serves the data of these repositories, with `max_running` calls at once. Imports, exports and index builds do
    /// not count.
    pub fn new(repos: &Repos, cursors: CursorSealer, admission: Admission, max_running: usize) -> Self {
        Self {
            repo: repos.data.clone(),
            orgs: repos.orgs.clone(),
            cursors,
            builds: Builds::default(),
            admission,
            turns: Shares::new("queries_running", max_running),
            sizes: Arc::default(),
        }
    }

    /// Acquires the organization's turn to run a command in MongoDB.
    async fn turn(&self, tenant: &Tenant) -> Result<Share<OrgId>, DataError> {
        Ok(self.turns.take(tenant.org_id(), 1, PATIENCE).await?)
    }
}
