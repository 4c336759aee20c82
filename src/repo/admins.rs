//! Admins in the master database.

use std::time::Duration;

use bson::raw::RawBsonRef;
use bson::{Bson, Document, doc};
use mongodb::Collection;
use time::OffsetDateTime;

use super::error::RepoError;
use super::journal::ChangeRef;
use super::records::{
    ADMINS, AdminDocument, ORGANIZATIONS, OrgDocument, credentials, date, decode, decode_raw, new_admin,
};
use super::{Database, READ_MAX_TIME, all, exactly_one, exists};
use crate::domain::{Admin, AdminId, CredentialsChange, Email, Org, OrgId};

/// Limit for the search for admins without an organization, which reads all admins.
const SCRUB_MAX_TIME: Duration = Duration::from_secs(30);

/// The admins.
#[derive(Debug, Clone)]
pub struct AdminRepo {
    pub(super) collection: Collection<Document>,
}

impl AdminRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { collection: database.collection(ADMINS) }
    }

    /// Returns the admin with this id, with its current organization, if it belongs to this one. One round trip.
    pub async fn find_with_org(&self, id: AdminId, org_id: OrgId) -> Result<Option<(Admin, Org)>, RepoError> {
        // Match each by id alone: MongoDB answers that in two thirds of the time (docs/BENCHMARKS.md).
        let of_id =
            doc! { "from": ORGANIZATIONS, "pipeline": [{ "$match": { "_id": org_id.0 } }], "as": "organization" };
        let found = self.join_org(doc! { "_id": id.0 }, of_id).await?;
        Ok(found.filter(|(admin, _)| admin.org_id == org_id))
    }

    /// Returns the admin with this email, with its current organization, in one round trip. `None` if that is gone.
    pub async fn find_by_email_with_org(&self, email: &Email) -> Result<Option<(Admin, Org)>, RepoError> {
        let of_admin = doc! {
            "from": ORGANIZATIONS, "localField": "organization_id", "foreignField": "_id", "as": "organization",
        };
        self.join_org(doc! { "email": email.as_str() }, of_admin).await
    }

    /// Whether an admin other than `except` has or claims this email.
    pub async fn is_email_taken(&self, email: &Email, except: Option<AdminId>) -> Result<bool, RepoError> {
        let mut query = doc! { "emails": email.as_str() };
        if let Some(AdminId(id)) = except {
            query.insert("_id", doc! { "$ne": id });
        }
        exists(&self.collection, query).await
    }

    /// Records a new admin and claims its email.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the email belongs to another admin.
    pub async fn insert(&self, admin: &Admin, now: OffsetDateTime) -> Result<(), RepoError> {
        self.collection.insert_one(new_admin(admin, now)).await?;
        Ok(())
    }

    /// Claims the new address and the admin itself before anything else in a change of credentials. Safe to repeat:
    /// does nothing once this change has set them. Refused once a later change has claimed or this one was released.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when another admin has or claims the address; [`RepoError::LeaseLost`] when there is no
    /// such admin, its credentials have some third version, or the change is over.
    pub async fn claim(&self, at: ChangeRef, change: &CredentialsChange) -> Result<(), RepoError> {
        let CredentialsChange { admin_id, from_version, after } = change;
        let may_be = [
            doc! { "credential_version": { "$in": [from_version, after.version] } },
            // If someone has since set another password by hand, there is nothing left to claim.
            doc! { "committed_by": at.change_id.0 },
        ];
        let filter =
            doc! { "_id": admin_id.0, "change_generation": not_above(at.generation), "$or": may_be.as_slice() };
        let unless_set = |claimed: Bson, present: &str| {
            doc! { "$cond": [{ "$eq": ["$committed_by", at.change_id.0] }, present, claimed] }
        };
        let emails = doc! { "$setUnion": [["$email"], [{ "$literal": after.email.as_str() }]] };
        // The highest fence that has claimed for this change: see `release`.
        let is_repeated = doc! { "$eq": ["$change_generation", at.generation] };
        let fence = doc! { "$cond": [is_repeated, { "$max": ["$claim_fence", at.fence] }, at.fence] };
        let set = doc! {
            "emails": unless_set(emails.into(), "$emails"),
            "claimed_by": unless_set(at.change_id.0.into(), "$$REMOVE"),
            "claim_fence": unless_set(fence.into(), "$$REMOVE"),
            "change_generation": at.generation,
        };
        exactly_one(self.collection.update_one(filter, vec![doc! { "$set": set }]).await?.matched_count)
    }

    /// Sets the claimed credentials and frees the old address. The claim rules out a refusal. Safe to repeat.
    ///
    /// # Errors
    /// [`RepoError::LeaseLost`] when the change does not hold the claim, or no longer does.
    pub async fn commit(
        &self,
        at: ChangeRef,
        change: &CredentialsChange,
        now: OffsetDateTime,
    ) -> Result<(), RepoError> {
        let filter = doc! {
            "_id": change.admin_id.0, "claimed_by": at.change_id.0, "change_generation": at.generation,
        };
        let mut set = credentials(&change.after);
        set.extend(doc! {
            "emails": [change.after.email.as_str()], "committed_by": at.change_id.0, "updated_at": date(now),
        });
        let commit = doc! { "$set": set, "$unset": { "claimed_by": "", "claim_fence": "" } };
        if self.collection.update_one(filter, commit).await?.matched_count == 1 {
            return Ok(());
        }
        exactly_one(u64::from(self.is_committed(at, change.admin_id).await?))
    }

    /// Releases what a change claimed, or would claim if its claim arrived late. Keeps what the change already set, and
    /// what another server has claimed since resuming the change: a stalled server must not release the claim of the
    /// active one. False when the credentials are set, so the change can only go forward.
    pub async fn release(&self, at: ChangeRef, admin_id: AdminId) -> Result<bool, RepoError> {
        let is_mine =
            [doc! { "change_generation": { "$ne": at.generation } }, doc! { "claim_fence": not_above(at.fence) }];
        let filter = doc! {
            "_id": admin_id.0,
            "change_generation": not_above(at.generation),
            "committed_by": { "$ne": at.change_id.0 },
            "$or": is_mine.as_slice(),
        };
        let set = doc! { "emails": ["$email"], "change_generation": at.generation + 1 };
        let release = vec![doc! { "$set": set }, doc! { "$unset": ["claimed_by", "claim_fence"] }];
        let is_released = self.collection.update_one(filter, release).await?.matched_count == 1;
        Ok(is_released || !self.is_committed(at, admin_id).await?)
    }

    /// Whether a change has set the credentials.
    async fn is_committed(&self, at: ChangeRef, admin_id: AdminId) -> Result<bool, RepoError> {
        exists(&self.collection, doc! { "_id": admin_id.0, "committed_by": at.change_id.0 }).await
    }

    /// Removes all admins of an organization that is being deleted or is gone.
    pub async fn remove_of(&self, org_id: OrgId) -> Result<(), RepoError> {
        self.collection.delete_many(doc! { "organization_id": org_id.0 }).await?;
        Ok(())
    }

    /// Returns the admin that has or claims this email, if this program created it: the original's are not ours to
    /// remove.
    pub async fn find_holder(&self, email: &Email) -> Result<Option<Admin>, RepoError> {
        let query = doc! { "emails": email.as_str(), "credential_version": { "$gt": 0 } };
        let found = self.collection.find_one(query).max_time(READ_MAX_TIME).await.map_err(RepoError::of_read)?;
        let Some(found) = found else { return Ok(None) };
        decode::<AdminDocument>(ADMINS, found).map(|stored| Some(stored.into()))
    }

    /// Returns the missing organizations that admins created by this program refer to.
    pub async fn find_orphans(&self) -> Result<Vec<OrgId>, RepoError> {
        let lookup = doc! {
            "from": ORGANIZATIONS, "localField": "organization_id", "foreignField": "_id",
            "pipeline": [{ "$project": { "_id": 1 } }], "as": "organization",
        };
        let pipeline = [
            doc! { "$match": { "credential_version": { "$gt": 0 } } },
            doc! { "$lookup": lookup },
            doc! { "$match": { "organization": [] } },
            doc! { "$limit": 100 },
            doc! { "$project": { "organization_id": 1 } },
        ];
        let found = all(self.collection.aggregate(pipeline).with_type::<Document>().max_time(SCRUB_MAX_TIME)).await?;
        Ok(found.iter().filter_map(|orphan| orphan.get_object_id("organization_id").ok().map(OrgId)).collect())
    }

    async fn join_org(&self, query: Document, lookup: Document) -> Result<Option<(Admin, Org)>, RepoError> {
        let pipeline = [doc! { "$match": query }, doc! { "$lookup": lookup }];
        let cursor = self.collection.aggregate(pipeline).max_time(READ_MAX_TIME).await;
        let mut cursor = cursor.map_err(RepoError::of_read)?;
        if !cursor.advance().await.map_err(RepoError::of_read)? {
            return Ok(None);
        }
        let found = cursor.current();
        let of_another_type = |_error| RepoError::Refused { summary: "a look-up gave no list".to_owned() };
        let Some(org) = found.get_array("organization").map_err(of_another_type)?.into_iter().next() else {
            return Ok(None);
        };
        let org = org
            .ok()
            .and_then(RawBsonRef::as_document)
            .ok_or_else(|| RepoError::Refused { summary: "a look-up gave no document".to_owned() })?;
        let admin: AdminDocument = decode_raw(ADMINS, found)?;
        let org: OrgDocument = decode_raw(ORGANIZATIONS, org)?;
        Ok(Some((admin.into(), org.into())))
    }
}

/// A missing generation counts as the lowest.
fn not_above(generation: i64) -> Document {
    doc! { "$not": { "$gt": generation } }
}
