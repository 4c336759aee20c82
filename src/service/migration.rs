//! Creates, renames and deletes organizations: changes of several documents and a collection, step by step.
//!
//! Each change is recorded in the organization's own document before anything else happens, and each step is safe
//! to repeat. A creation that was interrupted is undone, because nobody was told of it; a rename and a deletion are
//! finished. See docs/ARCHITECTURE.md for the states and the order of the steps.

use std::time::Duration;

use bson::{DateTime, oid::ObjectId};
use tracing::{info, warn};

use crate::clock::SharedClock;
use crate::domain::{Org, OrgId, OrgState, OwnerTag, TenantCollection};
use crate::repo::documents::{AdminDocument, ChangeDocument, ChangeKind, CredentialsChange, NameDocument, OrgDocument};
use crate::repo::orgs::ChangeRef;
use crate::repo::{RepoError, Repos};

/// How often a collection that is held (by a transaction or an index build) is asked for before a change is given up.
const BUSY_ATTEMPTS: u32 = 10;
/// The pause between two of these attempts.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

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
    /// Another change of the same organization is in progress, or its collection is held; nothing was changed.
    #[error("the organization is being changed")]
    Busy,
    /// The organization is gone.
    #[error("the organization does not exist")]
    Gone,
    /// The change was recorded; whether it is finished or undone is being decided elsewhere.
    #[error("the outcome of the change is not known yet")]
    Undecided(#[source] RepoError),
    /// The store failed before anything was changed.
    #[error("the change could not be begun")]
    Repo(#[from] RepoError),
}

/// What a recorded change met. The steps themselves know no more than the repository's errors.
enum Refusal {
    EmailTaken,
    CollectionOccupied,
    Busy,
    Failed(RepoError),
}

impl From<RepoError> for Refusal {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::CollectionBusy { .. } => Self::Busy,
            other => Self::Failed(other),
        }
    }
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmailTaken => Self::EmailTaken,
            Refusal::CollectionOccupied => Self::CollectionOccupied,
            Refusal::Busy => Self::Busy,
            Refusal::Failed(error) => Self::Undecided(error),
        }
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
                    // Undone, so nothing is undecided any more: it may simply be tried again.
                    Refusal::Failed(error) => ChangeError::Repo(error),
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
        self.repos.orgs.renew(at).await?;
        match self.repos.tenants.create(&org.collection_name, owner).await {
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
        self.repos.orgs.mark_deleting(at).await?;
        self.finish_delete(at, org).await
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
        match self.move_over(at, org.tenant_collection(), &change, &from, &to).await {
            Ok(()) => {
                let done = self.repos.orgs.find(org.id).await.map_err(ChangeError::Undecided)?;
                done.ok_or(ChangeError::Gone)
            }
            Err(Refusal::Failed(error)) => Err(ChangeError::Undecided(error)),
            Err(refusal) => {
                self.undo_rename(at, &change).await.map_err(ChangeError::Undecided)?;
                Err(refusal.into())
            }
        }
    }

    async fn move_over(
        &self,
        at: ChangeRef,
        collection: Option<TenantCollection>,
        change: &ChangeDocument,
        from: &NameDocument,
        to: &NameDocument,
    ) -> Result<(), Refusal> {
        if let Some(CredentialsChange { admin_id, before, after }) = &change.credentials {
            match self.repos.admins.replace_credentials(*admin_id, before, after, self.now()).await {
                Ok(()) => {}
                Err(RepoError::Duplicate { .. }) => return Err(Refusal::EmailTaken),
                Err(other) => return Err(other.into()),
            }
        }
        if from.collection_name != to.collection_name {
            let collection = collection.ok_or(RepoError::NamespaceNotFound)?;
            self.move_collection(at, &collection, &to.collection_name).await?;
        }
        Ok(self.repos.orgs.finish_rename(at, to, self.now()).await?)
    }

    async fn move_collection(&self, at: ChangeRef, collection: &TenantCollection, to: &str) -> Result<(), Refusal> {
        for _ in 0..BUSY_ATTEMPTS {
            self.repos.orgs.renew(at).await?;
            match self.repos.tenants.rename(collection, to).await {
                Ok(()) => return Ok(()),
                // It is where it should be: the command was sent before and its answer was lost.
                Err(RepoError::CollectionMismatch { actual: Some(actual) }) if actual == to => return Ok(()),
                Err(RepoError::NamespaceExists) => return Err(Refusal::CollectionOccupied),
                Err(RepoError::CollectionBusy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                Err(other) => return Err(other.into()),
            }
        }
        Err(Refusal::Busy)
    }

    /// Gives a rename up that was refused before the collection moved.
    async fn undo_rename(&self, at: ChangeRef, change: &ChangeDocument) -> Result<(), RepoError> {
        if let Some(CredentialsChange { admin_id, before, after }) = &change.credentials {
            self.repos.orgs.renew(at).await?;
            self.repos.admins.replace_credentials(*admin_id, after, before, self.now()).await?;
        }
        self.repos.orgs.undo_rename(at).await
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
        self.repos.orgs.renew(at).await?;
        if let Some(collection) = org.to_org().tenant_collection() {
            self.repos.tenants.drop(&collection).await?;
        } else if let Some(made) = self.repos.tenants.find(&org.collection_name).await?
            && made.owner == Some(OwnerTag(at.org_id))
        {
            // Made for this organization, but the UUID was not recorded any more.
            self.repos.tenants.drop(&made.collection).await?;
        }
        self.repos.orgs.renew(at).await?;
        self.repos.admins.remove_of(at.org_id).await?;
        self.repos.orgs.remove(at).await
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
        let at = ChangeRef { org_id: id, change_id: change.id, fence: change.fence };
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
                match self.move_over(at, org.to_org().tenant_collection(), change, from, to).await {
                    Ok(()) => Ok(()),
                    Err(Refusal::EmailTaken | Refusal::CollectionOccupied) => self.undo_rename(at, change).await,
                    Err(Refusal::Busy) => Err(RepoError::CollectionBusy { summary: "it is held".to_owned() }),
                    Err(Refusal::Failed(error)) => Err(error),
                }
            }
        }
    }
}
