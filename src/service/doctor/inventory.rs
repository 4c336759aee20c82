//! One look at everything. The order of its reads makes two looks conclusive; see [`super::DoctorService`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::findings::{About, LookedAt};
use crate::domain::orgs::COLLECTION_PREFIXES;
use crate::domain::{Org, OrgId, OwnerTag};
use crate::repo::inventory::{AdminRecord, OpenFiles, OrgContent, OrgRecord};
use crate::repo::tenants::{Catalog, CollectionInfo};
use crate::repo::{RepoError, Repos};

/// The results of one look.
pub(super) struct Inventory {
    pub(super) now: OffsetDateTime,
    pub(super) lease: Duration,
    pub(super) orgs: Vec<OrgRecord>,
    pub(super) admins: Vec<AdminRecord>,
    pub(super) catalog: Catalog,
    /// The empty collections among those tagged with an organization that does not exist.
    pub(super) empty: HashSet<Uuid>,
    pub(super) missing_indexes: Vec<String>,
    pub(super) open_files: Option<OpenFiles>,
    /// The organizations that record each collection.
    recorders: HashMap<Uuid, Vec<usize>>,
    by_id: HashMap<OrgId, usize>,
    by_uuid: HashMap<Uuid, String>,
}

impl Inventory {
    /// Reads everything: organizations first, collections last.
    pub(super) async fn take(repos: &Repos) -> Result<Self, RepoError> {
        let now = repos.inventory.now().await?;
        let orgs = repos.inventory.orgs().await?;
        let admins = repos.inventory.admins().await?;
        let catalog = repos.inventory.catalog().await?;
        let missing_indexes = repos.inventory.missing_indexes().await?;
        let open_files = repos.inventory.open_files().await?;
        let mut inventory = Self {
            now,
            lease: repos.timings.lease,
            orgs,
            admins,
            catalog,
            empty: HashSet::new(),
            missing_indexes,
            open_files,
            recorders: HashMap::new(),
            by_id: HashMap::new(),
            by_uuid: HashMap::new(),
        };
        inventory.index();
        inventory.empty = inventory.find_empty(repos).await?;
        Ok(inventory)
    }

    fn index(&mut self) {
        for (place, org) in self.orgs.iter().enumerate() {
            if let Some(uuid) = org.collection_uuid {
                self.recorders.entry(uuid).or_default().push(place);
            }
            self.by_id.extend(org.org_id.map(|id| (id, place)));
        }
        let found = self.catalog.values().flatten().map(|found| &found.collection);
        self.by_uuid = found.map(|collection| (collection.uuid, collection.name.clone())).collect();
    }

    async fn find_empty(&self, repos: &Repos) -> Result<HashSet<Uuid>, RepoError> {
        let mut empty = HashSet::new();
        for info in self.tenant_collections() {
            let Some(OwnerTag(owner)) = info.owner else { continue };
            if self.org(owner).is_some() || self.recorded_by(info.collection.uuid).next().is_some() {
                continue;
            }
            match repos.data.is_empty(&info.collection).await {
                Ok(true) => _ = empty.insert(info.collection.uuid),
                // It disappeared or moved since it was listed.
                Ok(false) | Err(RepoError::CollectionMismatch { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(empty)
    }

    pub(super) fn looked_at(&self) -> LookedAt {
        LookedAt {
            organizations: self.orgs.len(),
            admins: self.admins.len(),
            collections: self.tenant_collections().count(),
        }
    }

    /// The organizations that are readable and settled.
    pub(super) fn settled(&self) -> impl Iterator<Item = (&OrgRecord, &Org)> {
        self.orgs.iter().filter_map(|org| Some((org, org.settled()?)))
    }

    /// The organization with this id.
    pub(super) fn org(&self, id: OrgId) -> Option<&OrgRecord> {
        self.by_id.get(&id).and_then(|place| self.orgs.get(*place))
    }

    /// The organizations that record this collection.
    pub(super) fn recorded_by(&self, uuid: Uuid) -> impl Iterator<Item = &OrgRecord> {
        self.recorders.get(&uuid).into_iter().flatten().filter_map(|place| self.orgs.get(*place))
    }

    /// The collections with tenants' names.
    pub(super) fn tenant_collections(&self) -> impl Iterator<Item = &CollectionInfo> {
        let is_tenants = |name: &str| COLLECTION_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        self.catalog.values().flatten().filter(move |found| is_tenants(&found.collection.name))
    }

    /// The collection with this UUID.
    pub(super) fn find(&self, uuid: Uuid) -> Option<&CollectionInfo> {
        self.by_uuid.get(&uuid).and_then(|name| self.find_by_name(name))
    }

    /// The collection with this name.
    pub(super) fn find_by_name(&self, name: &str) -> Option<&CollectionInfo> {
        self.catalog.get(name)?.as_ref()
    }
}

/// The subject of a finding about an organization.
pub(super) fn about(org: &OrgRecord) -> About {
    About {
        organization: Some(org.id.clone()),
        organization_name: org.content.as_ref().ok().map(|content| content.org.name.clone()),
        ..About::default()
    }
}

/// The state in which an organization was seen. Every change of it changes this state.
pub(super) fn state_of(org: &OrgRecord) -> String {
    match &org.content {
        Ok(OrgContent { org: Org { state, generation, .. }, .. }) => format!("{}:{state:?}:{generation}", org.id),
        Err(reason) => format!("{}:{reason}", org.id),
    }
}

/// The values that several records share, with those records.
pub(super) fn shared<'a, T>(
    records: &'a [T],
    values: impl Fn(&'a T) -> &'a BTreeSet<String>,
) -> impl Iterator<Item = (&'a str, Vec<&'a T>)> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    for record in records {
        for value in values(record) {
            groups.entry(value).or_default().push(record);
        }
    }
    groups.into_iter().filter(|(_, records)| records.len() > 1)
}
