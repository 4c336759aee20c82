//! Follows a tenant's collection while it moves. A command sent to an old name did nothing, and is sent again to the
//! new one. Clients notice nothing of a rename.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::debug;

use super::{DataError, DataService};
use crate::domain::{Invalid, Org, OrgId, Tenant, TenantCollection};
use crate::repo::{Effect, OrgRepo, RepoError};
use crate::shares::Share;

/// How often in a row a collection may move before a command reaches it. Each move takes the moving server several
/// writes, so even a second one in a row is rare.
const MAX_MOVES: u8 = 20;

/// How often to repeat a command whose answer was lost, or whose server was not the right one to ask (any more).
const MAX_LOSSES: u8 = 2;

/// How long MongoDB continues a command after its connection closes: half a second (measured on 6.0.5), plus some room.
const NOTICED_AFTER: Duration = Duration::from_secs(1);

/// A tenant's collection, followed wherever it moves.
#[derive(Debug)]
pub(super) struct Located {
    orgs: OrgRepo,
    pub(super) tenant: Tenant,
    /// The collection, under its last known name.
    pub(super) collection: TenantCollection,
    moves: u8,
    losses: u8,
    /// The organization's turn, held while work is in progress here.
    turn: Option<Share<OrgId>>,
    /// Whether a command is in flight that may be cancelled.
    is_at_work: bool,
}

impl Drop for Located {
    /// Holds the turn of a cancelled command for as long as MongoDB may continue it. Otherwise an organization could
    /// run far more commands than it has turns.
    fn drop(&mut self) {
        if let (true, Some(turn), Ok(runtime)) = (self.is_at_work, self.turn.take(), Handle::try_current()) {
            runtime.spawn(async move {
                sleep(NOTICED_AFTER).await;
                drop(turn);
            });
        }
    }
}

/// What a command carries from the client that MongoDB may refuse.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sent {
    Document,
    Query,
    Index,
    Schema,
}

impl DataService {
    /// Starts where the caller's organization was last seen. Commands there wait for no turn.
    pub(super) fn locate(&self, tenant: &Tenant) -> Located {
        Located {
            orgs: self.orgs.clone(),
            tenant: tenant.clone(),
            collection: tenant.collection().clone(),
            moves: 0,
            losses: 0,
            turn: None,
            is_at_work: false,
        }
    }

    /// The same, for a caller that takes a turn, which ends with the work there.
    pub(super) async fn enter(&self, tenant: &Tenant) -> Result<Located, DataError> {
        let turn = Some(self.turn(tenant).await?);
        let mut located = self.locate(tenant);
        located.turn = turn;
        Ok(located)
    }

    /// The tenant's current organization, if it is not being changed.
    pub(super) async fn at_rest(&self, tenant: &Tenant) -> Result<Option<Org>, DataError> {
        let org = still_there(&self.orgs, tenant).await?;
        Ok(org.state.is_at_rest().then_some(org))
    }
}

/// The tenant's organization, if it still has the same collection.
async fn still_there(orgs: &OrgRepo, tenant: &Tenant) -> Result<Org, DataError> {
    let org = orgs.find(tenant.org_id()).await?;
    let org = org.filter(|org| org.state.is_visible()).ok_or(DataError::Gone)?;
    if org.collection_uuid == Some(tenant.collection().uuid) { Ok(org) } else { Err(DataError::Replaced) }
}

impl Located {
    /// Reads, retrying from the beginning as often as needed, because a rename closes the cursor.
    pub(super) async fn read<T, F: Future<Output = Result<T, RepoError>>>(
        &mut self,
        sent: Sent,
        mut command: impl FnMut(TenantCollection) -> F,
    ) -> Result<T, DataError> {
        loop {
            self.is_at_work = true;
            let read = command(self.collection.clone()).await;
            self.is_at_work = false;
            match read {
                Ok(read) => {
                    self.found();
                    return Ok(read);
                }
                Err(RepoError::GivenUp { .. }) => return Err(DataError::TooSlow),
                Err(error) => drop(self.after_failure(sent, error).await?),
            }
        }
    }

