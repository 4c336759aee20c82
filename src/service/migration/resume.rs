//! Resumes changes that another server began: its lease expired, so it died or stalled.

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::MigrationService;
use super::error::Refusal;
use super::moves::Move;
use crate::chaos;
use crate::domain::{Org, OrgId, OrgState, PlannedChange};
use crate::repo::RepoError;
use crate::repo::journal::ChangeRef;

/// How many abandoned changes are handled at once: one waiting for its collection must not hold up the others.
const AT_ONCE: usize = 8;

impl MigrationService {
    /// Resumes every abandoned change, and finishes or undoes it. Returns how many ended.
    ///
    /// # Errors
    /// MongoDB could not be reached. A change that cannot be finished now is logged and retried next time.
    pub async fn resume_abandoned(&self) -> Result<usize, RepoError> {
        let mut ended = 0;
        let mut running = JoinSet::new();
        for id in self.repos.orgs.find_abandoned().await? {
            if running.len() >= AT_ONCE {
                ended += usize::from(running.join_next().await.is_some_and(|is_ended| matches!(is_ended, Ok(true))));
            }
            let migration = self.clone();
            running.spawn(async move { migration.resume_one(id).await });
        }
        while let Some(is_ended) = running.join_next().await {
            ended += usize::from(matches!(is_ended, Ok(true)));
        }
        Ok(ended)
    }

    /// Ends one change; `false` when another server got there first, or it cannot end now.
    async fn resume_one(&self, id: OrgId) -> bool {
        match self.resume(id).await {
            Ok(is_ended) => is_ended,
            // An unreadable document, say.
            Err(error) => {
                warn!(organization_id = %id, %error, "cannot finish an abandoned change yet");
                false
            }
        }
    }

    async fn resume(&self, id: OrgId) -> Result<bool, RepoError> {
        chaos::pass("resume", "take-lease", "before");
        let taken = self.repos.orgs.resume(id, &self.holder).await;
        chaos::pass("resume", "take-lease", "after");
        let Some((at, org, change)) = taken? else { return Ok(false) };
        self.carry_on(at, &org, &change).await?;
        info!(organization_id = %id, change_id = %change.id, kind = change.kind.name(), "ended an abandoned change");
        Ok(true)
    }

    async fn carry_on(&self, at: ChangeRef, org: &Org, change: &PlannedChange) -> Result<(), RepoError> {
        match org.state {
            OrgState::Active | OrgState::Deleted => Ok(()),
            OrgState::Provisioning => self.undo_create(at, org).await,
            OrgState::Deleting => match self.carry_delete(at, change, org).await {
                // Undone: its collection was replaced by hand, and must not be lost.
                Ok(()) | Err(Refusal::CollectionReplaced) => Ok(()),
                Err(refusal) => Err(refusal.into_cause()),
            },
            OrgState::Renaming | OrgState::Restoring => {
                let Some(moved) = Move::of(at, change, org) else {
                    return Err(RepoError::Refused { summary: "a change without its names".to_owned() });
                };
                match self.carry_over(&moved).await {
                    Ok(()) => Ok(()),
                    Err(refusal @ (Refusal::CollectionHeld | Refusal::Unfinished(_))) => Err(refusal.into_cause()),
                    Err(refusal) => {
                        warn!(
                            organization_id = %at.org_id, change_id = %at.change_id, why = refusal.code(),
                            "undoing an abandoned change"
                        );
                        self.undo_move(&moved, &refusal).await
                    }
                }
            }
        }
    }
}
