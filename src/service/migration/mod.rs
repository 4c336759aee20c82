//! Carries out changes of organizations, which span several documents and a collection, step by step.
//!
//! Each change is first recorded in the organization's own document, and each step is safe to repeat. An interrupted
//! creation is undone, because nobody was told of it; every other change is finished. See docs/ARCHITECTURE.md for the
//! states and the order of the steps.

mod create;
mod delete;
mod error;
mod leftovers;
mod moves;
mod resume;
mod step;

use std::time::{Duration, Instant};

pub use error::ChangeError;
pub use moves::Rename;
pub use step::Step;

use super::Chore;
use crate::clock::SharedClock;
use crate::domain::{ChangeKind, Org, OrgId, OrgState, PlannedChange, Slug};
use crate::repo::journal::ChangeRef;
use crate::repo::{Effect, RepoError, Repos};
use crate::timings::Timings;

use step::take;

/// Carries changes out.
#[derive(Debug, Clone)]
pub struct MigrationService {
    repos: Repos,
    clock: SharedClock,
    holder: String,
    /// How long to keep trying a collection held by a transaction or an index build before the change is undone.
    held_limit: Duration,
}

impl MigrationService {
    /// Changes in these repositories, under a new holder id, for clients that wait this long for an answer.
    pub fn new(repos: Repos, clock: SharedClock, request_timeout: Duration) -> Self {
        let holder = format!("tenantry-{}", uuid::Uuid::new_v4().simple());
        // Half of it, so that the client is still told that everything was undone.
        Self { repos, clock, holder, held_limit: request_timeout / 2 }
    }

    /// This server's background work on changes, deletions and leftovers, whichever server began them.
    pub fn chores(&self) -> [Chore; 3] {
        let Timings { reconcile_every: often, scrub_every: seldom, .. } = self.repos.timings;
        [
            Chore::every(often, "look for abandoned changes", self, |this| async move {
                this.resume_abandoned().await.map(drop)
            }),
            Chore::every(often, "look for deletions that are over", self, |this| async move {
                this.purge_expired().await.map(drop)
            }),
            Chore::every(
                seldom,
                "look for leftovers",
                self,
                |this| async move { this.clear_leftovers().await.map(drop) },
            ),
        ]
    }

    /// Records a change, which claims the organization's new name.
    async fn begin(&self, org: &Org, change: &PlannedChange) -> Result<ChangeRef, ChangeError> {
        let attempt = || take(change.kind, Step::Begin, self.repos.orgs.begin(org, change, &self.holder));
        let begun = match (attempt().await, &change.titles) {
            (Err(RepoError::Duplicate { .. }), Some(titles)) => {
                self.free_expired(change.kind, &titles.to.slug).await?;
                attempt().await
            }
            (other, _) => other,
        };
        match begun {
            Ok(Some(at)) => Ok(at),
            Ok(None) => Err(self.why_not_begun(org.id, change.kind).await?),
            Err(RepoError::Duplicate { .. }) => Err(ChangeError::NameTaken),
            Err(cause) if cause.effect() == Effect::Unknown => Err(undecided(change)(cause)),
            Err(other) => Err(other.into()),
        }
    }

    /// Frees a name that was kept or cooling down, once its time is over.
    async fn free_expired(&self, kind: ChangeKind, slug: &Slug) -> Result<(), RepoError> {
        take(kind, Step::FreeName, self.repos.orgs.free_expired(slug)).await
    }

    async fn why_not_begun(&self, id: OrgId, kind: ChangeKind) -> Result<ChangeError, ChangeError> {
        let Some(org) = self.repos.orgs.find(id).await? else { return Ok(ChangeError::Gone) };
        let is_coming_back = kind == ChangeKind::Restore
            && (org.state == OrgState::Restoring || org.restorable(self.clock.now()).is_some());
        Ok(if org.state.is_visible() || is_coming_back { ChangeError::Busy } else { ChangeError::Gone })
    }

    /// Whether any organization has or claims this name. Frees an expired one first.
    pub async fn is_name_taken(&self, kind: ChangeKind, slug: &Slug) -> Result<bool, RepoError> {
        if !self.repos.orgs.is_name_taken(slug).await? {
            return Ok(false);
        }
        self.free_expired(kind, slug).await?;
        self.repos.orgs.is_name_taken(slug).await
    }

    /// Runs an operation that is safe to repeat, though the driver does not retry it; once more if its answer is lost.
    /// Renews the lease immediately before each attempt.
    async fn repeatable<F: Future<Output = Result<(), RepoError>>>(
        &self,
        at: ChangeRef,
        (kind, step): (ChangeKind, Step),
        attempt: impl Fn() -> F,
    ) -> Result<(), RepoError> {
        self.renew(at, (kind, step)).await?;
        match take(kind, step, attempt()).await {
            Err(unknown) if unknown.effect() == Effect::Unknown => {
                take(kind, Step::Renew, self.repos.orgs.renew_uncertain(at, step.name())).await?;
                match take(kind, step, attempt()).await {
                    // These tell the fate of the first attempt, or that the second did its work.
                    decided @ (Ok(())
                    | Err(
                        RepoError::CollectionMismatch { .. }
                        | RepoError::NamespaceExists
                        | RepoError::NamespaceNotFound
                        | RepoError::LeaseLost,
                    )) => decided,
                    // These concern only the second attempt.
                    Err(_) => Err(unknown),
                }
            }
            decided => decided,
        }
    }

    /// Renews the lease, and again after a stall: the next command must reach MongoDB while the lease is fresh.
    async fn renew(&self, at: ChangeRef, (kind, step): (ChangeKind, Step)) -> Result<(), RepoError> {
        loop {
            let asked = Instant::now();
            take(kind, Step::Renew, self.repos.orgs.renew(at, step.name())).await?;
            if asked.elapsed() < self.repos.timings.lease / 3 {
                return Ok(());
            }
        }
    }
}

/// Reports a recorded change as unfinished.
fn undecided(change: &PlannedChange) -> impl Fn(RepoError) -> ChangeError {
    let change_id = change.id;
    move |cause| ChangeError::Undecided { change_id, cause }
}
