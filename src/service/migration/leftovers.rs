//! Cleans up after servers that stalled in the middle of a change. If another server meanwhile undid a creation, the
//! stalled one can leave an admin or an empty collection of an organization that does not exist. Ids are never reused,
//! so they can go. A stalled server can also move a collection long after others have moved on.

use tracing::{info, warn};

use super::MigrationService;
use super::step::{Step, take};
use crate::domain::{AdminId, ChangeKind, Email, OrgId, OwnerTag};
use crate::repo::RepoError;
use crate::repo::tenants::CollectionInfo;

/// How many collections are checked at once for being in place, as nearly all are.
const BATCH: usize = 1_000;

impl MigrationService {
    /// Whether an admin other than `except` has or claims this email. Removes a leftover admin that does first.
    pub async fn is_email_taken(
        &self,
        kind: ChangeKind,
        email: &Email,
        except: Option<AdminId>,
    ) -> Result<bool, RepoError> {
        let is_taken = self.repos.admins.is_email_taken(email, except).await?;
        Ok(is_taken && !self.clear_orphan(kind, email).await?)
    }

    /// Whether a collection has this name. Drops a leftover first.
    pub async fn is_occupied(&self, kind: ChangeKind, collection_name: &str) -> Result<bool, RepoError> {
        match self.repos.tenants.find(collection_name).await? {
            Some(found) => Ok(!self.clear_leftover(kind, &found).await?),
            None => Ok(false),
        }
    }

    /// Removes the admin that holds an email, if its organization does not exist; false when there is none.
    pub(super) async fn clear_orphan(&self, kind: ChangeKind, email: &Email) -> Result<bool, RepoError> {
        match self.repos.admins.find_holder(email).await? {
            Some(admin) => self.clear_admins_of(kind, admin.org_id).await,
            None => Ok(false),
        }
    }

    /// Drops an empty collection, by UUID, if it is tagged with a nonexistent organization; false when it stays.
    pub async fn clear_leftover(&self, kind: ChangeKind, found: &CollectionInfo) -> Result<bool, RepoError> {
        let Some(OwnerTag(owner)) = found.owner else { return Ok(false) };
        let is_leftover = !self.repos.orgs.is_there(owner).await?
            && !self.repos.orgs.is_collection_recorded(found.collection.uuid).await?
            && self.repos.data.is_empty(&found.collection).await?;
        if is_leftover {
            take(kind, Step::DropLeftover, self.repos.tenants.drop(&found.collection)).await?;
            info!(organization_id = %owner, "dropped an empty collection whose organization does not exist");
        }
        Ok(is_leftover)
    }

    /// Removes an organization's admins if the organization does not exist; false when they stay.
    pub async fn clear_admins_of(&self, kind: ChangeKind, org_id: OrgId) -> Result<bool, RepoError> {
        if self.repos.orgs.is_there(org_id).await? {
            return Ok(false);
        }
        take(kind, Step::RemoveOrphan, self.repos.admins.remove_of(org_id)).await?;
        info!(organization_id = %org_id, "removed an admin whose organization does not exist");
        Ok(true)
    }

    /// Clears all leftovers, and puts back collections that a late command moved. Returns how many.
    pub async fn clear_leftovers(&self) -> Result<usize, RepoError> {
        let mut cleared = 0;
        for org_id in self.repos.admins.find_orphans().await? {
            cleared += usize::from(self.clear_admins_of(ChangeKind::Create, org_id).await?);
        }
        for listed in self.repos.tenants.tagged().await?.chunks(BATCH) {
            let owners: Vec<OrgId> = listed.iter().filter_map(|found| found.owner).map(|OwnerTag(id)| id).collect();
            let in_place = self.repos.orgs.collections_of(&owners).await?;
            for found in listed.iter().filter(|found| !in_place.contains(&found.collection)) {
                match self.tidy_collection(found).await {
                    Ok(is_tidied) => cleared += usize::from(is_tidied),
                    // It may have disappeared or moved since it was listed, or its organization is unreadable, which
                    // must not hold up the others.
                    Err(error) => warn!(collection = found.collection.name, %error, "cannot check a collection"),
                }
            }
        }
        Ok(cleared)
    }

    async fn tidy_collection(&self, found: &CollectionInfo) -> Result<bool, RepoError> {
        match self.clear_leftover(ChangeKind::Create, found).await {
            Ok(false) => self.put_back_if_moved(found).await,
            Err(RepoError::CollectionMismatch { .. }) => Ok(false),
            decided => decided,
        }
    }

    /// Moves a collection back to the place that its organization, which is at rest, records: a server that stalled for
    /// longer than names cool down sent its command after others had moved on.
    async fn put_back_if_moved(&self, listed: &CollectionInfo) -> Result<bool, RepoError> {
        let Some(OwnerTag(owner)) = listed.owner else { return Ok(false) };
        let Some(org) = self.repos.orgs.find(owner).await? else { return Ok(false) };
        let is_moved = org.state.is_at_rest()
            && org.collection_uuid == Some(listed.collection.uuid)
            && org.collection_name != listed.collection.name;
        // It may have moved, with its organization, since it was listed.
        if !is_moved || self.repos.tenants.find(&listed.collection.name).await?.as_ref() != Some(listed) {
            return Ok(false);
        }
        if self.is_occupied(ChangeKind::Repair, &org.collection_name).await? {
            warn!(organization_id = %owner, "cannot put back a moved collection: its name is taken");
            return Ok(false);
        }
        match self.put_back(&org, &listed.collection.name).await {
            Ok(_) => {
                info!(organization_id = %owner, "put back a collection that a late command had moved");
                Ok(true)
            }
            Err(error) => {
                warn!(organization_id = %owner, %error, "cannot put back a moved collection");
                Ok(false)
            }
        }
    }
}
