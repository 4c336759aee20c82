//! Tenants' documents, indexes and schemas. Every call begins with a [`crate::domain::Tenant`], which only an authorized
//! caller yields.

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

/// Why a call on a tenant's data did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no document of this id.
    #[error("the document does not exist")]
    NotFound,
    /// There is a document of this id already.
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
    /// The document is written by so many at once that this write never met it as it had read it.
    #[error("the document is changed by too many at once")]
    DocumentBusy,
    /// What was sent is not acceptable.
    #[error("something that was sent is not acceptable")]
    Invalid(Vec<FieldError>),
    /// The collection's schema refuses the document.
    #[error("the schema refuses the document")]
    SchemaViolation(Vec<FieldError>),
    /// The organization works with its data as much as it may while others do too, or everybody does as much as there can be.
    #[error(transparent)]
    Busy(#[from] Refused),
    /// The organization keeps as much as it may.
    #[error("the organization keeps as much as it may")]
    QuotaReached(QuotaReached),
    /// MongoDB's disk has no room for what the write would add.
    #[error("MongoDB's disk is nearly full")]
    StorageLow,
    /// The query took longer than a query may.
    #[error("the query took too long")]
    TooSlow,
    /// The organization has as many indexes as it may.
    #[error("the organization has as many indexes as it may")]
    TooManyIndexes,
    /// Another index of the organization is being built.
    #[error("another index of the organization is being built")]
    IndexBuilding,
    /// The server builds as many indexes as it may.
    #[error("the server builds as many indexes as it may")]
    TooManyBuilds,
    /// There is another index of that name or of these keys.
    #[error("there is another such index")]
    IndexExists,
    /// There is no index of that name.
    #[error("the index does not exist")]
    IndexNotFound,
    /// There is no schema.
    #[error("there is no schema")]
    SchemaNotFound,
    /// The collection has a validator that this server did not make.
    #[error("the collection has a validator of somebody else")]
    ForeignValidator,
    /// The organization was deleted meanwhile.
    #[error("the organization is gone")]
    Gone,
    /// The collection moves on faster than it can be followed, or is held by something else.
    #[error("the collection cannot be reached while it is being changed")]
    Moving,
    /// The collection is gone or another one stands in its place, and no change of ours did it.
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
    /// Whether it is the request's own doing, or will be over soon by itself: nothing that an operator must look into.
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
            // Whoever watches the disk says so once.
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

    /// One thing that is not acceptable, with its place.
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
    /// Serves the data of these repositories; `max_running` calls at once. Imports, exports and index builds are not among
    /// them.
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

    /// The organization's turn to have a command at work in MongoDB.
    async fn turn(&self, tenant: &Tenant) -> Result<Share<OrgId>, DataError> {
        Ok(self.turns.take(tenant.org_id(), 1, PATIENCE).await?)
    }
}
