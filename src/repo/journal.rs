//! The journal of an organization's changes, in its own document.
//!
//! Every step of a change is one conditional update of one document, filtered by the change's id and fence, so a
//! superseded holder changes nothing. Leases use the database's clock (`$$NOW`).

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

/// How many finished changes are kept per organization.
const HISTORY_MAX: i32 = 100;

/// The right to work on one change: all of it must still match for a step to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRef {
    /// The organization.
    pub org_id: OrgId,
    /// The change.
    pub change_id: ChangeId,
    /// The holder's fencing token.
    pub fence: i64,
    /// The organization's generation during the change; a later change has a higher one.
    pub generation: i64,
}

impl OrgRepo {
    /// Records a new organization and claims its name, with its creation's lease running.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the name or the collection belongs to another organization.
    pub async fn insert_provisioning(
        &self,
        org: &Org,
        change: &PlannedChange,
        holder: &str,
    ) -> Result<ChangeRef, RepoError> {
        // An upsert with a pipeline instead of an insert: only a pipeline can read the database's clock.
        let whole =
            doc! { "$mergeObjects": [{ "$literal": new_org(org) }, { "change": self.recorded(change, holder) }] };
        let pipeline = vec![doc! { "$replaceWith": whole }];
        self.collection.update_one(doc! { "_id": org.id.0 }, pipeline).upsert(true).await?;
        Ok(ChangeRef { org_id: org.id, change_id: change.id, fence: 1, generation: org.generation })
    }

    /// Begins a change of an organization that is at rest, at the generation the caller read; claims its new name.
    /// `None` when it was changed or removed since, or is being changed, or the name is its own and still cooling down.
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
                // A missing time would compare as past.
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

    /// The changes whose lease expired, so nobody works on them.
    pub async fn find_abandoned(&self) -> Result<Vec<OrgId>, RepoError> {
        self.find_ids(abandoned()).await
    }

    /// Resumes a change whose lease expired, and raises its fence to shut out the former holder. `None` when another
    /// server got there first, or the change is over.
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

    /// Renews the right to work on a change, and records the coming step. Precedes every command on the catalog.
    pub async fn renew(&self, at: ChangeRef, step: &str) -> Result<(), RepoError> {
        self.step(filter_of(at), vec![doc! { "$set": self.renewed(step) }]).await
    }

    /// The same after a command's answer was lost: it may still arrive, so the name that is freed must cool down.
    pub async fn renew_uncertain(&self, at: ChangeRef, step: &str) -> Result<(), RepoError> {
        let mut set = self.renewed(step);
        set.insert("change.is_uncertain", true);
        self.step(filter_of(at), vec![doc! { "$set": set }]).await
    }

    /// Records the collection created for an organization.
    pub async fn record_collection(&self, at: ChangeRef, uuid: Uuid) -> Result<(), RepoError> {
        let record = vec![doc! { "$set": { "collection_uuid": { "$literal": bson_uuid(uuid) } } }];
        self.step(in_state(at, OrgState::Provisioning), record).await
    }

    /// Finishes the creation of an organization, which exists from now on.
    pub async fn activate(&self, at: ChangeRef) -> Result<(), RepoError> {
        let mut set = over(OrgState::Active, None);
        set.insert("name_since", "$$NOW");
        self.step(in_state(at, OrgState::Provisioning), vec![doc! { "$set": set }, without_change()]).await
    }

    /// Finishes a change that moved the organization's collection, or only changed its name's spelling. The new name
    /// takes effect; the old one is kept, cools down or becomes free.
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
                // A deleted organization needs no old names.
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

    /// Undoes a change that moved nothing. Everything is as before, and the claimed name is free, or cools down while a
    /// late command could still move the collection there. Observers of the change are told `why`.
    pub async fn undo_move(&self, at: ChangeRef, change: &PlannedChange, why: &str) -> Result<(), RepoError> {
        let (Titles { from, to }, (before, meanwhile, _)) = moved(change)?;
        let mut set = over(before, Some(why));
        if from.slug != to.slug {
            set.insert("cooling", unless_empty(cooled(self.timings.cooling, &to.slug)));
        }
        let pipeline = vec![doc! { "$set": set }, without_change(), names::claimed()];
        self.step(in_state(at, meanwhile), pipeline).await
    }

    /// Turns a creation into a removal. There is no way back.
    pub async fn mark_deleting(&self, at: ChangeRef) -> Result<(), RepoError> {
        let mark =
            vec![doc! { "$set": { "state": OrgState::Deleting.name(), "change.lease_until": self.lease_end() } }];
        self.step(filter_of(at), mark).await
    }

    /// Removes an organization that is being deleted. The last step; it frees the name.
    pub async fn remove(&self, at: ChangeRef) -> Result<(), RepoError> {
        let result = self.collection.delete_one(in_state(at, OrgState::Deleting)).await?;
        exactly_one(result.deleted_count)
    }

    /// The end of a lease that begins now, as an expression that the database evaluates.
    fn lease_end(&self) -> Document {
        doc! { "$add": ["$$NOW", millis(self.timings.lease)] }
    }

    /// A change in its stored form, with its lease and start time by the database's clock. The rest is inside
    /// `$literal`: in a pipeline, a string that begins with `$` names a field, and every bcrypt hash does.
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

/// Changes whose lease expired. Excludes documents without a lease: a missing date would compare as past.
fn abandoned() -> Document {
    let under_way: Vec<_> =
        OrgState::ALL.iter().filter(|state| !state.is_at_rest()).map(|state| state.name()).collect();
    doc! {
        "state": { "$in": under_way },
        "change.lease_until": { "$type": "date" },
        "$expr": { "$lt": ["$change.lease_until", "$$NOW"] },
    }
}

/// The names before and after a change that has both, and the states before, during and after it.
fn moved(change: &PlannedChange) -> Result<(&Titles, (OrgState, OrgState, OrgState)), RepoError> {
    let Course { from, meanwhile, done } = change.course();
    let states = from.zip(done).map(|(from, done)| (from, meanwhile, done));
    change
        .titles
        .as_ref()
        .zip(states)
        .ok_or_else(|| RepoError::Refused { summary: "a change without its names".to_owned() })
}

/// What the end of every change sets: the next state, and a history entry.
fn over(state: OrgState, error: Option<&str>) -> Document {
    let mut entry = doc! {
        "id": "$change.id",
        "kind": "$change.kind",
        "started_at": { "$ifNull": ["$change.started_at", "$$NOW"] },
        "finished_at": "$$NOW",
        "attempts": "$change.fence",
        // Absent when the change sets no credentials.
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

/// The fields that hold an organization's name.
fn named(to: &Title) -> Document {
    let mut named: Document =
        title(to).into_iter().map(|(field, text)| (field, doc! { "$literal": text }.into())).collect();
    named.insert("connection.collection_name", doc! { "$literal": &to.collection_name });
    named
}

/// The same for a step that belongs to one state: if it arrives late, after the change moved on, it does nothing.
fn in_state(at: ChangeRef, state: OrgState) -> Document {
    let mut filter = filter_of(at);
    filter.insert("state", state.name());
    filter
}

fn filter_of(at: ChangeRef) -> Document {
    doc! { "_id": at.org_id.0, "change.id": at.change_id.0, "change.fence": at.fence }
}
