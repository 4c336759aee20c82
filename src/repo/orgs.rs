//! Organizations in the master database: looking them up, and the journal of their changes.
//!
//! Every step of a change is one conditional update of one document, with the change's id and fence in its filter,
//! so that a holder who was overtaken changes nothing. Leases go by the database's clock (`$$NOW`).

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::Collection;

use super::documents::{ChangeDocument, NameDocument, ORGANIZATIONS, OrgDocument, decode};
use super::error::RepoError;
use super::{Database, READ_MAX_TIME, exactly_one, exists};
use crate::domain::{Org, OrgId, OrgState, Slug};

/// How long a server may work on a change without renewing its right to it. Longer than any single command of a
/// change can live (`DDL_MAX_TIME` plus the write concern's time-out).
pub const LEASE: Duration = Duration::from_secs(15);

/// The right to go on with one change: all three must still match for a step to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRef {
    /// The organization.
    pub org_id: OrgId,
    /// The change.
    pub change_id: ObjectId,
    /// The holder's fencing token.
    pub fence: i64,
    /// The organization's generation while it is being changed; a later change has a higher one.
    pub generation: i64,
}

impl ChangeRef {
    /// The right to the change that a document holds, for whom its present fence belongs to.
    #[must_use]
    pub fn of(org: &OrgDocument, change: &ChangeDocument) -> Self {
        Self { org_id: OrgId(org.id), change_id: change.id, fence: change.fence, generation: org.generation }
    }
}

/// The organizations.
#[derive(Debug, Clone)]
pub struct OrgRepo {
    collection: Collection<Document>,
}

