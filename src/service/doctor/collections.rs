//! What can be wrong between organizations and collections.

use std::collections::HashSet;

use super::code::Code;
use super::findings::{About, Suspicion};
use super::fixes::Fix;
use super::inventory::{Inventory, about, state_of};
use crate::domain::{Org, OwnerTag, TenantCollection, Titles};
use crate::repo::inventory::OrgRecord;
use crate::repo::tenants::CollectionInfo;

/// Adds what is wrong with organizations' collections, and with collections of no organization.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for (record, org) in inventory.settled() {
        // One that records none is reported as a contradiction.
        if let Some(recorded) = org.tenant_collection() {
            found.extend(place(inventory, record, org, &recorded));
            found.extend(tag(inventory, record, org, &recorded));
        }
    }
    strays(inventory, found);
}

/// What is wrong with where an organization's collection is.
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

/// A repair is a change of an organization that is at rest, and needs the name.
fn can_put_back(inventory: &Inventory, org: &Org, entry: &CollectionInfo) -> bool {
    !inventory.catalog.contains_key(&org.collection_name)
        && is_nobody_elses(entry, org)
        && inventory.recorded_by(entry.collection.uuid).count() == 1
}

/// Only a collection that can be nobody else's.
fn can_adopt(inventory: &Inventory, record: &OrgRecord, org: &Org, entry: &CollectionInfo) -> bool {
    let name = &entry.collection.name;
    let is_named_by_others =
        inventory.orgs.iter().any(|other| other.id != record.id && other.collection_names.contains(name));
    is_nobody_elses(entry, org) && !is_named_by_others && inventory.recorded_by(entry.collection.uuid).next().is_none()
}

fn is_nobody_elses(entry: &CollectionInfo, org: &Org) -> bool {
    entry.owner.is_none_or(|owner| owner == OwnerTag(org.id))
}

/// What is wrong with what an organization's collection says whose it is.
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

/// Collections named as tenants' are, of which no organization says that they are its own.
fn strays(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    let spoken_for = spoken_for(inventory);
    for entry in inventory.tenant_collections() {
        let TenantCollection { name, uuid } = &entry.collection;
        let is_known = inventory.recorded_by(*uuid).next().is_some() || spoken_for.contains(name.as_str());
        let owner = entry.owner.map(|OwnerTag(id)| (id, inventory.org(id)));
        // One that is being made, moved or dropped.
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

/// The names of collections that are no strays, although their UUID may not be recorded: those that a change in progress
/// speaks of, those of organizations that cannot be read, and those that took the place of one that is gone.
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
