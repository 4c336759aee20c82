//! Tenant collections: created with their owner's tag, moved and dropped by UUID, never by name alone.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::results::CollectionSpecification;
use uuid::Uuid;

use super::command::{run, run_ddl};
use super::error::{RepoError, bson_uuid};
use super::{Database, READ_MAX_TIME, all};
use crate::domain::orgs::COLLECTION_PREFIXES;
use crate::domain::{OwnerTag, TenantCollection};
use crate::timings::Timings;

/// A collection as the catalog reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its current name and its UUID.
    pub collection: TenantCollection,
    /// The owner in its tag; collections of the original or of other programs have none.
    pub owner: Option<OwnerTag>,
    /// Whether it has a validator, even if only a tag.
    pub is_validated: bool,
}

/// The whole catalog by name; `None` for anything other than an ordinary collection, such as a view.
pub type Catalog = BTreeMap<String, Option<CollectionInfo>>;

/// The tenant collections, which live in the master database.
#[derive(Debug, Clone)]
pub struct TenantRepo {
    pub(super) database: Database,
    /// How long a command that changes the catalog may run.
    pub(super) limit: Duration,
}

impl TenantRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { database: database.clone(), limit: Timings::default().catalog_command }
    }

    pub(crate) fn database_name(&self) -> &str {
        self.database.name()
    }

    /// The collection with this name.
    pub async fn find(&self, name: &str) -> Result<Option<CollectionInfo>, RepoError> {
        Ok(self.list(doc! { "name": name }).await?.into_iter().next())
    }

    /// The collections tagged with an organization, whether it exists or not.
    pub async fn tagged(&self) -> Result<Vec<CollectionInfo>, RepoError> {
        let is_tenants = format!("^({})", COLLECTION_PREFIXES.join("|"));
        self.list(doc! { "name": { "$regex": is_tenants }, "options.validator.$comment": { "$exists": true } }).await
    }

    /// The whole catalog.
    pub(crate) async fn catalog(&self) -> Result<Catalog, RepoError> {
        let entries = self.entries(doc! {}).await?;
        Ok(entries.into_iter().map(|entry| (entry.name.clone(), info_of(entry))).collect())
    }

    /// The collections whose catalog entries match a filter.
    async fn list(&self, filter: Document) -> Result<Vec<CollectionInfo>, RepoError> {
        Ok(self.entries(filter).await?.into_iter().filter_map(info_of).collect())
    }

    async fn entries(&self, filter: Document) -> Result<Vec<CollectionSpecification>, RepoError> {
        all(self.database.list_collections().filter(filter)).await
    }

    /// This collection's validator, wherever it is now: `None` if the collection is gone, `Some(None)` if it has none.
    pub(crate) async fn find_validator(
        &self,
        collection: &TenantCollection,
    ) -> Result<Option<Option<Document>>, RepoError> {
        let uuid = bson_uuid(collection.uuid);
        // MongoDB finds a name at once; for a UUID it scans the whole catalog.
        let mut entries = self.entries(doc! { "name": &collection.name, "info.uuid": uuid }).await?;
        if entries.is_empty() {
            entries = self.entries(doc! { "info.uuid": uuid }).await?;
        }
        Ok(entries.into_iter().next().map(|entry| entry.options.validator))
    }

    /// Creates an empty collection with its owner's tag.
    ///
    /// # Errors
    /// [`RepoError::NamespaceExists`] when a collection has this name, whoever created it.
    pub async fn create(&self, name: &str, owner: OwnerTag) -> Result<(), RepoError> {
        let command = doc! { "create": name, "validator": { "$comment": owner.to_string() } };
        run_ddl(&self.database, self.limit, command).await.map(drop)
    }

    /// Renames a collection, with its documents (not read), indexes, validator and UUID. Never replaces another one.
    ///
    /// # Errors
    /// [`RepoError::NamespaceExists`] when the target is taken, [`RepoError::CollectionMismatch`] with the current name
    /// when the collection is not where expected, [`RepoError::CollectionBusy`] when it is held.
    pub async fn rename(&self, collection: &TenantCollection, to: &str) -> Result<(), RepoError> {
        let namespace = |name: &str| format!("{}.{name}", self.database.name());
        let command = doc! {
            "renameCollection": namespace(&collection.name),
            "to": namespace(to),
            "dropTarget": false,
            "collectionUUID": bson_uuid(collection.uuid),
        };
        let admin = self.database.client().database("admin");
        run_ddl(&admin, self.limit, command).await.map(drop)
    }

    /// Drops a collection by UUID, wherever it is now. One that is already gone is no error.
    ///
    /// # Errors
    /// [`RepoError::CollectionBusy`] when it is held.
    pub async fn drop(&self, collection: &TenantCollection) -> Result<(), RepoError> {
        let mut name = collection.name.clone();
        // The collection moves at most once meanwhile: nobody who could move it again holds a lease.
        for _ in 0..3 {
            let command = doc! { "drop": &name, "collectionUUID": bson_uuid(collection.uuid) };
            match run_ddl(&self.database, self.limit, command).await {
                Ok(_) | Err(RepoError::NamespaceNotFound | RepoError::CollectionMismatch { actual: None }) => {
                    return Ok(());
                }
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) => name = actual,
                Err(other) => return Err(other),
            }
        }
        Err(RepoError::CollectionBusy { summary: "it is moving".to_owned() })
    }

    /// Tags a collection of the original with its owner, if it has no validator: an existing one stays as it is.
    ///
    /// # Errors
    /// [`RepoError::CollectionMismatch`] when it moved meanwhile.
    pub(crate) async fn tag(&self, collection: &TenantCollection, owner: OwnerTag) -> Result<(), RepoError> {
        let unvalidated = doc! { "name": &collection.name, "options.validator": { "$exists": false } };
        if self.list(unvalidated).await?.is_empty() {
            return Ok(());
        }
        let command = doc! {
            "collMod": &collection.name,
            "collectionUUID": bson_uuid(collection.uuid),
            "validator": { "$comment": owner.to_string() },
        };
        run_ddl(&self.database, self.limit, command).await.map(drop)
    }

    /// Whether this MongoDB honours `collectionUUID`: an insert with a random UUID into a nonexistent name must fail
    /// with error 361 and create nothing.
    pub(crate) async fn honours_collection_uuid(&self) -> Result<bool, RepoError> {
        let name = format!("tenantry_probe_{}", Uuid::new_v4().simple());
        let command = doc! {
            "insert": &name,
            "documents": [{ "probe": true }],
            "collectionUUID": bson_uuid(Uuid::new_v4()),
            "maxTimeMS": i64::try_from(READ_MAX_TIME.as_millis()).unwrap_or(i64::MAX),
        };
        match run(&self.database, command).await {
            Err(RepoError::CollectionMismatch { .. }) => Ok(true),
            // An older server does not know the field (40415), or ignores it and creates the collection.
            Err(RepoError::Refused { .. }) => Ok(false),
            Ok(_) => {
                run_ddl(&self.database, self.limit, doc! { "drop": &name }).await?;
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }
}

/// `None` for a view, which has no UUID.
fn info_of(specification: CollectionSpecification) -> Option<CollectionInfo> {
    let bytes: [u8; 16] = specification.info.uuid?.bytes.try_into().ok()?;
    let validator = specification.options.validator.as_ref();
    let owner = validator.and_then(|validator| validator.get_str("$comment").ok()).and_then(OwnerTag::parse);
    let is_validated = validator.is_some();
    let collection = TenantCollection { name: specification.name, uuid: Uuid::from_bytes(bytes) };
    Some(CollectionInfo { collection, owner, is_validated })
}
