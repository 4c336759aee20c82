//! Records that share a value that must be unique. The unique indexes prevent it, unless one is missing.

use std::collections::BTreeSet;

use super::admins::admin_state;
use super::code::Code;
use super::findings::{About, Suspicion};
use super::inventory::{Inventory, shared, state_of};
use crate::repo::inventory::{AdminRecord, OrgRecord};
use crate::repo::tenants::CollectionInfo;

/// Adds collisions.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for (name, orgs) in shared(&inventory.orgs, |org| &org.names) {
        found.push(of_orgs(Code::NameCollision, &orgs, About::default(), format!("they share the name {name:?}")));
    }
    for (name, orgs) in shared(&inventory.orgs, |org| &org.collection_names) {
        let about = About::default().and_collection(name);
        found.push(of_orgs(Code::CollectionCollision, &orgs, about, "they name the same collection".to_owned()));
    }
    for CollectionInfo { collection, .. } in inventory.catalog.values().flatten() {
        let orgs: Vec<_> = inventory.recorded_by(collection.uuid).collect();
        // Already reported if they also share its name.
        let is_one_name =
            orgs.iter().all(|org| orgs.first().is_some_and(|first| first.collection_names == org.collection_names));
        if orgs.len() > 1 && !is_one_name {
            let about = About::default().and_collection(&collection.name);
            found.push(of_orgs(Code::CollectionCollision, &orgs, about, "they record the same collection".to_owned()));
        }
    }
    // One finding per group of admins, whatever they share; the addresses are personal data.
    let groups: BTreeSet<(Vec<String>, String)> =
        shared(&inventory.admins, |admin| &admin.emails).map(|(_, admins)| ids_of_admins(&admins)).collect();
    for (admins, evidence) in groups {
        let about = About { admins, ..About::default() };
        found.push(Suspicion::new(Code::EmailCollision, about, "they share an email", evidence));
    }
}

fn of_orgs(code: Code, orgs: &[&OrgRecord], about: About, detail: String) -> Suspicion {
    let organizations = orgs.iter().map(|org| org.id.clone()).collect();
    let evidence = orgs.iter().map(|org| state_of(org)).collect::<Vec<_>>().join(",");
    Suspicion::new(code, About { organizations, ..about }, detail, evidence)
}

fn ids_of_admins(admins: &[&AdminRecord]) -> (Vec<String>, String) {
    let states: Vec<_> = admins.iter().map(|admin| admin_state(admin)).collect();
    (admins.iter().map(|admin| admin.id.clone()).collect(), states.join(","))
}
