//! How much room MongoDB's disk has, as MongoDB itself says: in a replica set it is the primary's disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bson::{Document, doc};
use mongodb::Database;

use super::READ_MAX_TIME;
use super::command::{millis, run};
use super::data::number;
use super::error::RepoError;

/// The file system that holds MongoDB's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its size, in bytes.
    pub total_bytes: u64,
    /// How many bytes of it MongoDB can still have.
    pub free_bytes: u64,
}

/// MongoDB's disk.
#[derive(Debug, Clone)]
pub struct StorageRepo {
    database: Database,
    /// Whether the user may not ask for the statistics of `admin`.
    is_barred_from_admin: Arc<AtomicBool>,
}

impl StorageRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { database: database.clone(), is_barred_from_admin: Arc::default() }
    }

    /// How much room there is; `None` where MongoDB does not tell.
    ///
    /// MongoDB tells it along with the statistics of any database that exists, which cost in proportion to its collections:
    /// those of `admin` 0.3 ms, those of 1,000 organizations 25 ms (MongoDB 6.0.5). A user with `readWrite` on the master
    /// database alone may ask for the latter only.
    pub async fn space(&self) -> Result<Option<DiskSpace>, RepoError> {
        if !self.is_barred_from_admin.load(Ordering::Relaxed) {
            if let Some(statistics) = statistics(&self.database.client().database("admin")).await? {
                return Ok(of_statistics(&statistics));
            }
            self.is_barred_from_admin.store(true, Ordering::Relaxed);
        }
        Ok(statistics(&self.database).await?.as_ref().and_then(of_statistics))
    }
}

/// The statistics of a database; `None` when they are refused to this user, or do not exist on this kind of server.
async fn statistics(database: &Database) -> Result<Option<Document>, RepoError> {
    match run(database, doc! { "dbStats": 1, "maxTimeMS": millis(READ_MAX_TIME) }).await {
        Ok(statistics) => Ok(Some(statistics)),
        Err(RepoError::Unauthorized { .. } | RepoError::Refused { .. } | RepoError::NotAccepted { .. }) => Ok(None),
        Err(error) => Err(RepoError::of_read(error)),
    }
}

/// A database that has no collection says 0, and so may servers that keep it to themselves.
fn of_statistics(statistics: &Document) -> Option<DiskSpace> {
    let (total_bytes, used) = (number(statistics, "fsTotalSize"), number(statistics, "fsUsedSize"));
    (total_bytes > 0).then(|| DiskSpace { total_bytes, free_bytes: total_bytes.saturating_sub(used) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_by_a_database_without_collections() {
        let told = of_statistics(&doc! { "fsUsedSize": 30.0, "fsTotalSize": 100.0 });
        assert_eq!(told, Some(DiskSpace { total_bytes: 100, free_bytes: 70 }));
        assert_eq!(of_statistics(&doc! { "fsUsedSize": 0, "fsTotalSize": 0 }), None);
        assert_eq!(of_statistics(&doc! { "ok": 1 }), None);
    }
}
