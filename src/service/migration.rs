//! Creates, renames and deletes organizations: changes of several documents and a collection, step by step.
//!
//! Each change is recorded in the organization's own document before anything else happens, and each step is safe
//! to repeat. A creation that was interrupted is undone, because nobody was told of it; a rename and a deletion are
//! finished. See docs/ARCHITECTURE.md for the states and the order of the steps.

use std::time::Duration;

use bson::{DateTime, oid::ObjectId};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::clock::SharedClock;
use crate::domain::{Org, OrgId, OrgState, OwnerTag, TenantCollection};
use crate::repo::documents::{AdminDocument, ChangeDocument, ChangeKind, CredentialsChange, NameDocument, OrgDocument};
use crate::repo::orgs::ChangeRef;
use crate::repo::{RepoError, Repos};

/// How long a collection that is held (by a transaction or an index build) is asked for before a change is given up:
/// well within the time that a request has by default, so that the client hears of it.
const HELD_LIMIT: Duration = Duration::from_secs(5);
/// The pause between two attempts.
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The new name belongs to another organization.
    #[error("the name is taken")]
    NameTaken,
    /// The email belongs to another admin.
    #[error("the email is taken")]
    EmailTaken,
    /// There is a collection of the new name that no organization owns; nothing was changed.
    #[error("a collection of that name exists")]
    CollectionOccupied,
    /// The organization's collection is gone, or another one stands in its place; nothing was changed.
    #[error("the organization's collection was replaced")]
    CollectionReplaced,
    /// Another change of the same organization is in progress, or its collection is held; nothing was changed.
    #[error("the organization is being changed")]
    Busy,
    /// The organization is gone.
    #[error("the organization does not exist")]
    Gone,
    /// The change was recorded; whether it is finished or undone is being decided elsewhere.
    #[error("the outcome of the change is not known yet")]
    Undecided(#[source] RepoError),
    /// The store failed; nothing was changed.
    #[error("the change could not be made")]
    Repo(#[from] RepoError),
}

/// Why a recorded change did not come to its end. After all but `Unfinished` nothing of it was done that cannot be
/// given back, and it is.
enum Refusal {
    EmailTaken,
    CollectionOccupied,
    CollectionReplaced,
    Busy,
    /// MongoDB refused a command for good: a missing privilege, say.
    Refused(RepoError),
    /// What was sent may have been done, or this server lost its right: the change goes on later, or elsewhere.
    Unfinished(RepoError),
}

impl From<RepoError> for Refusal {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::CollectionBusy { .. } => Self::Busy,
            RepoError::CollectionMismatch { .. } | RepoError::NamespaceNotFound => Self::CollectionReplaced,
            RepoError::NamespaceExists => Self::CollectionOccupied,
            RepoError::Duplicate { .. }
            | RepoError::GivenUp { .. }
            | RepoError::IndexConflict { .. }
            | RepoError::Undecodable { .. }
            | RepoError::DocumentRefused { .. }
            | RepoError::DocumentTooLarge
            | RepoError::IndexNotFound
            | RepoError::IndexExists
            | RepoError::NotAccepted { .. }
            | RepoError::Unauthorized { .. }
            | RepoError::Refused { .. } => Self::Refused(error),
            RepoError::TakenOver
            | RepoError::Unavailable { .. }
            | RepoError::Unreachable { .. }
            | RepoError::QueryEnded { .. }
            | RepoError::OutcomeUnknown { .. } => Self::Unfinished(error),
        }
    }
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmailTaken => Self::EmailTaken,
            Refusal::CollectionOccupied => Self::CollectionOccupied,
            Refusal::CollectionReplaced => Self::CollectionReplaced,
            Refusal::Busy => Self::Busy,
            Refusal::Refused(error) => Self::Repo(error),
            Refusal::Unfinished(error) => Self::Undecided(error),
        }
    }
}

/// A rename that is recorded: the right to go on with it, and all that its steps need.
struct Rename<'a> {
    at: ChangeRef,
    collection: Option<TenantCollection>,
    from: &'a NameDocument,
    to: &'a NameDocument,
    credentials: Option<&'a CredentialsChange>,
}

impl Rename<'_> {
    fn moves(&self) -> bool {
        self.from.collection_name != self.to.collection_name
    }
}

/// Carries changes out.
#[derive(Debug, Clone)]
pub struct MigrationService {
    repos: Repos,
    clock: SharedClock,
    holder: String,
}

