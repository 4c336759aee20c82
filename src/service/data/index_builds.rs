//! Index builds in progress. A build holds one of the few connections to MongoDB until it ends, so an organization may
//! run one at a time and the server only a few: builds never keep others from their data.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::DataError;
use crate::domain::OrgId;

/// How many indexes this server builds at once. MongoDB itself builds three at a time by default
/// (`maxNumActiveUserIndexBuilds`) and queues the rest.
const MAX_BUILDS: usize = 8;

/// The organizations with a build in progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Builds(Arc<Mutex<HashSet<OrgId>>>);

/// The right to build, held until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    builds: Builds,
    org_id: OrgId,
}

impl Builds {
    /// The right to build an index of this organization.
    pub(super) fn begin(&self, org_id: OrgId) -> Result<Turn, DataError> {
        let mut building = self.0.lock();
        if building.contains(&org_id) {
            return Err(DataError::IndexBuilding);
        }
        if building.len() >= MAX_BUILDS {
            return Err(DataError::TooManyBuilds);
        }
        building.insert(org_id);
        drop(building);
        Ok(Turn { builds: self.clone(), org_id })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.builds.0.lock().remove(&self.org_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_builds_one_index_at_a_time_and_all_together_few() {
        let builds = Builds::default();
        let org_id = OrgId::generate();
        let turn = builds.begin(org_id).expect("the first");
        assert!(matches!(builds.begin(org_id), Err(DataError::IndexBuilding)));
        let others: Vec<Turn> = (1..MAX_BUILDS).map(|_| builds.begin(OrgId::generate()).expect("few")).collect();
        assert!(matches!(builds.begin(OrgId::generate()), Err(DataError::TooManyBuilds)));
        drop(turn);
        assert!(builds.begin(org_id).is_ok());
        assert_eq!(others.len(), MAX_BUILDS - 1);
    }
}
