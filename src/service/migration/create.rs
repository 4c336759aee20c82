//! Creating: claim the name, claim the email, make the collection, and only then let the organization be seen.

use super::error::Refusal;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{ChangeId, ChangeKind, Email, Org, OrgState, OwnerTag, Slug, TenantCollection};
use crate::repo::documents::{AdminDocument, ChangeDocument, OrgDocument};
use crate::repo::journal::ChangeRef;
use crate::repo::{Effect, RepoError};

/// How often a leftover that stands in the way is cleared before the collection's name counts as occupied.
const MAX_LEFTOVERS: u8 = 3;

impl MigrationService {
    /// Creates an organization with its admin and its collection. The two documents are complete but for the change
    /// and the collection's UUID.
    ///
    /// # Errors
    /// See [`ChangeError`]; after any of them the name and the email are free again, or will be.
    pub async fn create(&self, id: ChangeId, mut org: OrgDocument, admin: AdminDocument) -> Result<Org, ChangeError> {
        let change = self.new_change(id, ChangeKind::Create);
        org.change = Some(change.clone());
        let at = self.claim_name(&org, &change).await?;
        match self.provision(at, &org, &admin).await {
            Ok(uuid) => {
                org.collection_uuid = Some(uuid);
                org.state = OrgState::Active;
                // As `activate` left it: the next change begins only on the generation that is stored.
                org.generation += 1;
                Ok(org.to_org())
            }
            Err(refusal) => {
                self.undo_create(at, &org).await.map_err(undecided(&change))?;
                Err(match refusal {
                    // Undone, so nothing is undecided any more.
                    Refusal::Unfinished(error) => ChangeError::Repo(RepoError::unasked(error.to_string())),
                    refusal => refusal.into_error(id),
                })
            }
        }
    }

    async fn claim_name(&self, org: &OrgDocument, change: &ChangeDocument) -> Result<ChangeRef, ChangeError> {
        let claim = || take(change.kind, Step::ClaimName, self.repos.orgs.insert_provisioning(org));
        let claimed = match claim().await {
            Err(RepoError::Duplicate { .. }) => {
                self.free_expired(change.kind, &Slug::from_stored(&org.slug)).await?;
                claim().await
            }
            claimed => claimed,
        };
        claimed.map_err(|error| match error {
            RepoError::Duplicate { .. } => ChangeError::NameTaken,
            cause if cause.effect() == Effect::Unknown => undecided(change)(cause),
            other => other.into(),
        })
    }

    async fn provision(&self, at: ChangeRef, org: &OrgDocument, admin: &AdminDocument) -> Result<bson::Uuid, Refusal> {
        self.insert_admin(admin).await?;
        let made = self.make_collection(at, &org.collection_name).await?;
        let uuid = bson::Uuid::from_uuid_1(made.uuid);
        take(ChangeKind::Create, Step::RecordCollection, self.repos.orgs.record_collection(at, uuid)).await?;
        take(ChangeKind::Create, Step::Activate, self.repos.orgs.activate(at)).await?;
        Ok(uuid)
    }

    async fn insert_admin(&self, admin: &AdminDocument) -> Result<(), Refusal> {
        let insert = || take(ChangeKind::Create, Step::InsertAdmin, self.repos.admins.insert(admin));
        let email = Email::from_stored(&admin.email);
        let inserted = match insert().await {
            Err(RepoError::Duplicate { .. }) if self.clear_orphan(ChangeKind::Create, &email).await? => insert().await,
            inserted => inserted,
        };
        inserted.map_err(|error| match error {
            RepoError::Duplicate { .. } => Refusal::EmailTaken,
            other => other.into(),
        })
    }

    async fn make_collection(&self, at: ChangeRef, name: &str) -> Result<TenantCollection, Refusal> {
        let (owner, step) = (OwnerTag(at.org_id), (ChangeKind::Create, Step::CreateCollection));
        for _ in 0..MAX_LEFTOVERS {
            match self.repeatable(at, step, || self.repos.tenants.create(name, owner)).await {
                // A collection that exists may be ours: the command was sent before and its answer was lost.
                Ok(()) | Err(RepoError::NamespaceExists) => {}
                // There is no organization yet that another call could be changing.
                Err(RepoError::CollectionBusy { summary }) => {
                    return Err(Refusal::Refused(RepoError::GivenUp { summary }));
                }
                Err(other) => return Err(other.into()),
            }
            let made = self.repos.tenants.find(name).await?;
            match made {
                Some(made) if made.owner == Some(owner) => return Ok(made.collection),
                Some(other) if self.clear_leftover(ChangeKind::Create, &other).await? => {}
                Some(_) => return Err(Refusal::CollectionOccupied),
                // It went between the two commands.
                None => {}
            }
        }
        Err(Refusal::CollectionOccupied)
    }

    pub(super) async fn undo_create(&self, at: ChangeRef, org: &OrgDocument) -> Result<(), RepoError> {
        match take(ChangeKind::Create, Step::MarkDeleting, self.repos.orgs.mark_deleting(at)).await {
            Ok(()) => self.finish_delete(at, ChangeKind::Create, org).await,
            // Undone by another server while this one stalled, perhaps before this one's admin arrived.
            Err(RepoError::TakenOver) if !self.repos.orgs.is_there(at.org_id).await? => {
                take(ChangeKind::Create, Step::RemoveOrphan, self.repos.admins.remove_of(at.org_id)).await
            }
            Err(other) => Err(other),
        }
    }
}
