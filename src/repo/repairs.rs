//! The doctor's repairs of master data. Each is one conditional update that does nothing if the record has changed
//! since the doctor saw it, so it can neither undo nor overtake a change begun since.

use bson::{Bson, Document, doc};
use uuid::Uuid;

use super::admins::AdminRepo;
use super::error::{RepoError, bson_uuid};
use super::inventory::AdminContent;
use super::names::claimed;
use super::orgs::OrgRepo;
use crate::domain::Org;

impl OrgRepo {
    /// Records the collection with this UUID in place of the recorded one. Raises the generation, so that no change
    /// begins with the former collection. False when nothing was done.
    pub async fn adopt_collection(&self, seen: &Org, uuid: Uuid) -> Result<bool, RepoError> {
        let Some(mut filter) = still(seen) else { return Ok(false) };
        filter.insert("collection_uuid", seen.collection_uuid.map(bson_uuid));
        let adopt = doc! { "$set": { "collection_uuid": bson_uuid(uuid) }, "$inc": { "generation": 1_i64 } };
        Ok(self.collection.update_one(filter, adopt).await?.matched_count == 1)
    }

    /// Rebuilds an organization's list of names from the rest of its record. False when nothing was done.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when another organization has one of them; nothing was done.
    pub async fn list_names_anew(&self, seen: &Org) -> Result<bool, RepoError> {
        let Some(filter) = still(seen) else { return Ok(false) };
        Ok(self.collection.update_one(filter, vec![claimed()]).await?.matched_count == 1)
    }
}

impl AdminRepo {
    /// Releases what an admin claims while its organization is at rest; false when nothing was done. A change begun
    /// since has a higher generation: this does nothing if its claim is there, and does not hinder a later one.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the admin did not hold its own address, and another has it; nothing was done.
    pub async fn give_claims_back(&self, seen: &AdminContent, at_rest: &Org) -> Result<bool, RepoError> {
        let filter = doc! {
            "_id": seen.id.0,
            "organization_id": at_rest.id.0,
            "claimed_by": seen.claimed_by.map(|change| change.0),
            "change_generation": { "$in": stored(seen.change_generation) },
        };
        // If a claim of the change that left this one is still on its way, it must find itself too late.
        let generation = seen.change_generation.max(at_rest.generation);
        let set = doc! { "emails": ["$email"], "change_generation": generation };
        let give_back = vec![doc! { "$set": set }, doc! { "$unset": ["claimed_by", "claim_fence"] }];
        Ok(self.collection.update_one(filter, give_back).await?.matched_count == 1)
    }
}

/// The stored forms of a generation: a missing one counts as the lowest.
fn stored(generation: i64) -> Vec<Bson> {
    if generation == 0 { vec![Bson::Int64(0), Bson::Null] } else { vec![Bson::Int64(generation)] }
}

/// Matches an organization that is still at rest and unchanged since it was seen; `None` if it was being changed then.
fn still(seen: &Org) -> Option<Document> {
    let generation = seen.generation;
    let is_still =
        doc! { "_id": seen.id.0, "state": seen.state.name(), "generation": generation, "change": { "$exists": false } };
    seen.state.is_at_rest().then_some(is_still)
}
