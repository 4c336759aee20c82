//! The doctor's repairs. Each applies only to data still as seen: if a server or a person was faster, nothing happens.

use super::DoctorService;
use crate::domain::{ChangeKind, Org, OrgId, OwnerTag, TenantCollection};
use crate::repo::RepoError;
use crate::repo::inventory::AdminContent;
use crate::repo::tenants::CollectionInfo;
use crate::service::ChangeError;

/// A repair.
#[derive(Clone)]
pub(super) enum Fix {
    /// Ends every abandoned change.
    Resume,
    /// Purges deleted organizations whose grace time is over.
    Purge,
    /// Moves a collection back to its recorded place.
    PutBack { org: Box<Org>, found_at: String },
    /// Records the collection that replaced one that is gone.
    Adopt { org: Box<Org>, found: CollectionInfo },
    /// Tags a collection without a validator with its owner.
    Tag { collection: TenantCollection, owner: OwnerTag },
    /// Drops an empty collection whose organization does not exist.
    DropLeftover(CollectionInfo),
    /// Rebuilds an organization's list of names.
    ListNames(Box<Org>),
    /// Removes the admins of an organization that does not exist.
    RemoveAdmins(OrgId),
    /// Releases what an admin claims.
    GiveClaimsBack { admin: AdminContent, org: Box<Org> },
    /// Creates the missing indexes.
    MakeIndexes,
}

impl Fix {
    /// Describes the repair, for people.
    pub(super) fn done(&self) -> String {
        match self {
            Self::Resume => "ended the change".to_owned(),
            Self::Purge => "removed the organization for good".to_owned(),
            Self::PutBack { found_at, .. } => format!("moved the collection back from {found_at:?}"),
            Self::Adopt { found, .. } => format!("recorded the collection's UUID {}", found.collection.uuid),
            Self::Tag { owner, .. } => format!("tagged the collection \"{owner}\""),
            Self::DropLeftover(_) => "dropped the empty collection".to_owned(),
            Self::ListNames(_) => "listed the names anew".to_owned(),
            Self::RemoveAdmins(_) => "removed the admin".to_owned(),
            Self::GiveClaimsBack { .. } => "gave the claim back".to_owned(),
            Self::MakeIndexes => "made the index".to_owned(),
        }
    }
}

impl DoctorService {
    /// Applies one repair; false when nothing was done, because the data has changed since it was seen.
    pub(super) async fn apply(&self, fix: &Fix) -> Result<bool, ChangeError> {
        let Self { repos, migration } = self;
        Ok(match fix {
            Fix::Resume => migration.resume_abandoned().await? > 0,
            Fix::Purge => migration.purge_expired().await? > 0,
            Fix::PutBack { org, found_at } => {
                migration.put_back(org, found_at).await?;
                true
            }
            Fix::Adopt { org, found } => self.adopt(org, found).await?,
            Fix::Tag { collection, owner } => {
                repos.tenants.tag(collection, *owner).await?;
                true
            }
            Fix::DropLeftover(info) => migration.clear_leftover(ChangeKind::Create, info).await?,
            Fix::ListNames(org) => repos.orgs.list_names_anew(org).await?,
            Fix::RemoveAdmins(org_id) => migration.clear_admins_of(ChangeKind::Create, *org_id).await?,
            Fix::GiveClaimsBack { admin, org } => repos.admins.give_claims_back(admin, org).await?,
            Fix::MakeIndexes => {
                repos.inventory.make_indexes().await?;
                true
            }
        })
    }

    /// Records before tagging: a collection tagged but not recorded would look like a leftover.
    async fn adopt(&self, org: &Org, seen: &CollectionInfo) -> Result<bool, RepoError> {
        let collection = &seen.collection;
        let found = self.repos.tenants.find(&collection.name).await?;
        if found.as_ref() != Some(seen) || self.repos.orgs.is_collection_recorded(collection.uuid).await? {
            return Ok(false);
        }
        let is_adopted = self.repos.orgs.adopt_collection(org, collection.uuid).await?;
        if is_adopted && seen.owner.is_none() {
            self.repos.tenants.tag(collection, OwnerTag(org.id)).await?;
        }
        Ok(is_adopted)
    }
}
