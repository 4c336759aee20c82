//! Lookups of organizations. Their changes are in [`super::journal`], their names in `names.rs`.

use std::collections::HashSet;

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use mongodb::Collection;
use mongodb::options::ReadConcern;

use super::error::{RepoError, bson_uuid};
use super::records::{ORGANIZATIONS, OrgDocument, OrgHistory, decode_raw};
use super::{Database, READ_MAX_TIME, all, exists};
use crate::domain::{Change, ChangeId, ChangeKind, Org, OrgId, OrgState, Slug, TenantCollection};
use crate::timings::Timings;

/// The organizations.
#[derive(Debug, Clone)]
pub struct OrgRepo {
    pub(super) collection: Collection<Document>,
    pub(super) timings: Timings,
}

impl OrgRepo {
    pub(crate) fn new(database: &Database, timings: Timings) -> Self {
        Self { collection: database.collection(ORGANIZATIONS), timings }
    }

    /// The organization, in any state, that has this name, had it or claims it (see [`Org::found_by`]).
    pub async fn find_by_name(&self, slug: &Slug) -> Result<Option<Org>, RepoError> {
        self.find_one(doc! { "names": slug.as_str() }).await
    }

    /// The organization with this id, in any state.
    pub async fn find(&self, id: OrgId) -> Result<Option<Org>, RepoError> {
        self.find_one(doc! { "_id": id.0 }).await
    }

    /// Returns an organization with one of its changes, running or finished, or without one if it has no change with
    /// this id, or no longer has it. Reads only what no failover can roll back.
    pub async fn find_with_change(
        &self,
        org_id: OrgId,
        id: ChangeId,
    ) -> Result<Option<(Org, Option<Change>)>, RepoError> {
        let raw = self.collection.clone_with_type::<RawDocumentBuf>();
        let found = raw.find_one(doc! { "_id": org_id.0 }).read_concern(ReadConcern::majority());
        let found = found.max_time(READ_MAX_TIME).await.map_err(RepoError::of_read)?;
        let Some(found) = found else { return Ok(None) };
        let org: OrgDocument = decode_raw(ORGANIZATIONS, &found)?;
        let history: OrgHistory = decode_raw(ORGANIZATIONS, &found)?;
        let change = org.change.as_ref().and_then(|running| running.find(id)).or_else(|| history.find(id));
        Ok(Some((org.into(), change)))
    }

    /// Whether an organization with this id exists, in any state.
    pub async fn is_there(&self, id: OrgId) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "_id": id.0 }).await
    }

    /// Whether an organization records the collection with this UUID as its own.
    pub async fn is_collection_recorded(&self, uuid: uuid::Uuid) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "collection_uuid": bson_uuid(uuid) }).await
    }

    /// The collections that these organizations record, in one query. Skips those that do not exist or record none.
    pub async fn collections_of(&self, ids: &[OrgId]) -> Result<HashSet<TenantCollection>, RepoError> {
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let fields = doc! { "_id": 0, "collection_name": 1, "collection_uuid": 1 };
        let batch = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let found = self.collection.find(doc! { "_id": { "$in": ids } }).projection(fields).batch_size(batch);
        let found = found.max_time(READ_MAX_TIME);
        let mut cursor = found.await.map_err(RepoError::of_read)?;
        let mut collections = HashSet::new();
        while cursor.advance().await.map_err(RepoError::of_read)? {
            let org = cursor.current();
            if let (Ok(name), Ok(uuid)) = (org.get_str("collection_name"), org.get_binary("collection_uuid"))
                && let Ok(uuid) = uuid.to_binary().to_uuid()
            {
                collections.insert(TenantCollection { name: name.to_owned(), uuid: uuid.to_uuid_1() });
            }
        }
        Ok(collections)
    }

    /// Whether any organization has or claims this name.
    pub async fn is_name_taken(&self, slug: &Slug) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "names": slug.as_str() }).await
    }

    /// Whether an organization other than `except` records this collection name, even if no such collection exists.
    pub async fn is_collection_owned(&self, name: &str, except: OrgId) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "collection_name": name, "_id": { "$ne": except.0 } }).await
    }

    /// The number of organizations, including those being created or deleted.
    pub async fn count(&self) -> Result<u64, RepoError> {
        let hint = mongodb::options::Hint::Keys(doc! { "_id": 1 });
        let count = self.collection.count_documents(doc! {}).hint(hint).max_time(READ_MAX_TIME).await;
        count.map_err(RepoError::of_read)
    }

    /// The deleted organizations that can no longer be restored.
    pub async fn find_purgeable(&self) -> Result<Vec<OrgId>, RepoError> {
        // A missing time would compare as past.
        let is_over = doc! { "$lte": ["$deletion.until", "$$NOW"] };
        let state = ChangeKind::Purge.course(false).from.map(OrgState::name);
        self.find_ids(doc! { "state": state, "deletion.until": { "$type": "date" }, "$expr": is_over }).await
    }

    pub(super) async fn find_ids(&self, query: Document) -> Result<Vec<OrgId>, RepoError> {
        let only_ids = doc! { "_id": 1 };
        let query = self.collection.find(query).projection(only_ids).limit(100).max_time(READ_MAX_TIME);
        Ok(all(query).await?.iter().filter_map(|found| found.get_object_id("_id").ok().map(OrgId)).collect())
    }

    async fn find_one(&self, query: Document) -> Result<Option<Org>, RepoError> {
        // Whole documents: a projection costs MongoDB more than sending everything.
        let raw = self.collection.clone_with_type::<RawDocumentBuf>();
        let found = raw.find_one(query).max_time(READ_MAX_TIME).await;
        let Some(found) = found.map_err(RepoError::of_read)? else { return Ok(None) };
        decode_raw::<OrgDocument>(ORGANIZATIONS, &found).map(|stored| Some(stored.into()))
    }
}
