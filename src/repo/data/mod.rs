//! Tenants' documents, indexes and validators. Every command here carries the collection's UUID, so that it can touch no
//! other collection, whatever its name means by the time it arrives; where the collection is gone from its name, the answer
//! is [`RepoError::CollectionMismatch`], and finding it again is the caller's.

mod indexes;
mod reads;
mod schema;
mod writes;

use std::time::Duration;

use bson::{Document, doc};

pub use indexes::StoredIndex;
pub(in crate::repo) use reads::number;
pub use reads::{CollectionStats, DocumentBatch, DocumentCursor, Find};
pub use schema::{StoredSchema, Validator};
pub use writes::Guard;

use super::Database;
use super::error::{RepoError, bson_uuid};
use crate::chaos;
use crate::domain::TenantCollection;

/// The data of all tenants, each reached through its own collection alone.
#[derive(Debug, Clone)]
pub struct DataRepo {
    database: Database,
    /// How long a command that changes the catalog may run.
    limit: Duration,
}

impl DataRepo {
    pub(crate) fn new(database: &Database, limit: Duration) -> Self {
        Self { database: database.clone(), limit }
    }
}

/// The beginning of a command on a collection: its name, where it is expected, and its UUID, without which nothing happens.
fn command(name: &str, at: &TenantCollection) -> Document {
    if chaos::is_on("CHAOS_BY_NAME") {
        return doc! { name: &at.name };
    }
    doc! { name: &at.name, "collectionUUID": bson_uuid(at.uuid) }
}

/// A reply that lacks what the command is documented to answer.
fn malformed() -> RepoError {
    RepoError::Refused { summary: "a reply of an unknown shape".to_owned() }
}
