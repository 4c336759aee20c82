//! Storage: the master database and the tenant collections. The only layer that talks to MongoDB.
//!
//! A repository stores and loads; it decides nothing. Absent is `Ok(None)`; `Err` means a failure.

pub mod admins;
pub(crate) mod command;
pub mod connect;
pub mod data;
pub mod error;
pub mod idempotency;
pub mod inventory;
pub mod journal;
pub mod master_indexes;
mod names;
pub mod orgs;
pub mod original;
mod records;
mod repairs;
pub mod storage;
pub mod tenants;

use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::Error as DriverError;
use mongodb::{Collection, Cursor};
use serde::de::DeserializeOwned;

pub use admins::AdminRepo;
pub use connect::{ConnectError, Databases, ping};
pub use data::DataRepo;
pub use error::{Effect, RepoError};
pub use idempotency::IdempotencyRepo;
pub use inventory::InventoryRepo;
pub use mongodb::Database;
pub use orgs::OrgRepo;
pub use storage::StorageRepo;
pub use tenants::TenantRepo;

use crate::timings::Timings;

/// How long a read may run inside MongoDB; the driver has no overall limit.
pub(crate) const READ_MAX_TIME: Duration = Duration::from_secs(5);

/// Whether a collection has a matching document.
pub(crate) async fn exists(collection: &Collection<Document>, query: Document) -> Result<bool, RepoError> {
    let found = collection.find_one(query).projection(doc! { "_id": 1 }).max_time(READ_MAX_TIME).await;
    Ok(found.map_err(RepoError::of_read)?.is_some())
}

/// All results of a query.
pub(crate) async fn all<T>(query: impl IntoFuture<Output = Result<Cursor<T>, DriverError>>) -> Result<Vec<T>, RepoError>
where
    T: DeserializeOwned + Unpin + Send + Sync,
{
    query.await.map_err(RepoError::of_read)?.try_collect().await.map_err(RepoError::of_read)
}

/// Checks that a conditional write of one document matched it.
///
/// # Errors
/// [`RepoError::LeaseLost`] when it matched none.
pub(crate) fn exactly_one(matched: u64) -> Result<(), RepoError> {
    if matched == 1 { Ok(()) } else { Err(RepoError::LeaseLost) }
}

/// The repositories over one database.
#[derive(Debug, Clone)]
pub struct Repos {
    /// Organizations.
    pub orgs: OrgRepo,
    /// Admins.
    pub admins: AdminRepo,
    /// Tenant collections.
    pub tenants: TenantRepo,
    /// What is in the tenant collections.
    pub data: DataRepo,
    /// The requests with idempotency keys.
    pub idempotency: IdempotencyRepo,
    /// The whole database as it is, including records that cannot be read otherwise.
    pub inventory: InventoryRepo,
    /// MongoDB's disk.
    pub storage: StorageRepo,
    /// How long servers wait for each other.
    pub timings: Timings,
}

impl Repos {
    /// The repositories over this database.
    pub fn new(databases: &Databases, timings: Timings) -> Self {
        let Databases { master, tenants } = databases;
        Self {
            orgs: OrgRepo::new(master, timings),
            admins: AdminRepo::new(master),
            tenants: TenantRepo { limit: timings.catalog_command, ..TenantRepo::new(master) },
            data: DataRepo::new(tenants, timings.catalog_command),
            idempotency: IdempotencyRepo::new(master, 2 * timings.lease),
            inventory: InventoryRepo::new(master),
            storage: StorageRepo::new(master),
            timings,
        }
    }

    /// The name of the database, which also holds the tenant collections.
    pub fn database_name(&self) -> &str {
        self.tenants.database_name()
    }
}
