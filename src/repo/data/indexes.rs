//! The indexes of a tenant's collection.

use bson::{Bson, Document, doc};

use super::{DataRepo, command, malformed};
use crate::domain::TenantCollection;
use crate::domain::indexes::Index;
use crate::repo::command::{run, run_ddl};
use crate::repo::error::RepoError;
use crate::repo::tenants::TenantRepo;

/// An index as the catalog reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredIndex {
    /// The index.
    pub index: Index,
    /// Whether it is still being built.
    pub is_building: bool,
}

impl DataRepo {
    /// The indexes of the collection that has this **name** now: `listIndexes` knows no UUID, so the caller must make
    /// sure that the name has meant the same collection before and after.
    pub async fn list_indexes_by_name(&self, at: &TenantCollection) -> Result<Vec<StoredIndex>, RepoError> {
        let list = doc! { "listIndexes": &at.name, "includeIndexBuildInfo": true, "cursor": {} };
        self.all(list).await?.iter().map(|index| StoredIndex::read(index).ok_or_else(malformed)).collect()
    }

    /// Whether this name refers to this collection now.
    pub async fn is_at(&self, at: &TenantCollection) -> Result<bool, RepoError> {
        let found = TenantRepo::new(&self.database).find(&at.name).await?;
        Ok(found.is_some_and(|found| found.collection.uuid == at.uuid))
    }

    /// Builds an index, without a time limit; other operations continue. False when the same index already exists.
    ///
    /// # Errors
    /// [`RepoError::IndexExists`] when a different index has that name or those keys, [`RepoError::Duplicate`] when
    /// documents violate a unique one.
    pub async fn create_index(&self, at: &TenantCollection, index: &Index) -> Result<bool, RepoError> {
        let mut create = command("createIndexes", at);
        create.insert("indexes", [specification(index)]);
        // No time limit: MongoDB aborts a build when its command times out. Same write concern as all catalog changes.
        create.insert("writeConcern", doc! { "w": "majority" });
        let reply = run(&self.database, create).await?;
        let count = |name: &str| reply.get_i32(name).unwrap_or_default();
        Ok(count("numIndexesAfter") > count("numIndexesBefore"))
    }

    /// Drops an index.
    pub async fn drop_index(&self, at: &TenantCollection, name: &str) -> Result<(), RepoError> {
        let mut drop = command("dropIndexes", at);
        drop.insert("index", name);
        run_ddl(&self.database, self.limit, drop).await.map(|_reply| ())
    }
}

fn specification(index: &Index) -> Document {
    let mut specification = doc! { "key": &index.keys, "name": &index.name };
    if index.is_unique {
        specification.insert("unique", true);
    }
    if index.is_sparse {
        specification.insert("sparse", true);
    }
    if let Some(seconds) = index.expire_after_seconds {
        specification.insert("expireAfterSeconds", seconds);
    }
    if let Some(filter) = &index.partial_filter {
        specification.insert("partialFilterExpression", filter);
    }
    specification
}

impl StoredIndex {
    /// While an index is being built, its definition is nested in `spec`, beside the build's state.
    fn read(document: &Document) -> Option<Self> {
        let specification = document.get_document("spec").unwrap_or(document);
        let is_set = |name: &str| specification.get_bool(name).unwrap_or_default();
        let index = Index {
            name: specification.get_str("name").ok()?.to_owned(),
            keys: specification.get_document("key").ok()?.clone(),
            is_unique: is_set("unique"),
            is_sparse: is_set("sparse"),
            expire_after_seconds: specification.get("expireAfterSeconds").and_then(whole_number),
            partial_filter: specification.get_document("partialFilterExpression").ok().cloned(),
        };
        Some(Self { index, is_building: document.contains_key("indexBuildInfo") })
    }
}

fn whole_number(value: &Bson) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "MongoDB allows at most 2^31 - 1 seconds")]
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).or_else(|| value.as_f64().map(|number| number as i64))
}