impl OrgRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { collection: database.collection(ORGANIZATIONS) }
    }

    /// The organization that this name belongs to, in whatever state.
    ///
    /// # Errors
    /// MongoDB could not be asked, or the document cannot be read.
    pub async fn find_by_slug(&self, slug: &Slug) -> Result<Option<Org>, RepoError> {
        self.find_one(doc! { "slug": slug.as_str() }).await.map(|found| found.map(|document| document.to_org()))
    }

    /// The organization of this id, in whatever state.
    ///
    /// # Errors
    /// MongoDB could not be asked, or the document cannot be read.
    pub async fn find(&self, id: OrgId) -> Result<Option<Org>, RepoError> {
        self.find_document(id).await.map(|found| found.map(|document| document.to_org()))
    }

    /// The stored document of this id, with the journal of its change.
    ///
    /// # Errors
    /// MongoDB could not be asked, or the document cannot be read.
    pub async fn find_document(&self, id: OrgId) -> Result<Option<OrgDocument>, RepoError> {
        self.find_one(doc! { "_id": id.0 }).await
    }

    /// Whether anybody has or claims this name.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn is_name_taken(&self, slug: &Slug) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "names": slug.as_str() }).await
    }

    /// Whether another organization than `except` calls this collection its own, be it there or not.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn is_collection_owned(&self, name: &str, except: OrgId) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "collection_name": name, "_id": { "$ne": except.0 } }).await
    }

    /// How many organizations there are, those in the making and those going included.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn count(&self) -> Result<u64, RepoError> {
        let hint = mongodb::options::Hint::Keys(doc! { "_id": 1 });
        let count = self.collection.count_documents(doc! {}).hint(hint).max_time(READ_MAX_TIME).await;
        count.map_err(RepoError::of_read)
    }

    /// The changes that nobody works on any more: their lease ran out.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn find_abandoned(&self) -> Result<Vec<OrgId>, RepoError> {
        let query = abandoned();
        let mut cursor =
            self.collection.find(query).projection(doc! { "_id": 1 }).limit(100).max_time(READ_MAX_TIME).await?;
        let mut ids = Vec::new();
        while cursor.advance().await? {
            if let Ok(id) = cursor.current().get_object_id("_id") {
                ids.push(OrgId(id));
            }
        }
        Ok(ids)
    }

    /// Records a new organization and claims its name, with the lease of its creation running.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the name or the collection belongs to another organization.
    pub async fn insert_provisioning(&self, document: &OrgDocument) -> Result<ChangeRef, RepoError> {
        let Some(change) = &document.change else {
            return Err(RepoError::Refused { summary: "a new organization needs its change".to_owned() });
        };
        let at = ChangeRef::of(document, change);
        // An upsert of a pipeline rather than an insert, because only a pipeline can ask the database's clock.
        let whole = doc! { "$mergeObjects": [
            { "$literal": encode(document)? },
            { "change": { "$mergeObjects": [{ "$literal": encode(change)? }, { "lease_until": lease_end() }] } },
        ] };
        let pipeline = vec![doc! { "$replaceWith": whole }];
        self.collection.update_one(doc! { "_id": document.id }, pipeline).upsert(true).await?;
        Ok(at)
    }

    /// Begins a change of an organization that is active and still of the generation that the caller read; takes
    /// `claim` as a further name. `None` when it was changed or removed meanwhile, or is being changed.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the claimed name belongs to another organization.
    pub async fn begin(
        &self,
        org: &Org,
        state: OrgState,
        change: &ChangeDocument,
        claim: Option<&str>,
    ) -> Result<Option<ChangeRef>, RepoError> {
        let filter = doc! { "_id": org.id.0, "state": "active", "generation": org.generation };
        let mut set = doc! {
            "state": encode_state(state)?,
            "generation": { "$add": ["$generation", 1_i64] },
            "change": { "$mergeObjects": [{ "$literal": encode(change)? }, { "lease_until": lease_end() }] },
        };
        if let Some(slug) = claim {
            set.insert("names", doc! { "$setUnion": ["$names", [{ "$literal": slug }]] });
        }
        let result = self.collection.update_one(filter, vec![doc! { "$set": set }]).await?;
        Ok((result.matched_count == 1).then_some(ChangeRef {
            org_id: org.id,
            change_id: change.id,
            fence: change.fence,
            generation: org.generation + 1,
        }))
    }

    /// Takes over a change whose lease ran out: raises its fence, so that its former holder can do nothing more.
    /// `None` when somebody else was faster or it is finished.
    ///
    /// # Errors
    /// MongoDB could not be asked, or the document cannot be read.
    pub async fn take_over(&self, id: OrgId, holder: &str) -> Result<Option<OrgDocument>, RepoError> {
        let mut filter = abandoned();
        filter.insert("_id", id.0);
        let set = doc! {
            "change.fence": { "$add": ["$change.fence", 1_i64] },
            "change.holder": { "$literal": holder },
            "change.lease_until": lease_end(),
        };
        let result = self
            .collection
            .find_one_and_update(filter, vec![doc! { "$set": set }])
            .return_document(mongodb::options::ReturnDocument::After)
            .await?;
        result.map(|document| decode(ORGANIZATIONS, document)).transpose()
    }

    /// Renews the right to go on with a change. Comes immediately before every command that changes the catalog.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn renew(&self, at: ChangeRef) -> Result<(), RepoError> {
        self.step(filter_of(at), vec![doc! { "$set": { "change.lease_until": lease_end() } }]).await
    }

    /// Records which collection was made for an organization.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn record_collection(&self, at: ChangeRef, uuid: bson::Uuid) -> Result<(), RepoError> {
        let record = vec![doc! { "$set": { "collection_uuid": { "$literal": uuid } } }];
        self.step(in_state(at, OrgState::Provisioning)?, record).await
    }

    /// Finishes the creation of an organization: from here on it exists.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn activate(&self, at: ChangeRef) -> Result<(), RepoError> {
        let set = doc! { "state": "active", "generation": { "$add": ["$generation", 1_i64] } };
        self.step(in_state(at, OrgState::Provisioning)?, vec![doc! { "$set": set }, doc! { "$unset": "change" }]).await
    }

    /// Finishes a rename: the new name counts, the old one is free.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn finish_rename(&self, at: ChangeRef, to: &NameDocument, now: DateTime) -> Result<(), RepoError> {
        let literal = |text: &str| doc! { "$literal": text };
        let set = doc! {
            "organization_name": literal(&to.organization_name),
            "slug": literal(&to.slug),
            "names": [literal(&to.slug)],
            "collection_name": literal(&to.collection_name),
            "connection.collection_name": literal(&to.collection_name),
            "updated_at": now,
            "state": "active",
            "generation": { "$add": ["$generation", 1_i64] },
        };
        self.step(in_state(at, OrgState::Renaming)?, vec![doc! { "$set": set }, doc! { "$unset": "change" }]).await
    }

    /// Gives a rename up: everything is as it was before it began, and the claimed name is free.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn undo_rename(&self, at: ChangeRef) -> Result<(), RepoError> {
        let set = doc! {
            "names": ["$slug"],
            "state": "active",
            "generation": { "$add": ["$generation", 1_i64] },
        };
        self.step(in_state(at, OrgState::Renaming)?, vec![doc! { "$set": set }, doc! { "$unset": "change" }]).await
    }

    /// Turns a creation into its removal; from here on it can only go.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn mark_deleting(&self, at: ChangeRef) -> Result<(), RepoError> {
        let mark = vec![doc! { "$set": { "state": "deleting", "change.lease_until": lease_end() } }];
        self.step(filter_of(at), mark).await
    }

    /// Removes an organization that is being deleted; the last step, which frees its name.
    ///
    /// # Errors
    /// [`RepoError::TakenOver`] when the change is not the caller's any more.
    pub async fn remove(&self, at: ChangeRef) -> Result<(), RepoError> {
        let result = self.collection.delete_one(in_state(at, OrgState::Deleting)?).await?;
        exactly_one(result.deleted_count)
    }

    async fn step(&self, filter: Document, pipeline: Vec<Document>) -> Result<(), RepoError> {
        let result = self.collection.update_one(filter, pipeline).await?;
        exactly_one(result.matched_count)
    }

    async fn find_one(&self, query: Document) -> Result<Option<OrgDocument>, RepoError> {
        let found = self.collection.find_one(query).max_time(READ_MAX_TIME).await.map_err(RepoError::of_read)?;
        found.map(|document| decode(ORGANIZATIONS, document)).transpose()
    }
}

