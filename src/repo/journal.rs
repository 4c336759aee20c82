//! The journal of an organization's changes, in its own document.
//!
//! Every step of a change is one conditional update of one document, with the change's id and fence in its filter,
//! so that a holder who was overtaken changes nothing. Leases go by the database's clock (`$$NOW`).

use bson::{Document, doc};
use time::OffsetDateTime;
use uuid::Uuid;

use super::command::millis;
use super::error::{RepoError, bson_uuid};
use super::names::{cooled, kept, live, unless_empty, without};
use super::orgs::OrgRepo;
use super::records::{ORGANIZATIONS, OrgDocument, date, decode, new_change, new_org, title};
use super::{exactly_one, names};
use crate::domain::change::HISTORY_AGE;
use crate::domain::{ChangeId, ChangeKind, Course, Org, OrgId, OrgState, PlannedChange, Title, Titles};

/// How many changes that are over are kept for an organization.
const HISTORY_MAX: i32 = 100;

/// The right to go on with one change: all three must still match for a step to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRef {
    /// The organization.
    pub org_id: OrgId,
    /// The change.
    pub change_id: ChangeId,
    /// The holder's fencing token.
    pub fence: i64,
    /// The organization's generation while it is being changed; a later change has a higher one.
    pub generation: i64,
}

impl OrgRepo {
    /// Records a new organization and claims its name, with the lease of its creation running.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the name or the collection belongs to another organization.
    pub async fn insert_provisioning(
        &self,
        org: &Org,
        change: &PlannedChange,
        holder: &str,
    ) -> Result<ChangeRef, RepoError> {
        // An upsert of a pipeline rather than an insert, because only a pipeline can ask the database's clock.
        let whole =
            doc! { "$mergeObjects": [{ "$literal": new_org(org) }, { "change": self.recorded(change, holder) }] };
        let pipeline = vec![doc! { "$replaceWith": whole }];
        self.collection.update_one(doc! { "_id": org.id.0 }, pipeline).upsert(true).await?;
        Ok(ChangeRef { org_id: org.id, change_id: change.id, fence: 1, generation: org.generation })
    }

    /// Begins a change of an organization that is at rest and still of the generation that the caller read; claims the
    /// name that it gets. `None` when it was changed or removed meanwhile, is being changed, or when that name is its own
    /// and still cools down.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the claimed name belongs to another organization.
    pub async fn begin(&self, org: &Org, change: &PlannedChange, holder: &str) -> Result<Option<ChangeRef>, RepoError> {
        let Course { from: Some(from), meanwhile, .. } = change.course() else { return Ok(None) };
        let mut filter = doc! { "_id": org.id.0, "state": from.name(), "generation": org.generation };
        let mut conditions = Vec::new();
        if let Some(Titles { to, .. }) = change.titles.as_ref().filter(|titles| titles.to.slug != org.slug) {
            let cooling = names::slugs(&live("$cooling").into());
            conditions.push(doc! { "$not": [{ "$in": [{ "$literal": to.slug.as_str() }, cooling] }] });
        }
        match change.kind {
            ChangeKind::Restore => conditions.push(doc! { "$gt": ["$deletion.until", "$$NOW"] }),
            ChangeKind::Purge => {
                // A missing time would count as past.
                filter.insert("deletion.until", doc! { "$type": "date" });
                conditions.push(doc! { "$lte": ["$deletion.until", "$$NOW"] });
            }
            ChangeKind::Create | ChangeKind::Rename | ChangeKind::Delete | ChangeKind::Repair => {}
        }
        if !conditions.is_empty() {
            filter.insert("$expr", doc! { "$and": conditions });
        }
        let set = doc! {
            "state": meanwhile.name(),
            "generation": { "$add": ["$generation", 1_i64] },
            "change": self.recorded(change, holder),
            "old_names": unless_empty(live("$old_names")),
            "cooling": unless_empty(live("$cooling")),
        };
        let result = self.collection.update_one(filter, vec![doc! { "$set": set }, names::claimed()]).await?;
        Ok((result.matched_count == 1).then_some(ChangeRef {
            org_id: org.id,
            change_id: change.id,
            fence: 1,
            generation: org.generation + 1,
        }))
    }

    /// The changes that nobody works on any more: their lease ran out.
    pub async fn find_abandoned(&self) -> Result<Vec<OrgId>, RepoError> {
        self.find_ids(abandoned()).await
    }

