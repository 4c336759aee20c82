//! Deleting: from its first step on, nobody sees the organization any more. At once, or with a time to bring it back.

use tracing::warn;

use super::error::Refusal;
use super::moves::Move;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{ChangeId, ChangeKind, Deletion, Org, OrgId, OwnerTag, PlannedChange};
use crate::repo::RepoError;
use crate::repo::journal::ChangeRef;

impl MigrationService {
    /// Deletes an organization. With `grace_days` it can be brought back so long: its collection is put away under a name
    /// that only it can have, and its admin keeps its email; without, everything is gone. Gives until when.
    ///
    /// # Errors
    /// See [`ChangeError`]. After `Undecided` the organization is gone for everybody who asks, and its name will be
    /// free.
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

    /// Goes on with a deletion. `CollectionReplaced` means that it was given up.
    pub(super) async fn carry_delete(&self, at: ChangeRef, change: &PlannedChange, org: &Org) -> Result<(), Refusal> {
        let Some(put_away) = Move::of(at, change, org) else {
            return self.finish_delete(at, change.kind, org).await.map_err(Refusal::Unfinished);
        };
        match self.carry_over(&put_away).await {
            Err(refusal @ Refusal::CollectionReplaced) => {
                if self.may_be_kept(org).await.map_err(Refusal::Unfinished)? {
                    // Somebody was promised that it would be kept, and it cannot be put away: an operator must look first.
                    self.undo_move(&put_away, &refusal).await.map_err(Refusal::Unfinished)?;
                    return Err(refusal);
                }
                // There is nothing to put away.
                self.finish_delete(at, change.kind, org).await.map_err(Refusal::Unfinished)
            }
            outcome => outcome,
        }
    }

    /// Whether there still is something of an organization whose collection is not where it was: the collection itself, moved
    /// by hand, or one in its place that is nobody else's.
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

    /// Removes everything of an organization; its own document last, which frees its name.
    pub(super) async fn finish_delete(&self, at: ChangeRef, kind: ChangeKind, org: &Org) -> Result<(), RepoError> {
        let drop = (kind, Step::DropCollection);
        if let Some(collection) = org.tenant_collection() {
            self.repeatable(at, drop, || self.repos.tenants.drop(&collection)).await?;
        }
        // One that was made for this organization but whose UUID was not recorded any more; or one that was brought back from
        // a backup, which gave it another. Its own tag says whose it is.
        if let Some(own) = self.repos.tenants.find(&org.collection_name).await?
            && own.owner == Some(OwnerTag(at.org_id))
        {
            self.repeatable(at, drop, || self.repos.tenants.drop(&own.collection)).await?;
        }
        self.repeatable(at, (kind, Step::RemoveAdmins), || self.repos.admins.remove_of(at.org_id)).await?;
        take(kind, Step::RemoveOrg, self.repos.orgs.remove(at)).await
    }

    /// Ends what nobody can bring back any more. Gives how many organizations are gone.
    pub async fn purge_expired(&self) -> Result<usize, RepoError> {
        let mut gone = 0;
        for id in self.repos.orgs.find_purgeable().await? {
            match self.purge(id).await {
                Ok(is_gone) => gone += usize::from(is_gone),
                // One that cannot be read, say, must not keep the others.
                Err(error) => warn!(organization_id = %id, %error, "cannot end a deletion yet"),
            }
        }
        Ok(gone)
    }

    async fn purge(&self, id: OrgId) -> Result<bool, RepoError> {
        let Some(org) = self.repos.orgs.find(id).await? else { return Ok(false) };
        let change = PlannedChange::new(ChangeId::generate(), ChangeKind::Purge);
        // Another server was faster, or its admin was.
        let Ok(at) = self.begin(&org, &change).await else { return Ok(false) };
        self.finish_delete(at, change.kind, &org).await?;
        Ok(true)
    }
}
