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
#[expect(missing_docs, reason = "each message says it")]
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("the document does not exist")]
    NotFound,
    #[error("the document exists already")]
    Exists,
    #[error("a unique index has the value already")]
    NotUnique {
        /// The index's name, which the tenant chose.
        index: String,
    },
    #[error("the document is not as the caller expects it")]
    PreconditionFailed,
    #[error("the document is changed by too many at once")]
    DocumentBusy,
    #[error("something that was sent is not acceptable")]
    Invalid(Vec<FieldError>),
    #[error("the schema refuses the document")]
    SchemaViolation(Vec<FieldError>),
    #[error(transparent)]
    Busy(#[from] Refused),
    #[error("the organization keeps as much as it may")]
    QuotaReached(QuotaReached),
    #[error("MongoDB's disk is nearly full")]
    StorageLow,
    #[error("the query took too long")]
    TooSlow,
    #[error("the organization has as many indexes as it may")]
    TooManyIndexes,
    #[error("another index of the organization is being built")]
    IndexBuilding,
    #[error("the server builds as many indexes as it may")]
    TooManyBuilds,
    #[error("there is another such index")]
    IndexExists,
    #[error("the index does not exist")]
    IndexNotFound,
    #[error("there is no schema")]
    SchemaNotFound,
    #[error("the collection has a validator of somebody else")]
    ForeignValidator,
    #[error("the organization is gone")]
    Gone,
    #[error("the collection cannot be reached while it is being changed")]
    Moving,
    #[error("the collection was replaced by hand")]
    Replaced,
    #[error("the outcome of the write is not known")]
    OutcomeUnknown(#[source] RepoError),
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