    /// Takes on a change whose lease ran out: raises its fence, so that its former holder can do nothing more.
    /// `None` when another server was faster, or it is over.
    pub async fn resume(&self, id: OrgId, holder: &str) -> Result<Option<(ChangeRef, Org, PlannedChange)>, RepoError> {
        let mut filter = abandoned();
        filter.insert("_id", id.0);
        let set = doc! {
            "change.fence": { "$add": ["$change.fence", 1_i64] },
            "change.holder": { "$literal": holder },
            "change.lease_until": self.lease_end(),
        };
        let result = self
            .collection
            .find_one_and_update(filter, vec![doc! { "$set": set }])
            .return_document(mongodb::options::ReturnDocument::After)
            .await?;
        let Some(found) = result else { return Ok(None) };
        let mut stored: OrgDocument = decode(ORGANIZATIONS, found)?;
        let resumed = stored.change.take().map(|change| {
            let (fence, org, change) = (change.fence, Org::from(stored), PlannedChange::from(change));
            let at = ChangeRef { org_id: org.id, change_id: change.id, fence, generation: org.generation };
            (at, org, change)
        });
        Ok(resumed)
    }

    /// Renews the right to go on with a change, and notes the step that it is for. Comes immediately before every
    /// command that changes the catalog.
    pub async fn renew(&self, at: ChangeRef, step: &str) -> Result<(), RepoError> {
        self.step(filter_of(at), vec![doc! { "$set": self.renewed(step) }]).await
    }

    /// The same after the answer of a command was lost: it may still be on its way, so the name that the change gives up
    /// will have to cool down.
    pub async fn renew_uncertain(&self, at: ChangeRef, step: &str) -> Result<(), RepoError> {
        let mut set = self.renewed(step);
        set.insert("change.is_uncertain", true);
        self.step(filter_of(at), vec![doc! { "$set": set }]).await
    }

    /// Records which collection was made for an organization.
    pub async fn record_collection(&self, at: ChangeRef, uuid: Uuid) -> Result<(), RepoError> {
        let record = vec![doc! { "$set": { "collection_uuid": { "$literal": bson_uuid(uuid) } } }];
        self.step(in_state(at, OrgState::Provisioning), record).await
    }

    /// Finishes the creation of an organization: from here on it exists.
    pub async fn activate(&self, at: ChangeRef) -> Result<(), RepoError> {
        let mut set = over(OrgState::Active, None);
        set.insert("name_since", "$$NOW");
        self.step(in_state(at, OrgState::Provisioning), vec![doc! { "$set": set }, without_change()]).await
    }

    /// Finishes a change that moved the organization's collection, or only its name's spelling: what it is called now
    /// counts, and what it was called is kept, cools down or is free.
    pub async fn finish_move(
        &self,
        at: ChangeRef,
        change: &PlannedChange,
        now: OffsetDateTime,
    ) -> Result<(), RepoError> {
        let (Titles { from, to }, (_, meanwhile, done)) = moved(change)?;
        let mut set = over(done, None);
        set.extend(named(to));
        set.insert("updated_at", date(now));
        if from.slug != to.slug {
            set.insert("name_since", "$$NOW");
            set.insert("cooling", unless_empty(cooled(self.timings.cooling, &from.slug)));
            let old_names = match change.kind {
                // Nobody asks for what is deleted.
                ChangeKind::Delete => doc! { "$literal": [] },
                _ if change.keep_old_name_days > 0 => kept(from, &to.slug, change.keep_old_name_days),
                _ => without(live("$old_names"), &to.slug),
            };
            set.insert("old_names", unless_empty(old_names));
        }
        let mut gone = vec!["change"];
        match change.kind {
            ChangeKind::Delete => {
                let grace = i64::from(change.grace_days.unwrap_or_default()) * names::DAY_MS;
                let until = doc! { "$add": ["$$NOW", grace] };
                let literal = |text: &str| doc! { "$literal": text };
                let (name, slug) = (literal(&from.name), literal(from.slug.as_str()));
                let deletion = doc! { "organization_name": name, "slug": slug, "until": until };
                set.insert("deletion", deletion);
            }
            ChangeKind::Restore => {
                gone.push("deletion");
                set.insert("token_epoch", doc! { "$add": [{ "$ifNull": ["$token_epoch", 0_i64] }, 1_i64] });
            }
            ChangeKind::Create | ChangeKind::Rename | ChangeKind::Purge | ChangeKind::Repair => {}
        }
        let pipeline = vec![doc! { "$set": set }, doc! { "$unset": gone }, names::claimed()];
        self.step(in_state(at, meanwhile), pipeline).await
    }

    /// Gives a change up that moved nothing: everything is as it was before it began, and the claimed name is free, or
    /// cools down when somebody could still move the collection there. `why` is what whoever watches the change is told.
    pub async fn undo_move(&self, at: ChangeRef, change: &PlannedChange, why: &str) -> Result<(), RepoError> {
        let (Titles { from, to }, (before, meanwhile, _)) = moved(change)?;
        let mut set = over(before, Some(why));
        if from.slug != to.slug {
            set.insert("cooling", unless_empty(cooled(self.timings.cooling, &to.slug)));
        }
        let pipeline = vec![doc! { "$set": set }, without_change(), names::claimed()];
        self.step(in_state(at, meanwhile), pipeline).await
    }

