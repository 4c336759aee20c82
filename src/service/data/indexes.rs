//! The indexes of a tenant's collection.

use std::time::Duration;

use tokio::time::sleep;

use super::located::Sent;
use super::{DataError, DataService};
use crate::domain::indexes::Index;
use crate::domain::{Org, Tenant, TenantCollection};
use crate::repo::data::StoredIndex;
use crate::repo::{Effect, RepoError};

/// The most indexes of one organization, the one over `_id` included: each is a file that MongoDB keeps open.
pub const MAX_INDEXES: usize = 20;

/// How often the collection is looked for while its organization is being changed, before the call is given up.
const MAX_LOOKS: u8 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl DataService {
    /// The indexes of a tenant's collection, those in the making included.
    ///
    /// # Errors
    /// [`DataError::Moving`] while a change of the organization goes on for too long, or what every read meets.
    pub async fn indexes(&self, tenant: &Tenant) -> Result<Vec<StoredIndex>, DataError> {
        // MongoDB lists the indexes of a name and knows no UUID there. A name means one collection for as long as its
        // organization is of one generation and at rest, so the list is the tenant's if it is so before and after.
        let _turn = self.turn(tenant).await?;
        for _ in 0..MAX_LOOKS {
            let Some(before) = self.at_rest(tenant).await? else {
                sleep(LOOK_EVERY).await;
                continue;
            };
            let collection = collection_of(&before, tenant);
            let listed = self.repo.list_indexes_by_name(&collection).await;
            // Not only the organization's word for it: somebody may have replaced the collection by hand.
            let is_there = self.repo.is_at(&collection).await?;
            let after = self.at_rest(tenant).await?;
            if after.is_none_or(|after| after.generation != before.generation) {
                continue;
            }
            return if is_there {
                listed.map_err(|error| Sent::Index.refusal(error))
            } else {
                Err(DataError::Replaced)
            };
        }
        Err(DataError::Moving)
    }

    /// Builds an index, for as long as it takes; false when there is just such a one already.
    pub async fn create_index(&self, tenant: &Tenant, index: &Index) -> Result<bool, DataError> {
        self.admission.let_begin()?;
        let _turn = self.builds.begin(tenant.org_id())?;
        let present = self.indexes(tenant).await?;
        // Two servers may pass this together; it protects MongoDB's file handles and is no account.
        if present.len() >= MAX_INDEXES && !present.iter().any(|present| present.index.name == index.name) {
            return Err(DataError::TooManyIndexes);
        }
        let create = |at, _before| async move { self.repo.create_index(&at, index).await };
        self.locate(tenant).change(Sent::Index, create).await
    }

    /// Drops an index.
    pub async fn drop_index(&self, tenant: &Tenant, name: &str) -> Result<(), DataError> {
        let drop = |at, before| async move {
            match self.repo.drop_index(&at, name).await {
                Err(RepoError::IndexNotFound) if before == Effect::Unknown => Ok(()),
                dropped => dropped,
            }
        };
        self.enter(tenant).await?.change(Sent::Index, drop).await
    }
}

fn collection_of(org: &Org, tenant: &Tenant) -> TenantCollection {
    TenantCollection { name: org.collection_name.clone(), uuid: tenant.collection().uuid }
}