impl MigrationService {
    /// Changes in these repositories, in the name of a server of its own.
    #[must_use]
    pub fn new(repos: Repos, clock: SharedClock) -> Self {
        Self { repos, clock, holder: format!("tenantry-{}", uuid::Uuid::new_v4().simple()) }
    }

    fn now(&self) -> DateTime {
        DateTime::from_time_0_3(self.clock.now())
    }

    fn new_change(&self, kind: ChangeKind) -> ChangeDocument {
        ChangeDocument {
            id: ObjectId::new(),
            kind,
            holder: self.holder.clone(),
            fence: 1,
            // Set by the database's clock when the change is recorded.
            lease_until: DateTime::from_millis(0),
            from: None,
            to: None,
            credentials: None,
        }
    }

    /// Creates an organization with its admin and its collection. The two documents are complete but for the change
    /// and the collection's UUID.
    ///
    /// # Errors
    /// See [`ChangeError`]; after any of them the name and the email are free again, or will be.
    pub async fn create(&self, mut org: OrgDocument, admin: AdminDocument) -> Result<Org, ChangeError> {
        org.change = Some(self.new_change(ChangeKind::Create));
        let at = match self.repos.orgs.insert_provisioning(&org).await {
            Ok(at) => at,
            Err(RepoError::Duplicate { .. }) => return Err(ChangeError::NameTaken),
            Err(other) => return Err(other.into()),
        };
        match self.provision(at, &org, &admin).await {
            Ok(uuid) => {
                org.collection_uuid = Some(uuid);
                org.state = OrgState::Active;
                // As `activate` left it: the next change begins only on the generation that is stored.
                org.generation += 1;
                Ok(org.to_org())
            }
            Err(refusal) => {
                self.undo_create(at, &org).await.map_err(ChangeError::Undecided)?;
                Err(match refusal {
                    // Undone, so nothing is undecided any more.
                    Refusal::Unfinished(error) => ChangeError::Repo(error),
                    // There is no organization yet that another call could be changing.
                    Refusal::Busy => ChangeError::Repo(RepoError::GivenUp { summary: "the name was held".to_owned() }),
                    refusal => refusal.into(),
                })
            }
        }
    }

    async fn provision(&self, at: ChangeRef, org: &OrgDocument, admin: &AdminDocument) -> Result<bson::Uuid, Refusal> {
        match self.repos.admins.insert(admin).await {
            Ok(()) => {}
            Err(RepoError::Duplicate { .. }) => return Err(Refusal::EmailTaken),
            Err(other) => return Err(other.into()),
        }
        let owner = OwnerTag(at.org_id);
        match self.repeatable(at, || self.repos.tenants.create(&org.collection_name, owner)).await {
            // A collection that exists may be ours: the command was sent before and its answer was lost.
            Ok(()) | Err(RepoError::NamespaceExists) => {}
            Err(other) => return Err(other.into()),
        }
        let made = self.repos.tenants.find(&org.collection_name).await?;
        let Some(made) = made.filter(|made| made.owner == Some(owner)) else {
            return Err(Refusal::CollectionOccupied);
        };
        let uuid = bson::Uuid::from_uuid_1(made.collection.uuid);
        self.repos.orgs.record_collection(at, uuid).await?;
        self.repos.orgs.activate(at).await?;
        Ok(uuid)
    }

    async fn undo_create(&self, at: ChangeRef, org: &OrgDocument) -> Result<(), RepoError> {
        match self.repos.orgs.mark_deleting(at).await {
            Ok(()) => self.finish_delete(at, org).await,
            // Undone by another server while this one stalled, perhaps before this one's admin arrived.
            Err(RepoError::TakenOver) if self.repos.orgs.find_document(at.org_id).await?.is_none() => {
                self.repos.admins.remove_of(at.org_id).await
            }
            Err(other) => Err(other),
        }
    }

