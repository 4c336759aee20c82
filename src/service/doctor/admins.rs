//! Problems with admins, and between them and organizations.

use std::collections::{HashMap, HashSet};

use super::code::Code;
use super::findings::{About, Suspicion};
use super::fixes::Fix;
use super::inventory::{Inventory, about, state_of};
use crate::domain::{AdminId, Org, OrgId};
use crate::repo::inventory::{AdminContent, AdminRecord, OrgRecord};

/// Adds problems with admins.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for admin in &inventory.admins {
        // The original also kept admins without an organization: unreadable too, but with a finding of their own.
        if let (Err(reason), Some(_)) = (&admin.content, admin.org_id) {
            found.push(Suspicion::new(Code::AdminUnreadable, of(admin), reason, reason));
        }
        found.extend(orphan(inventory, admin));
        if let Ok(content) = &admin.content {
            found.extend(left_over_claim(inventory, admin, content));
        }
    }
    let mut members: HashMap<OrgId, HashSet<Option<AdminId>>> = HashMap::new();
    for admin in &inventory.admins {
        if let Some(org_id) = admin.org_id {
            members.entry(org_id).or_default().insert(admin.admin_id);
        }
    }
    for (record, org) in inventory.settled() {
        found.extend(without_admin(record, org, members.get(&org.id)));
    }
}

/// A finding about an admin.
fn of(admin: &AdminRecord) -> About {
    About { admin: Some(admin.id.clone()), ..About::default() }
}

/// The state in which an admin was seen. Every change of its credentials changes it.
pub(super) fn admin_state(admin: &AdminRecord) -> String {
    match &admin.content {
        Ok(AdminContent { credential_version, change_generation, claimed_by, .. }) => {
            format!("{}:{credential_version}:{change_generation}:{claimed_by:?}", admin.id)
        }
        Err(reason) => format!("{}:{reason}", admin.id),
    }
}

fn orphan(inventory: &Inventory, admin: &AdminRecord) -> Option<Suspicion> {
    let Some(org_id) = admin.org_id else {
        let detail = "it names no organization";
        return Some(Suspicion::new(Code::AdminWithoutOrganization, of(admin), detail, admin_state(admin)));
    };
    if inventory.org(org_id).is_some() {
        return None;
    }
    // The original also kept admins without an organization, which are not ours to remove.
    let is_ours = admin.content.as_ref().is_ok_and(|content| content.credential_version > 0);
    let about = About { organization: Some(org_id.to_string()), ..of(admin) };
    let suspicion =
        Suspicion::new(Code::AdminWithoutOrganization, about, "its organization does not exist", admin_state(admin));
    Some(suspicion.fixed_by(is_ours.then_some(Fix::RemoveAdmins(org_id))))
}

fn left_over_claim(inventory: &Inventory, admin: &AdminRecord, content: &AdminContent) -> Option<Suspicion> {
    let org = inventory.org(admin.org_id?)?;
    let settled = org.settled()?;
    if content.claimed_by.is_none() && !content.claims_emails {
        return None;
    }
    let about = About { admin: Some(admin.id.clone()), ..about(org) };
    let evidence = format!("{}:{}", state_of(org), admin_state(admin));
    let detail = "it claims an address or a change, yet its organization is not being changed";
    let fix = Fix::GiveClaimsBack { admin: content.clone(), org: Box::new(settled.clone()) };
    Some(Suspicion::new(Code::ClaimLeftOver, about, detail, evidence).fixed_by(Some(fix)))
}

fn without_admin(record: &OrgRecord, org: &Org, members: Option<&HashSet<Option<AdminId>>>) -> Option<Suspicion> {
    let suspect = |code, detail: &str| Suspicion::new(code, about(record), detail, state_of(record));
    let Some(members) = members else {
        return Some(suspect(Code::OrganizationWithoutAdmin, "it has no admin: nobody can log in to it"));
    };
    let is_known = org.admin_id.is_some() && members.contains(&org.admin_id);
    (!is_known).then(|| suspect(Code::AdminUnknown, "its admin_user_id is not that of an admin of its own"))
}
