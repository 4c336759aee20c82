//! Problems within single organization records.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::code::Code;
use super::findings::Suspicion;
use super::fixes::Fix;
use super::inventory::{Inventory, about, state_of};
use crate::domain::{Org, OrgState, Slug};
use crate::repo::inventory::{OrgContent, OrgRecord, RunningChange};

/// How long a deletion may be overdue: servers look every few seconds, but none may have been running.
const PURGE_PATIENCE: Duration = Duration::from_hours(1);

/// A change counts as stuck after this many servers have worked on it, and this many leases have passed.
const STUCK_ATTEMPTS: i64 = 5;
const STUCK_LEASES: u32 = 20;

/// Adds problems with organizations.
pub(super) fn examine(inventory: &Inventory, found: &mut Vec<Suspicion>) {
    for org in &inventory.orgs {
        match &org.content {
            Err(reason) => found.push(suspect(Code::OrganizationUnreadable, org, reason)),
            Ok(content) => {
                found.extend(contradiction(content).map(|what| suspect(Code::OrganizationContradictory, org, what)));
                if let Some(change) = &content.change {
                    found.extend(abandoned(inventory, org, change));
                    found.extend(stuck(inventory, org, change));
                }
                if content.is_settled() {
                    found.extend(overdue(inventory.now, org, &content.org));
                    found.extend(wrong_names(inventory.now, org, content));
                }
            }
        }
    }
}

fn suspect(code: Code, org: &OrgRecord, detail: impl Into<String>) -> Suspicion {
    Suspicion::new(code, about(org), detail, state_of(org))
}

/// Contradictions that no step of a change leaves behind.
fn contradiction(OrgContent { org, change, .. }: &OrgContent) -> Option<&'static str> {
    let is_resting = org.state.is_at_rest();
    if is_resting && change.is_some() {
        return Some("its state says that no change is in progress, yet it records one");
    }
    if !is_resting && change.is_none() {
        return Some("its state says that a change is in progress, yet it records none: no server will end it");
    }
    if !is_resting {
        return None;
    }
    if org.collection_uuid.is_none() {
        return Some("it records no collection_uuid");
    }
    if org.connection.collection_name != org.collection_name {
        return Some("its collection_name and its connection.collection_name differ");
    }
    if (org.state == OrgState::Deleted) != org.deletion.is_some() {
        return Some("its state and its deletion contradict each other");
    }
    let is_named_so = org.state == OrgState::Deleted || Slug::of(&org.name) == org.slug;
    (!is_named_so).then_some("its slug is not that of its organization_name")
}

/// A change that nobody works on. Servers resume a change within seconds of its lease's end, so it is reported only two
/// lease times later, with or without fixing: until then, a server will probably end it.
fn abandoned(inventory: &Inventory, org: &OrgRecord, change: &RunningChange) -> Option<Suspicion> {
    if !is_over(change.lease_until, inventory.lease * 2, inventory.now) {
        return None;
    }
    let RunningChange { plan, attempts, step, lease_until, .. } = change;
    let detail = format!("its {} has been waiting for a server since the step {step:?}", plan.kind.name());
    let evidence = format!("{}:{attempts}:{lease_until}", plan.id);
    Some(Suspicion::new(Code::ChangeAbandoned, about(org), detail, evidence).fixed_by(Some(Fix::Resume)))
}

/// A change that so many servers have tried, for so long, that something must be preventing its end.
fn stuck(inventory: &Inventory, org: &OrgRecord, change: &RunningChange) -> Option<Suspicion> {
    let RunningChange { plan, attempts, step, started_at, .. } = change;
    if *attempts < STUCK_ATTEMPTS || !is_over(*started_at, inventory.lease * STUCK_LEASES, inventory.now) {
        return None;
    }
    let kind = plan.kind.name();
    let detail = format!("its {kind} was tried {attempts} times and does not get beyond the step {step:?}");
    Some(Suspicion::new(Code::ChangeStuck, about(org), detail, plan.id.to_string()))
}

fn overdue(now: OffsetDateTime, record: &OrgRecord, org: &Org) -> Option<Suspicion> {
    let deletion = org.deletion.as_ref().filter(|_| org.state == OrgState::Deleted)?;
    let is_overdue = is_over(deletion.until, PURGE_PATIENCE, now);
    let overdue = || suspect(Code::PurgeOverdue, record, "nobody can bring it back any more, yet it is still there");
    is_overdue.then(|| overdue().fixed_by(Some(Fix::Purge)))
}

/// A list of names with missing or surplus entries. Expired names may still be there.
fn wrong_names(now: OffsetDateTime, record: &OrgRecord, content: &OrgContent) -> Option<Suspicion> {
    let OrgContent { org, names, cooling, .. } = content;
    let old = org.old_names.iter().map(|old| (old.slug.as_str(), old.until));
    let kept: Vec<_> = old.chain(cooling.iter().map(|(slug, until)| (slug.as_str(), *until))).collect();
    let listed: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let may: BTreeSet<&str> = std::iter::once(org.slug.as_str()).chain(kept.iter().map(|(slug, _)| *slug)).collect();
    let live = kept.iter().filter(|(_, until)| *until > now).map(|(slug, _)| *slug);
    let must: BTreeSet<&str> = std::iter::once(org.slug.as_str()).chain(live).collect();
    let text = |names: BTreeSet<&str>| Vec::from_iter(names).join(", ");
    let (missing, surplus) = (&must - &listed, &listed - &may);
    let detail = match (missing.is_empty(), surplus.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("its names lack {}, which others can take", text(missing)),
        (true, false) => format!("its names hold {}, which nobody can take", text(surplus)),
        (false, false) => format!("its names lack {} and hold {}", text(missing), text(surplus)),
    };
    let fix = Fix::ListNames(Box::new(org.clone()));
    Some(suspect(Code::NamesWrong, record, detail).fixed_by(Some(fix)))
}

/// Whether a time passed at least this long ago.
fn is_over(until: OffsetDateTime, patience: Duration, now: OffsetDateTime) -> bool {
    until.checked_add(patience.try_into().unwrap_or(time::Duration::MAX)).is_some_and(|end| end < now)
}