    /// Renames an organization, changes its admin's credentials, or both, whole or not at all. `to` is the name it
    /// has afterwards, which may be the one it has.
    ///
    /// # Errors
    /// See [`ChangeError`]; but for `Undecided`, everything is as it was.
    pub async fn rename(
        &self,
        org: &Org,
        to: NameDocument,
        credentials: Option<CredentialsChange>,
    ) -> Result<Org, ChangeError> {
        let from = NameDocument::from(org);
        let mut change = self.new_change(ChangeKind::Rename);
        change.from = Some(from.clone());
        change.to = Some(to.clone());
        change.credentials = credentials;
        let claim = (to.slug != from.slug).then_some(to.slug.as_str());
        let at = match self.repos.orgs.begin(org, OrgState::Renaming, &change, claim).await {
            Ok(Some(at)) => at,
            Ok(None) => return Err(self.why_not_begun(org.id).await?),
            Err(RepoError::Duplicate { .. }) => return Err(ChangeError::NameTaken),
            Err(other) => return Err(other.into()),
        };
        let collection = org.tenant_collection();
        let rename = Rename { at, collection, from: &from, to: &to, credentials: change.credentials.as_ref() };
        match self.carry_over(&rename).await {
            Ok(()) => {
                let done = self.repos.orgs.find(org.id).await.map_err(ChangeError::Undecided)?;
                done.ok_or(ChangeError::Gone)
            }
            Err(Refusal::Unfinished(error)) => Err(ChangeError::Undecided(error)),
            Err(refusal) => {
                self.undo_rename(&rename).await.map_err(ChangeError::Undecided)?;
                Err(refusal.into())
            }
        }
    }

    /// The steps of a rename: claim all that can be taken by others, move what can be held, and only then let the
    /// change be seen, by steps that nothing can refuse. So there is never a need to take back what somebody saw.
    async fn carry_over(&self, rename: &Rename<'_>) -> Result<(), Refusal> {
        let at = rename.at;
        // The name was claimed when the change was recorded.
        if let Some(credentials) = rename.credentials {
            self.repos.admins.claim(at, credentials).await.map_err(|error| match error {
                RepoError::Duplicate { .. } => Refusal::EmailTaken,
                // There is no such admin (any more): nothing was claimed.
                RepoError::TakenOver => Refusal::Refused(error),
                other => other.into(),
            })?;
        }
        if rename.moves() {
            let collection = rename.collection.as_ref().ok_or(Refusal::CollectionReplaced)?;
            self.move_collection(at, collection, &rename.to.collection_name).await?;
        }
        if let Some(credentials) = rename.credentials {
            let commit = self.repos.admins.commit(at, credentials, self.now()).await;
            commit.map_err(Refusal::Unfinished)?;
        }
        self.repos.orgs.finish_rename(at, rename.to, self.now()).await.map_err(Refusal::Unfinished)
    }

