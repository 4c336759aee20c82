//! Creates an organization: claims the name and the email, creates the collection, and only then makes it visible.

use time::OffsetDateTime;
use uuid::Uuid;

use super::error::Refusal;
use super::step::{Step, take};
use super::{ChangeError, MigrationService, undecided};
use crate::domain::{Admin, ChangeId, ChangeKind, Org, OrgState, OwnerTag, PlannedChange, TenantCollection};
use crate::repo::journal::ChangeRef;
use crate::repo::{Effect, RepoError};

/// How many leftovers are cleared out of the way before the collection's name counts as occupied.
const MAX_LEFTOVERS: u8 = 3;

impl MigrationService {
    /// Creates an organization with its admin and its collection.
    ///
    /// # Errors
    /// See [`ChangeError`]; after any of them the name and the email are free again, or will be.
    pub async fn create(&self, id: ChangeId, org: Org, admin: Admin) -> Result<Org, ChangeError> {
        let change = PlannedChange::new(id, ChangeKind::Create);
        let at = self.claim_name(&org, &change).await?;
        match self.provision(at, &org, &admin).await {
            // As `activate` left it: the next change begins only on the stored generation.
            Ok(uuid) => {
                Ok(Org { collection_uuid: Some(uuid), state: OrgState::Active, generation: org.generation + 1, ..org })
            }
            Err(refusal) => {
                self.undo_create(at, &org).await.map_err(undecided(&change))?;
                Err(match refusal {
                    // Undone, so the outcome is known.
                    Refusal::Unfinished(error) => ChangeError::Repo(RepoError::unasked(error.to_string())),
                    refusal => refusal.into_error(id),
                })
            }
        }
    }

    async fn claim_name(&self, org: &Org, change: &PlannedChange) -> Result<ChangeRef, ChangeError> {
        let insert = || self.repos.orgs.insert_provisioning(org, change, &self.holder);
        let claim = || take(change.kind, Step::ClaimName, insert());
        let claimed = match claim().await {
            Err(RepoError::Duplicate { .. }) => {
                self.free_expired(change.kind, &org.slug).await?;
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

    async fn provision(&self, at: ChangeRef, org: &Org, admin: &Admin) -> Result<Uuid, Refusal> {
        self.insert_admin(admin, org.created_at).await?;
        let made = self.make_collection(at, &org.collection_name).await?;
        take(ChangeKind::Create, Step::RecordCollection, self.repos.orgs.record_collection(at, made.uuid)).await?;
        take(ChangeKind::Create, Step::Activate, self.repos.orgs.activate(at)).await?;
        Ok(made.uuid)
    }

    async fn insert_admin(&self, admin: &Admin, now: OffsetDateTime) -> Result<(), Refusal> {
        let insert = || take(ChangeKind::Create, Step::InsertAdmin, self.repos.admins.insert(admin, now));
        let inserted = match insert().await {
            Err(RepoError::Duplicate { .. }) if self.clear_orphan(ChangeKind::Create, &admin.email).await? => {
                insert().await
            }
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
                // An existing collection may be ours: an earlier attempt created it, but its answer was lost.
                Ok(()) | Err(RepoError::NamespaceExists) => {}
                // The organization does not exist yet, so no other call can be changing it.
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
                // It disappeared between the two commands.
                None => {}
            }
        }
        Err(Refusal::CollectionOccupied)
    }

    pub(super) async fn undo_create(&self, at: ChangeRef, org: &Org) -> Result<(), RepoError> {
        match take(ChangeKind::Create, Step::MarkDeleting, self.repos.orgs.mark_deleting(at)).await {
            Ok(()) => self.finish_delete(at, ChangeKind::Create, org).await,
            // Another server undid it while this one stalled, perhaps before this one's admin was inserted.
            Err(RepoError::LeaseLost) if !self.repos.orgs.is_there(at.org_id).await? => {
                take(ChangeKind::Create, Step::RemoveOrphan, self.repos.admins.remove_of(at.org_id)).await
            }
            Err(other) => Err(other),
        }
    }
}
