//! Changes that move a collection: renames, restorable deletions, restorations, repairs.
//!
//! All follow the same order: claim whatever others could take, move the collection, which can be held, and only then
//! make the change visible, in steps that cannot be refused. So nothing visible is ever taken back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::Refusal;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{ChangeId, ChangeKind, CredentialsChange, Org, PlannedChange, TenantCollection, Title, Titles};
use crate::repo::RepoError;
use crate::repo::journal::ChangeRef;

/// The pause between attempts at a held collection.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// What a rename changes.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The organization's name after it, possibly the same one.
    pub to: Title,
    /// The admin's new credentials.
    pub credentials: Option<CredentialsChange>,
    /// How many days the old name is kept.
    pub keep_old_name_days: u16,
}

/// A recorded change that moves a collection: the right to work on it, and all that its steps need.
pub(super) struct Move<'a> {
    at: ChangeRef,
    change: &'a PlannedChange,
    collection: Option<TenantCollection>,
    to: &'a Title,
}

impl<'a> Move<'a> {
    /// `None` for a change that moves nothing.
    pub(super) fn of(at: ChangeRef, change: &'a PlannedChange, org: &Org) -> Option<Self> {
        let Titles { from, to } = change.titles.as_ref()?;
        let name = from.collection_name.clone();
        let collection = org.collection_uuid.map(|uuid| TenantCollection { name, uuid });
        Some(Self { at, change, collection, to })
    }

    /// The collection, if its name changes.
    fn moved(&self) -> Result<Option<&TenantCollection>, Refusal> {
        let collection = self.collection.as_ref().ok_or(Refusal::CollectionReplaced)?;
        Ok((collection.name != self.to.collection_name).then_some(collection))
    }
}

impl MigrationService {
    /// Renames an organization, changes its admin's credentials, or both, all or nothing.
    ///
    /// # Errors
    /// See [`ChangeError`]; after all but `Undecided`, everything is as it was.
    pub async fn rename(&self, id: ChangeId, org: &Org, rename: Rename) -> Result<Org, ChangeError> {
        let Rename { to, credentials, keep_old_name_days } = rename;
        let change = PlannedChange::moving(id, ChangeKind::Rename, org.title(), to);
        self.make(org, &PlannedChange { credentials, keep_old_name_days, ..change }).await
    }

    /// Restores a deleted organization under this name, and invalidates the tokens issued before its deletion.
    ///
    /// # Errors
    /// See [`ChangeError`]; after all but `Undecided`, everything is as it was.
    pub async fn restore(&self, id: ChangeId, org: &Org, to: Title) -> Result<Org, ChangeError> {
        self.make(org, &PlannedChange::moving(id, ChangeKind::Restore, org.title(), to)).await
    }

    /// Moves an organization's collection from where it was found back to its recorded place.
    ///
    /// # Errors
    /// See [`ChangeError`]; after all but `Undecided`, everything is as it was.
    pub async fn put_back(&self, org: &Org, found_at: &str) -> Result<Org, ChangeError> {
        let from = Title { collection_name: found_at.to_owned(), ..org.title() };
        self.make(org, &PlannedChange::moving(ChangeId::generate(), ChangeKind::Repair, from, org.title())).await
    }

    async fn make(&self, org: &Org, change: &PlannedChange) -> Result<Org, ChangeError> {
        let at = self.begin(org, change).await?;
        let undecided = undecided(change);
        let Some(moved) = Move::of(at, change, org) else { return Err(ChangeError::Gone) };
        match self.carry_over(&moved).await {
            Ok(()) => {
                let done = self.repos.orgs.find(org.id).await.map_err(&undecided)?;
                // Done, and deleted since.
                done.ok_or_else(|| undecided(RepoError::unknown("it is gone again")))
            }
            Err(Refusal::Unfinished(cause)) => Err(undecided(cause)),
            Err(refusal) => {
                self.undo_move(&moved, &refusal).await.map_err(undecided)?;
                Err(refusal.into_error(change.id))
            }
        }
    }

    /// The steps, in order. Recording the change claimed the name.
    pub(super) async fn carry_over(&self, moved: &Move<'_>) -> Result<(), Refusal> {
        let Move { at, change, to, .. } = *moved;
        if let Some(credentials) = &change.credentials {
            self.claim_credentials(moved, credentials).await?;
        }
        if let Some(collection) = moved.moved()? {
            self.move_collection(at, change.kind, collection, &to.collection_name).await?;
        }
        if let Some(credentials) = &change.credentials {
            let commit = self.repos.admins.commit(at, credentials, self.clock.now());
            take(change.kind, Step::CommitCredentials, commit).await.map_err(Refusal::Unfinished)?;
        }
        let finish = self.repos.orgs.finish_move(at, change, self.clock.now());
        take(change.kind, Step::Finish, finish).await.map_err(Refusal::Unfinished)
    }

    async fn claim_credentials(&self, moved: &Move<'_>, credentials: &CredentialsChange) -> Result<(), Refusal> {
        let kind = moved.change.kind;
        let claim = || take(kind, Step::ClaimEmail, self.repos.admins.claim(moved.at, credentials));
        let claimed = match claim().await {
            Err(RepoError::Duplicate { .. }) if self.clear_orphan(kind, &credentials.after.email).await? => {
                claim().await
            }
            claimed => claimed,
        };
        claimed.map_err(|error| match error {
            RepoError::Duplicate { .. } => Refusal::EmailTaken,
            // No such admin, or a server that has since lost the change released the claim: nothing can have been set.
            RepoError::LeaseLost => Refusal::Refused(error),
            other => other.into(),
        })
    }

    async fn move_collection(
        &self,
        at: ChangeRef,
        kind: ChangeKind,
        collection: &TenantCollection,
        to: &str,
    ) -> Result<(), Refusal> {
        let began = Instant::now();
        let mut from = collection.clone();
        let mut is_cleared = false;
        loop {
            let rename = || self.repos.tenants.rename(&from, to);
            match self.repeatable(at, (kind, Step::MoveCollection), rename).await {
                Ok(()) => return Ok(()),
                // Already in place: an earlier attempt moved it, but its answer was lost.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if actual == to => return Ok(()),
                // Someone moved it by hand: keep the UUID, and use the name where it was last seen.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if from.name == collection.name => {
                    from.name = actual;
                }
                Err(RepoError::CollectionBusy { .. }) if began.elapsed() < self.held_limit => sleep(HELD_PAUSE).await,
                Err(RepoError::NamespaceExists) if !is_cleared && !self.is_occupied(kind, to).await? => {
                    is_cleared = true;
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Undoes a change that was refused before any of it was visible. If its collection has already moved, or its
    /// credentials are set (by another server, or with the answer lost), it can only go forward, and does so later.
    pub(super) async fn undo_move(&self, moved: &Move<'_>, refusal: &Refusal) -> Result<(), RepoError> {
        let Move { at, change, to, .. } = *moved;
        if let Ok(Some(collection)) = moved.moved()
            && let Some(found) = self.repos.tenants.find(&to.collection_name).await?
            && found.collection.uuid == collection.uuid
        {
            return Err(RepoError::unknown("the collection has moved already"));
        }
        if let Some(credentials) = &change.credentials {
            let release = self.repos.admins.release(at, credentials.admin_id);
            if !take(change.kind, Step::ReleaseEmail, release).await? {
                return Err(RepoError::unknown("the credentials are set already"));
            }
        }
        take(change.kind, Step::Undo, self.repos.orgs.undo_move(at, change, refusal.code())).await
    }
}
