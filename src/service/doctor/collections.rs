//! Problems between organizations and collections.

use std::collections::HashSet;

use super::code::Code;
use super::findings::{About, Suspicion};
use super::fixes::Fix;
use super::inventory::{Inventory, about, state_of};
use crate::domain::{Org, OwnerTag, TenantCollection, Titles};
use crate::repo::inventory::OrgRecord;
use crate::repo::tenants::CollectionInfo;

/// Adds problems with organizations' collections, and with collections without an organization.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for (record, org) in inventory.settled() {
        // An organization that records no collection is reported as contradictory.
        if let Some(recorded) = org.tenant_collection() {
            found.extend(place(inventory, record, org, &recorded));
            found.extend(tag(inventory, record, org, &recorded));
        }
    }
    strays(inventory, found);
}

/// Problems with the place of an organization's collection.
fn place(inventory: &Inventory, record: &OrgRecord, org: &Org, recorded: &TenantCollection) -> Option<Suspicion> {
    let suspect = |code, detail: String| {
        let evidence = format!("{}:{}", state_of(record), recorded.uuid);
        Suspicion::new(code, about(record).and_collection(&recorded.name), detail, evidence)
    };
    match (inventory.find(recorded.uuid), inventory.find_by_name(&recorded.name)) {
        (Some(entry), _) if entry.collection.name == recorded.name => None,
        (Some(entry), _) => {
            let name = &entry.collection.name;
            let fix = can_put_back(inventory, org, entry)
                .then(|| Fix::PutBack { org: Box::new(org.clone()), found_at: name.clone() });
            Some(suspect(Code::CollectionMisplaced, format!("its collection is called {name:?}")).fixed_by(fix))
        }
        (None, Some(entry)) => {
            let fix = can_adopt(inventory, record, org, entry)
                .then(|| Fix::Adopt { org: Box::new(org.clone()), found: entry.clone() });
            let detail = "its collection is gone, and another one has its name: a restored backup, say".to_owned();
            Some(suspect(Code::CollectionReplaced, detail).fixed_by(fix))
        }
        (None, None) => Some(suspect(Code::CollectionGone, "its collection is gone".to_owned())),
    }
}

/// The repair is a change, so the organization must be at rest and the name free.
fn can_put_back(inventory: &Inventory, org: &Org, entry: &CollectionInfo) -> bool {
    !inventory.catalog.contains_key(&org.collection_name)
        && is_nobody_elses(entry, org)
        && inventory.recorded_by(entry.collection.uuid).count() == 1
}

/// Only if the collection can belong to no other organization.
fn can_adopt(inventory: &Inventory, record: &OrgRecord, org: &Org, entry: &CollectionInfo) -> bool {
    let name = &entry.collection.name;
    let is_named_by_others =
        inventory.orgs.iter().any(|other| other.id != record.id && other.collection_names.contains(name));
    is_nobody_elses(entry, org) && !is_named_by_others && inventory.recorded_by(entry.collection.uuid).next().is_none()
}

fn is_nobody_elses(entry: &CollectionInfo, org: &Org) -> bool {
    entry.owner.is_none_or(|owner| owner == OwnerTag(org.id))
}

/// Problems with the owner tag of an organization's collection.
fn tag(inventory: &Inventory, record: &OrgRecord, org: &Org, recorded: &TenantCollection) -> Option<Suspicion> {
    let entry = inventory.find(recorded.uuid)?;
    let found = &entry.collection;
    let owner = OwnerTag(org.id);
    let suspect = |code, detail: String| {
        let evidence = format!("{}:{}:{:?}", state_of(record), found.uuid, entry.owner);
        Suspicion::new(code, about(record).and_collection(&found.name), detail, evidence)
    };
    match entry.owner {
        Some(tagged) if tagged == owner => None,
        Some(OwnerTag(other)) => {
            Some(suspect(Code::CollectionTaggedOtherwise, format!("it says that it belongs to organization {other}")))
        }
        None if entry.is_validated => {
            Some(suspect(Code::CollectionUntagged, "its validator does not say whose it is".to_owned()))
        }
        None => {
            let fix = Fix::Tag { collection: found.clone(), owner };
            Some(suspect(Code::CollectionUntagged, "it does not say whose it is".to_owned()).fixed_by(Some(fix)))
        }
    }
}

/// Collections with tenants' names that no organization claims.
fn strays(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    let spoken_for = spoken_for(inventory);
    for entry in inventory.tenant_collections() {
        let TenantCollection { name, uuid } = &entry.collection;
        let is_known = inventory.recorded_by(*uuid).next().is_some() || spoken_for.contains(name.as_str());
        let owner = entry.owner.map(|OwnerTag(id)| (id, inventory.org(id)));
        // It is being created, moved or dropped.
        let is_in_use =
            owner.and_then(|(_, org)| org?.content.as_ref().ok()).is_some_and(|content| !content.is_settled());
        if is_known || is_in_use {
            continue;
        }
        let (code, detail) = match owner {
            None => (Code::CollectionUnowned, "no organization records it, and it does not say whose it is".to_owned()),
            Some((id, Some(_))) => (
                Code::CollectionUnowned,
                format!("it says that it belongs to organization {id}, which records another"),
            ),
            Some((id, None)) if inventory.empty.contains(uuid) => {
                (Code::CollectionLeftover, format!("it is empty, and its organization {id} does not exist"))
            }
            Some((id, None)) => {
                (Code::CollectionUnowned, format!("it holds documents, and its organization {id} does not exist"))
            }
        };
        let fix = (code == Code::CollectionLeftover).then(|| Fix::DropLeftover(entry.clone()));
        let about = About::default().and_collection(name);
        found.push(Suspicion::new(code, about, detail, uuid.to_string()).fixed_by(fix));
    }
}

/// The names of collections that are not strays, although their UUID may be unrecorded: those named by a change in
/// progress, those of unreadable organizations, and replacements of collections that are gone.
fn spoken_for(inventory: &Inventory) -> HashSet<&str> {
    let mut names = HashSet::new();
    for org in &inventory.orgs {
        let is_there = org.collection_uuid.is_some_and(|uuid| inventory.find(uuid).is_some());
        if org.settled().is_none() || !is_there {
            names.extend(org.collection_names.iter().map(String::as_str));
        }
        let change = org.content.as_ref().ok().and_then(|content| content.change.as_ref());
        if let Some(Titles { from, to }) = change.and_then(|change| change.plan.titles.as_ref()) {
            names.extend([from, to].map(|title| title.collection_name.as_str()));
        }
    }
    names
}