    async fn move_collection(&self, at: ChangeRef, collection: &TenantCollection, to: &str) -> Result<(), Refusal> {
        let began = Instant::now();
        let mut from = collection.clone();
        loop {
            match self.repeatable(at, || self.repos.tenants.rename(&from, to)).await {
                Ok(()) => return Ok(()),
                // It is where it should be: the command was sent before and its answer was lost.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if actual == to => return Ok(()),
                // Somebody moved it by hand: the UUID is what it is, the name where it was last seen.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if from.name == collection.name => {
                    from.name = actual;
                }
                Err(RepoError::CollectionBusy { .. }) if began.elapsed() < HELD_LIMIT => sleep(HELD_PAUSE).await,
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Gives a rename up that was refused before anything of it could be seen. One whose collection has moved already
    /// (in an attempt whose answer was lost, or by another server) can only go forward, and does so later.
    async fn undo_rename(&self, rename: &Rename<'_>) -> Result<(), RepoError> {
        if rename.moves()
            && let Some(collection) = &rename.collection
            && let Some(found) = self.repos.tenants.find(&rename.to.collection_name).await?
            && found.collection.uuid == collection.uuid
        {
            return Err(RepoError::OutcomeUnknown { summary: "the collection has moved already".to_owned() });
        }
        if let Some(credentials) = rename.credentials {
            self.repos.admins.release(rename.at, credentials.admin_id).await?;
        }
        self.repos.orgs.undo_rename(rename.at).await
    }

    /// Deletes an organization with its collection and its admins.
    ///
    /// # Errors
    /// See [`ChangeError`]. After `Undecided` the organization is gone for everybody who asks, and its name will be
    /// free.
    pub async fn delete(&self, org: &Org) -> Result<(), ChangeError> {
        let change = self.new_change(ChangeKind::Delete);
        let Some(at) = self.repos.orgs.begin(org, OrgState::Deleting, &change, None).await? else {
            return Err(self.why_not_begun(org.id).await?);
        };
        let document = self.repos.orgs.find_document(org.id).await.map_err(ChangeError::Undecided)?;
        let document = document.ok_or(ChangeError::Gone)?;
        self.finish_delete(at, &document).await.map_err(ChangeError::Undecided)
    }

    async fn finish_delete(&self, at: ChangeRef, org: &OrgDocument) -> Result<(), RepoError> {
        if let Some(collection) = org.to_org().tenant_collection() {
            self.repeatable(at, || self.repos.tenants.drop(&collection)).await?;
        } else if let Some(made) = self.repos.tenants.find(&org.collection_name).await?
            && made.owner == Some(OwnerTag(at.org_id))
        {
            // Made for this organization, but the UUID was not recorded any more.
            self.repeatable(at, || self.repos.tenants.drop(&made.collection)).await?;
        }
        self.repeatable(at, || self.repos.admins.remove_of(at.org_id)).await?;
        self.repos.orgs.remove(at).await
    }

    /// Does what the driver does not repeat by itself but is safe to repeat: once more, when its answer was lost. The
    /// right to it is renewed immediately before each attempt.
    async fn repeatable<F: Future<Output = Result<(), RepoError>>>(
        &self,
        at: ChangeRef,
        attempt: impl Fn() -> F,
    ) -> Result<(), RepoError> {
        self.repos.orgs.renew(at).await?;
        match attempt().await {
            Err(unknown @ RepoError::OutcomeUnknown { .. }) => {
                self.repos.orgs.renew(at).await?;
                match attempt().await {
                    // These say what became of the first attempt, or that the second one did its work.
                    decided @ (Ok(())
                    | Err(
                        RepoError::CollectionMismatch { .. }
                        | RepoError::NamespaceExists
                        | RepoError::NamespaceNotFound
                        | RepoError::TakenOver,
                    )) => decided,
                    // These speak of the second attempt alone.
                    Err(_) => Err(unknown),
                }
            }
            decided => decided,
        }
    }

    async fn why_not_begun(&self, id: OrgId) -> Result<ChangeError, ChangeError> {
        let now = self.repos.orgs.find(id).await?;
        Ok(if now.is_some_and(|org| org.state.is_visible()) { ChangeError::Busy } else { ChangeError::Gone })
    }

    /// Takes over every change that nobody works on any more, and finishes or undoes it. Gives the number of changes
    /// that were brought to an end.
    ///
    /// # Errors
    /// MongoDB could not be asked; a change that cannot be finished now is logged and tried again next time.
    pub async fn resume_abandoned(&self) -> Result<usize, RepoError> {
        let mut ended = 0;
        for id in self.repos.orgs.find_abandoned().await? {
            match self.resume_one(id).await {
                Ok(is_ended) => ended += usize::from(is_ended),
                // A document that cannot be read, say, must not keep the others waiting.
                Err(error) => warn!(organization_id = %id, %error, "cannot finish an abandoned change yet"),
            }
        }
        Ok(ended)
    }

    /// Takes one change over and brings it to its end; `false` when another server was faster.
    async fn resume_one(&self, id: OrgId) -> Result<bool, RepoError> {
        let Some(org) = self.repos.orgs.take_over(id, &self.holder).await? else { return Ok(false) };
        let Some(change) = org.change.clone() else { return Ok(false) };
        let at = ChangeRef::of(&org, &change);
        self.resume(at, &org, &change).await?;
        info!(organization_id = %id, change_id = %change.id, kind = ?change.kind, "finished an abandoned change");
        Ok(true)
    }

    async fn resume(&self, at: ChangeRef, org: &OrgDocument, change: &ChangeDocument) -> Result<(), RepoError> {
        match org.state {
            OrgState::Active => Ok(()),
            OrgState::Provisioning => self.undo_create(at, org).await,
            OrgState::Deleting => self.finish_delete(at, org).await,
            OrgState::Renaming => {
                let (Some(from), Some(to)) = (&change.from, &change.to) else {
                    return Err(RepoError::Refused { summary: "a rename without its names".to_owned() });
                };
                let collection = org.to_org().tenant_collection();
                let rename = Rename { at, collection, from, to, credentials: change.credentials.as_ref() };
                match self.carry_over(&rename).await {
                    Ok(()) => Ok(()),
                    Err(Refusal::Busy) => Err(RepoError::CollectionBusy { summary: "it is held".to_owned() }),
                    Err(Refusal::Unfinished(error)) => Err(error),
                    Err(
                        Refusal::EmailTaken
                        | Refusal::CollectionOccupied
                        | Refusal::CollectionReplaced
                        | Refusal::Refused(_),
                    ) => {
                        warn!(organization_id = %at.org_id, change_id = %at.change_id, "gives an abandoned rename up");
                        self.undo_rename(&rename).await
                    }
                }
            }
        }
    }
}