    /// Turns a creation into its removal; from here on it can only go.
    pub async fn mark_deleting(&self, at: ChangeRef) -> Result<(), RepoError> {
        let mark =
            vec![doc! { "$set": { "state": OrgState::Deleting.name(), "change.lease_until": self.lease_end() } }];
        self.step(filter_of(at), mark).await
    }

    /// Removes an organization that is being deleted; the last step, which frees its name.
    pub async fn remove(&self, at: ChangeRef) -> Result<(), RepoError> {
        let result = self.collection.delete_one(in_state(at, OrgState::Deleting)).await?;
        exactly_one(result.deleted_count)
    }

    /// When a lease that begins now ends, as an expression for the database to compute.
    fn lease_end(&self) -> Document {
        doc! { "$add": ["$$NOW", millis(self.timings.lease)] }
    }

    /// A change as it is recorded: its lease and its beginning by the database's clock. The rest stands inside `$literal`, as
    /// everything in a pipeline must that could begin with `$`, which every bcrypt hash does: it would name a field.
    fn recorded(&self, change: &PlannedChange, holder: &str) -> Document {
        let times = doc! { "lease_until": self.lease_end(), "started_at": "$$NOW" };
        doc! { "$mergeObjects": [{ "$literal": new_change(change, holder) }, times] }
    }

    fn renewed(&self, step: &str) -> Document {
        doc! { "change.lease_until": self.lease_end(), "change.step": { "$literal": step } }
    }

    async fn step(&self, filter: Document, pipeline: Vec<Document>) -> Result<(), RepoError> {
        let result = self.collection.update_one(filter, pipeline).await?;
        exactly_one(result.matched_count)
    }
}

/// Changes whose lease ran out. A document without a lease is not one of them: a missing date would count as past.
fn abandoned() -> Document {
    let under_way: Vec<_> =
        OrgState::ALL.iter().filter(|state| !state.is_at_rest()).map(|state| state.name()).collect();
    doc! {
        "state": { "$in": under_way },
        "change.lease_until": { "$type": "date" },
        "$expr": { "$lt": ["$change.lease_until", "$$NOW"] },
    }
}

/// The names before and after a change that has both, and the states in which it begins, goes on and ends.
fn moved(change: &PlannedChange) -> Result<(&Titles, (OrgState, OrgState, OrgState)), RepoError> {
    let Course { from, meanwhile, done } = change.course();
    let states = from.zip(done).map(|(from, done)| (from, meanwhile, done));
    change
        .titles
        .as_ref()
        .zip(states)
        .ok_or_else(|| RepoError::Refused { summary: "a change without its names".to_owned() })
}

/// What is set by the end of every change: the state after it, and what is remembered of it.
fn over(state: OrgState, error: Option<&str>) -> Document {
    let mut entry = doc! {
        "id": "$change.id",
        "kind": "$change.kind",
        "started_at": { "$ifNull": ["$change.started_at", "$$NOW"] },
        "finished_at": "$$NOW",
        "attempts": "$change.fence",
        // Not there when the change sets none.
        "credential_version": "$change.credentials.after.credential_version",
    };
    if let Some(error) = error {
        entry.insert("error", doc! { "$literal": error });
    }
    let age = millis(HISTORY_AGE);
    let young = doc! { "$gt": ["$$this.finished_at", { "$subtract": ["$$NOW", age] }] };
    let remembered = doc! { "$filter": { "input": { "$ifNull": ["$history", []] }, "cond": young } };
    let history = doc! { "$slice": [{ "$concatArrays": [remembered, [entry]] }, -HISTORY_MAX] };
    doc! { "state": state.name(), "generation": { "$add": ["$generation", 1_i64] }, "history": history }
}

fn without_change() -> Document {
    doc! { "$unset": "change" }
}

/// The fields that say what an organization is called.
fn named(to: &Title) -> Document {
    let mut named: Document =
        title(to).into_iter().map(|(field, text)| (field, doc! { "$literal": text }.into())).collect();
    named.insert("connection.collection_name", doc! { "$literal": &to.collection_name });
    named
}

/// The same, for a step that belongs to one state: one that arrives late, after the change went on, does nothing.
fn in_state(at: ChangeRef, state: OrgState) -> Document {
    let mut filter = filter_of(at);
    filter.insert("state", state.name());
    filter
}

fn filter_of(at: ChangeRef) -> Document {
    doc! { "_id": at.org_id.0, "change.id": at.change_id.0, "change.fence": at.fence }
}
