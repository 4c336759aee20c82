//! Tenants' documents, indexes and validators. Every command carries the collection's UUID, so it can touch no other
//! collection, whatever the name means when it arrives. If the collection has moved away, the result is
//! [`RepoError::CollectionMismatch`], and the caller must find it again.

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

/// All tenants' data; each tenant's is reached only through its own collection.
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

/// The start of a command on a collection: its name, its expected place, and its UUID, without which nothing happens.
fn command(name: &str, at: &TenantCollection) -> Document {
    if chaos::is_on("CHAOS_BY_NAME") {
        return doc! { name: &at.name };
    }
    doc! { name: &at.name, "collectionUUID": bson_uuid(at.uuid) }
}

/// The error for a reply that lacks a documented field.
fn malformed() -> RepoError {
    RepoError::Refused { summary: "a reply of an unknown shape".to_owned() }
}