    /// Makes an idempotent change. The command learns what the earlier attempts did.
    pub(super) async fn change<T, F: Future<Output = Result<T, RepoError>>>(
        &mut self,
        sent: Sent,
        command: impl Fn(TenantCollection, Effect) -> F,
    ) -> Result<T, DataError> {
        let mut before = Effect::Nothing;
        loop {
            let error = match command(self.collection.clone(), before).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if self.after_failure(sent, error).await? == Effect::Unknown {
                before = Effect::Unknown;
            }
        }
    }

    /// Notes that a command found the collection here.
    pub(super) fn found(&mut self) {
        (self.moves, self.losses) = (0, 0);
    }

    /// Handles a failed command: `Ok` means to repeat it where the collection is now; returns what the failed one did.
    pub(super) async fn after_failure(&mut self, sent: Sent, error: RepoError) -> Result<Effect, DataError> {
        let effect = error.effect();
        match error {
            RepoError::Unanswered { .. } if self.losses < MAX_LOSSES => self.losses += 1,
            error => self.follow(sent, error).await?,
        }
        Ok(effect)
    }

    /// Follows a collection that was not where the command looked.
    async fn follow(&mut self, sent: Sent, error: RepoError) -> Result<(), DataError> {
        let actual = match error {
            RepoError::CollectionMismatch { actual } => actual,
            // It moved while the command ran; the next attempt learns where to. (When a collection moves between the
            // parts of `$collStats`, that reports none, measured on MongoDB 6.0.5.)
            RepoError::QueryEnded { .. } | RepoError::NamespaceNotFound => Some(self.collection.name.clone()),
            error => return Err(sent.refusal(error)),
        };
        if self.moves >= MAX_MOVES {
            return Err(DataError::Moving);
        }
        self.moves += 1;
        still_there(&self.orgs, &self.tenant).await?;
        // The UUID exists under no name, though the organization exists.
        self.collection.name = actual.ok_or(DataError::Replaced)?;
        Ok(())
    }
}

impl Sent {
    /// What a refusal by MongoDB means to the client.
    fn not_accepted(self) -> DataError {
        let (code, why, pointer) = match self {
            Self::Document => (
                "not_accepted",
                "MongoDB does not accept this document; look at the indexes that it would be in, above all at lists",
                "",
            ),
            Self::Query => (
                "invalid_value",
                "MongoDB does not accept this filter or order; look at regular expressions, and at fields with lists",
                "?filter",
            ),
            Self::Index => {
                ("invalid_value", "MongoDB does not accept this index; look at its keys and its partial_filter", "")
            }
            Self::Schema => ("invalid_value", "MongoDB does not accept this schema; look at its patterns", ""),
        };
        DataError::invalid(Invalid::new(code, why), pointer)
    }

    /// Translates MongoDB's refusal for the client that sent this.
    pub(super) fn refusal(self, error: RepoError) -> DataError {
        match error {
            RepoError::Duplicate { index } if index == "_id_" => DataError::Exists,
            RepoError::Duplicate { index } => DataError::NotUnique { index },
            RepoError::DocumentRefused { info } => DataError::SchemaViolation(crate::domain::schema::violations(&info)),
            RepoError::DocumentTooLarge => DataError::invalid(crate::domain::documents::too_large(), ""),
            RepoError::IndexExists => DataError::IndexExists,
            RepoError::IndexNotFound => DataError::IndexNotFound,
            RepoError::NotAccepted { summary } => {
                // Only `debug`, because clients can cause this as often as they like.
                debug!(summary, sent = ?self, "MongoDB refused what a client sent");
                self.not_accepted()
            }
            RepoError::CollectionBusy { .. } => DataError::Moving,
            error if error.effect() == Effect::Unknown => DataError::OutcomeUnknown(error),
            error => DataError::Repo(error),
        }
    }
}
