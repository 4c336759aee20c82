//! Changes that move a collection: renames, deletions with a way back, restorations, repairs.
//!
//! All go the same way: claim all that can be taken by others, move what can be held, and only then let the change be
//! seen, by steps that nothing can refuse. So there is never a need to take back what somebody saw.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::Refusal;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{ChangeId, ChangeKind, CredentialsChange, Org, PlannedChange, TenantCollection, Title, Titles};
use crate::repo::RepoError;
use crate::repo::journal::ChangeRef;

/// The pause between two attempts at a collection that is held.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// What a rename changes.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The name that the organization has afterwards, which may be the one it has.
    pub to: Title,
    /// The credentials that its admin gets.
    pub credentials: Option<CredentialsChange>,
    /// For how many days the name is kept that it gives up.
    pub keep_old_name_days: u16,
}

/// A recorded change that moves a collection: the right to go on with it, and all that its steps need.
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

    /// The collection, if it is called otherwise afterwards.
    fn moved(&self) -> Result<Option<&TenantCollection>, Refusal> {
        let collection = self.collection.as_ref().ok_or(Refusal::CollectionReplaced)?;
        Ok((collection.name != self.to.collection_name).then_some(collection))
    }
}

impl MigrationService {
    /// Renames an organization, changes its admin's credentials, or both, whole or not at all.
    ///
    /// # Errors
    /// See [`ChangeError`]; but for `Undecided`, everything is as it was.
    pub async fn rename(&self, id: ChangeId, org: &Org, rename: Rename) -> Result<Org, ChangeError> {
        let Rename { to, credentials, keep_old_name_days } = rename;
        let change = PlannedChange::moving(id, ChangeKind::Rename, org.title(), to);
        self.make(org, &PlannedChange { credentials, keep_old_name_days, ..change }).await
    }

    /// Brings a deleted organization back under this name, and ends the tokens of its former life.
    ///
    /// # Errors
    /// See [`ChangeError`]; but for `Undecided`, everything is as it was.
    pub async fn restore(&self, id: ChangeId, org: &Org, to: Title) -> Result<Org, ChangeError> {
        self.make(org, &PlannedChange::moving(id, ChangeKind::Restore, org.title(), to)).await
    }

    /// Moves an organization's collection back to where it is recorded, from where it was found.
    ///
    /// # Errors
    /// See [`ChangeError`]; but for `Undecided`, everything is as it was.
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
                // Made, and gone since.
                done.ok_or_else(|| undecided(RepoError::unknown("it is gone again")))
            }
            Err(Refusal::Unfinished(cause)) => Err(undecided(cause)),
            Err(refusal) => {
                self.undo_move(&moved, &refusal).await.map_err(undecided)?;
                Err(refusal.into_error(change.id))
            }
        }
    }

    /// The steps, in their order. The name was claimed when the change was recorded.
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
            // There is no such admin (any more), or the claim was given up by a server that was overtaken since: nothing of this
            // change can have been set.
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
                // It is where it should be: the command was sent before and its answer was lost.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if actual == to => return Ok(()),
                // Somebody moved it by hand: the UUID is what it is, the name where it was last seen.
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

    /// Gives a change up that was refused before anything of it could be seen. One whose collection has moved already, or
    /// whose credentials are set (in an attempt whose answer was lost, or by another server), can only go forward, and does
    /// so later.
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