/// Changes whose lease ran out. A document without a lease is not one of them: a missing date would count as past.
fn abandoned() -> Document {
    doc! {
        "state": { "$ne": "active" },
        "change.lease_until": { "$type": "date" },
        "$expr": { "$lt": ["$change.lease_until", "$$NOW"] },
    }
}

/// The same, for a step that belongs to one state: one that arrives late, after the change went on, does nothing.
fn in_state(at: ChangeRef, state: OrgState) -> Result<Document, RepoError> {
    let mut filter = filter_of(at);
    filter.insert("state", encode_state(state)?);
    Ok(filter)
}

fn filter_of(at: ChangeRef) -> Document {
    doc! { "_id": at.org_id.0, "change.id": at.change_id, "change.fence": at.fence }
}

/// When a lease that begins now ends, as an expression for the database to compute.
fn lease_end() -> Document {
    doc! { "$add": ["$$NOW", i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)] }
}

/// A document as BSON. In a pipeline it must stand inside `$literal`, because a text that begins with `$` (every
/// bcrypt hash does) would be read as the name of a field.
fn encode<T: serde::Serialize>(value: &T) -> Result<Document, RepoError> {
    bson::serialize_to_document(value)
        .map_err(|_error| RepoError::Refused { summary: "a document could not be encoded".to_owned() })
}

/// A state as its documents have it.
fn encode_state(state: OrgState) -> Result<Bson, RepoError> {
    bson::serialize_to_bson(&state)
        .map_err(|_error| RepoError::Refused { summary: "a state could not be encoded".to_owned() })
}
