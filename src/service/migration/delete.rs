//! Deletes an organization, at once or with a time in which it can be restored. From the first step on, nobody sees it.

use tracing::warn;

use super::error::Refusal;
use super::moves::Move;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{ChangeId, ChangeKind, Deletion, Org, OrgId, OwnerTag, PlannedChange};
use crate::repo::RepoError;
use crate::repo::journal::ChangeRef;

impl MigrationService {
    /// Deletes an organization. With `grace_days`, it can be restored for that long: its collection moves to a name
    /// only it can have, and its admin keeps its email. Without, everything is removed. Returns the end of the grace
    /// time.
    ///
    /// # Errors
    /// See [`ChangeError`]. After `Undecided`, the organization is invisible, and its name will become free.
    pub async fn delete(
        &self,
        id: ChangeId,
        org: &Org,
        grace_days: Option<u16>,
    ) -> Result<Option<Deletion>, ChangeError> {
        let mut change = PlannedChange::new(id, ChangeKind::Delete);
        if grace_days.is_some() {
            let (from, to) = (org.title(), org.deleted_title());
            change = PlannedChange { grace_days, ..PlannedChange::moving(id, ChangeKind::Delete, from, to) };
        }
        let at = self.begin(org, &change).await?;
        let undecided = undecided(&change);
        match self.carry_delete(at, &change, org).await {
            Ok(()) => {}
            Err(Refusal::CollectionReplaced) => return Err(ChangeError::CollectionReplaced),
            Err(refusal) => return Err(undecided(refusal.into_cause())),
        }
        if grace_days.is_none() {
            return Ok(None);
        }
        let deleted = self.repos.orgs.find(org.id).await.map_err(&undecided)?;
        Ok(deleted.and_then(|org| org.deletion))
    }

    /// Continues a deletion. `CollectionReplaced` means that it was undone.
    pub(super) async fn carry_delete(&self, at: ChangeRef, change: &PlannedChange, org: &Org) -> Result<(), Refusal> {
        let Some(put_away) = Move::of(at, change, org) else {
            return self.finish_delete(at, change.kind, org).await.map_err(Refusal::Unfinished);
        };
        match self.carry_over(&put_away).await {
            Err(refusal @ Refusal::CollectionReplaced) => {
                if self.may_be_kept(org).await.map_err(Refusal::Unfinished)? {
                    // Its data was promised to be kept but cannot be put away: an operator must look first.
                    self.undo_move(&put_away, &refusal).await.map_err(Refusal::Unfinished)?;
                    return Err(refusal);
                }
                // There is nothing to put away.
                self.finish_delete(at, change.kind, org).await.map_err(Refusal::Unfinished)
            }
            outcome => outcome,
        }
    }

    /// Whether data may remain of an organization whose collection is not in its place: the collection itself, moved by
    /// hand, or one in its place that is not tagged as another's.
    async fn may_be_kept(&self, org: &Org) -> Result<bool, RepoError> {
        if let Some(collection) = org.tenant_collection()
            && self.repos.tenants.find_validator(&collection).await?.is_some()
        {
            return Ok(true);
        }
        let own = OwnerTag(org.id);
        let found = self.repos.tenants.find(&org.collection_name).await?;
        Ok(found.is_some_and(|found| found.owner.is_none_or(|owner| owner == own)))
    }

    /// Removes everything an organization has; its own document last, which frees its name.
    pub(super) async fn finish_delete(&self, at: ChangeRef, kind: ChangeKind, org: &Org) -> Result<(), RepoError> {
        let drop = (kind, Step::DropCollection);
        if let Some(collection) = org.tenant_collection() {
            self.repeatable(at, drop, || self.repos.tenants.drop(&collection)).await?;
        }
        // This can be a collection created for this organization whose UUID was never recorded, or one restored from a
        // backup, which gave it another UUID. Its own tag names its owner.
        if let Some(own) = self.repos.tenants.find(&org.collection_name).await?
            && own.owner == Some(OwnerTag(at.org_id))
        {
            self.repeatable(at, drop, || self.repos.tenants.drop(&own.collection)).await?;
        }
        self.repeatable(at, (kind, Step::RemoveAdmins), || self.repos.admins.remove_of(at.org_id)).await?;
        take(kind, Step::RemoveOrg, self.repos.orgs.remove(at)).await
    }

    /// Purges organizations that can no longer be restored. Returns how many are gone.
    pub async fn purge_expired(&self) -> Result<usize, RepoError> {
        let mut gone = 0;
        for id in self.repos.orgs.find_purgeable().await? {
            match self.purge(id).await {
                Ok(is_gone) => gone += usize::from(is_gone),
                // One failure, such as an unreadable record, must not hold up the others.
                Err(error) => warn!(organization_id = %id, %error, "cannot purge a deleted organization yet"),
            }
        }
        Ok(gone)
    }

    async fn purge(&self, id: OrgId) -> Result<bool, RepoError> {
        let Some(org) = self.repos.orgs.find(id).await? else { return Ok(false) };
        let change = PlannedChange::new(ChangeId::generate(), ChangeKind::Purge);
        // Another server, or the organization's admin, got there first.
        let Ok(at) = self.begin(&org, &change).await else { return Ok(false) };
        self.finish_delete(at, change.kind, &org).await?;
        Ok(true)
    }
}
