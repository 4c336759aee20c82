//! Follows a tenant's collection while it moves: a command that came too late for a name did nothing, and is sent again
//! to where the collection is now. Clients notice nothing of a rename.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::debug;

use super::DataError;
use crate::domain::{Invalid, Org, OrgId, Tenant, TenantCollection};
use crate::repo::{Effect, OrgRepo, RepoError};
use crate::shares::Share;

/// How often in a row a collection may have moved away from under a command. Each move takes the server that moves it
/// several writes, so even the second in a row is rare.
const MAX_MOVES: u8 = 20;

/// How often a command is repeated whose answer was lost, or whose server was not the one to ask (any more).
const MAX_LOSSES: u8 = 2;

/// How long MongoDB goes on with a command whose connection is gone: half a second (measured on 6.0.5), and some room.
const NOTICED_AFTER: Duration = Duration::from_secs(1);

/// Where a tenant's collection was last seen.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) tenant: Tenant,
    pub(super) collection: TenantCollection,
    moves: u8,
    losses: u8,
    /// The organization's turn, for as long as somebody works here.
    turn: Option<Share<OrgId>>,
    /// Whether a command is on its way that may be given up.
    is_at_work: bool,
}

impl Place {
    /// Where the caller's organization said that it is.
    pub(super) fn of(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            collection: tenant.collection().clone(),
            moves: 0,
            losses: 0,
            turn: None,
            is_at_work: false,
        }
    }

    /// The same, with a turn that ends when the work here does.
    pub(super) fn with(mut self, turn: Share<OrgId>) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Awaits a command that may be given up in the middle.
    pub(super) async fn while_at_work<T>(&mut self, command: impl AsyncFnOnce(&Self) -> T) -> T {
        self.is_at_work = true;
        let done = command(self).await;
        self.is_at_work = false;
        done
    }

    /// Notes that a command found the collection here.
    pub(super) fn found(&mut self) {
        (self.moves, self.losses) = (0, 0);
    }
}

impl Drop for Place {
    /// Keeps the turn of a command that is given up for as long as MongoDB goes on with it: else an organization could have many
    /// more at work than its turns.
    fn drop(&mut self) {
        if let (true, Some(turn), Ok(runtime)) = (self.is_at_work, self.turn.take(), Handle::try_current()) {
            runtime.spawn(async move {
                sleep(NOTICED_AFTER).await;
                drop(turn);
            });
        }
    }
}

/// Finds collections again.
#[derive(Debug, Clone)]
pub(super) struct Locator {
    orgs: OrgRepo,
}

impl Locator {
    pub(super) fn new(orgs: OrgRepo) -> Self {
        Self { orgs }
    }

    /// What to do after a read failed: `Ok` is to repeat it at the place as it is now.
    pub(super) async fn after_read(&self, place: &mut Place, error: RepoError) -> Result<(), DataError> {
        match error {
            RepoError::GivenUp { .. } => Err(DataError::TooSlow),
            error => self.after_write(place, error).await.map(drop),
        }
    }

    /// What to do after a write failed: `Ok` is to repeat it at the place as it is now.
    /// Gives what the failed one did.
    pub(super) async fn after_write(&self, place: &mut Place, error: RepoError) -> Result<Effect, DataError> {
        let effect = error.effect();
        match error {
            RepoError::Unanswered { .. } if place.losses < MAX_LOSSES => place.losses += 1,
            error => self.follow(place, error).await?,
        }
        Ok(effect)
    }

    /// Goes after a collection that was not where the command looked for it.
    async fn follow(&self, place: &mut Place, error: RepoError) -> Result<(), DataError> {
        let actual = match error {
            RepoError::CollectionMismatch { actual } => actual,
            // It moved while the command ran. Where to, the next attempt will hear. (`$collStats` says of a collection that
            // moved between its parts that there is none, measured on MongoDB 6.0.5.)
            RepoError::QueryEnded { .. } | RepoError::NamespaceNotFound => Some(place.collection.name.clone()),
            error => return Err(refusal(error)),
        };
        if place.moves >= MAX_MOVES {
            return Err(DataError::Moving);
        }
        place.moves += 1;
        let org = self.orgs.find(place.tenant.org_id()).await?;
        let org = org.filter(|org| org.state.is_visible()).ok_or(DataError::Gone)?;
        if org.collection_uuid != Some(place.collection.uuid) {
            return Err(DataError::Replaced);
        }
        // The UUID exists under no name at all, though the organization is there.
        place.collection.name = actual.ok_or(DataError::Replaced)?;
        Ok(())
    }

    /// The tenant's organization as it is now, when no change of it is in progress.
    pub(super) async fn at_rest(&self, tenant: &Tenant) -> Result<Option<Org>, DataError> {
        let org = self.orgs.find(tenant.org_id()).await?;
        let org = org.filter(|org| org.state.is_visible()).ok_or(DataError::Gone)?;
        if org.collection_uuid != Some(tenant.collection().uuid) {
            return Err(DataError::Replaced);
        }
        Ok((org.state == crate::domain::OrgState::Active).then_some(org))
    }
}

/// What a refusal of MongoDB means to somebody who writes or reads documents.
pub(super) fn refusal(error: RepoError) -> DataError {
    match error {
        RepoError::Duplicate { index } if index == "_id_" => DataError::Exists,
        RepoError::Duplicate { index } => DataError::NotUnique { index },
        RepoError::DocumentRefused { info } => DataError::SchemaViolation(crate::domain::schema::violations(&info)),
        RepoError::DocumentTooLarge => DataError::invalid(crate::domain::document::too_large(), ""),
        RepoError::IndexExists => DataError::IndexExists,
        RepoError::IndexNotFound => DataError::IndexNotFound,
        RepoError::NotAccepted { summary } => {
            // A client can have one refused as often as it likes.
            debug!(summary, "MongoDB does not accept a document");
            let why =
                "MongoDB does not accept this document; look at the indexes that it would be in, above all at lists";
            DataError::invalid(Invalid::new("not_accepted", why), "")
        }
        RepoError::CollectionBusy { .. } => DataError::Moving,
        error if error.effect() == Effect::Unknown => DataError::OutcomeUnknown(error),
        error => DataError::Repo(error),
    }
}
