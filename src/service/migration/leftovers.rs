//! What servers leave behind that stalled in the middle of a creation which another server undid meanwhile: an admin, or
//! an empty collection, of an organization that does not exist. Identities are never used again, so such an organization
//! will never exist, and what it left may go. And a collection that such a server moved when others had long gone on.

use tracing::{info, warn};

use super::MigrationService;
use super::step::{Step, take};
use crate::domain::{AdminId, ChangeKind, Email, OrgId, OwnerTag};
use crate::repo::RepoError;
use crate::repo::tenants::CollectionInfo;

/// Of how many collections it is asked at once whether they are in place, as nearly all of them are.
const BATCH: usize = 1_000;

impl MigrationService {
    /// Whether another admin than `except` has or claims this email. A leftover that does is removed first.
    pub async fn is_email_taken(
        &self,
        kind: ChangeKind,
        email: &Email,
        except: Option<AdminId>,
    ) -> Result<bool, RepoError> {
        let is_taken = self.repos.admins.is_email_taken(email, except).await?;
        Ok(is_taken && !self.clear_orphan(kind, email).await?)
    }

    /// Whether there is a collection of this name. A leftover is dropped first.
    pub async fn is_occupied(&self, kind: ChangeKind, collection_name: &str) -> Result<bool, RepoError> {
        match self.repos.tenants.find(collection_name).await? {
            Some(found) => Ok(!self.clear_leftover(kind, &found).await?),
            None => Ok(false),
        }
    }

    /// Removes the admin that holds an email, if its organization does not exist; false when there is nothing to remove.
    pub(super) async fn clear_orphan(&self, kind: ChangeKind, email: &Email) -> Result<bool, RepoError> {
        match self.repos.admins.find_holder(email).await? {
            Some(admin) => self.clear_admins_of(kind, admin.org_id).await,
            None => Ok(false),
        }
    }

    /// Drops a collection, by its UUID, if it is empty and says that it belongs to an organization that does not exist;
    /// false when it stays.
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

    /// Removes the admins of an organization, if it does not exist; false when they stay.
    pub async fn clear_admins_of(&self, kind: ChangeKind, org_id: OrgId) -> Result<bool, RepoError> {
        if self.repos.orgs.is_there(org_id).await? {
            return Ok(false);
        }
        take(kind, Step::RemoveOrphan, self.repos.admins.remove_of(org_id)).await?;
        info!(organization_id = %org_id, "removed an admin whose organization does not exist");
        Ok(true)
    }

    /// Clears all leftovers that there are, and puts collections back that a late command moved. Gives how many.
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
                    // It may have gone or moved since it was listed; or its organization cannot be read, which must not
                    // keep the others.
                    Err(error) => warn!(collection = found.collection.name, %error, "cannot look after a collection"),
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

    /// Moves a collection back that is not where its organization, which is at rest, says that it is: a server stalled for
    /// longer than names cool down, and sent its command when others had long gone on.
    async fn put_back_if_moved(&self, listed: &CollectionInfo) -> Result<bool, RepoError> {
        let Some(OwnerTag(owner)) = listed.owner else { return Ok(false) };
        let Some(org) = self.repos.orgs.find(owner).await? else { return Ok(false) };
        let is_moved = org.state.is_at_rest()
            && org.collection_uuid == Some(listed.collection.uuid)
            && org.collection_name != listed.collection.name;
        // It may have moved since it was listed, with its organization.
        if !is_moved || self.repos.tenants.find(&listed.collection.name).await?.as_ref() != Some(listed) {
            return Ok(false);
        }
        if self.is_occupied(ChangeKind::Repair, &org.collection_name).await? {
            warn!(organization_id = %owner, "cannot put a collection back that was moved: another has its name");
            return Ok(false);
        }
        match self.put_back(&org, &listed.collection.name).await {
            Ok(_) => {
                info!(organization_id = %owner, "put a collection back that a late command had moved");
                Ok(true)
            }
            Err(error) => {
                warn!(organization_id = %owner, %error, "cannot put a collection back that was moved");
                Ok(false)
            }
        }
    }
}
