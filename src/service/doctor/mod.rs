//! Finds problems in a database while servers run on it, and repairs those that can be repaired safely.
//!
//! Nothing locks the database meanwhile: what is read first may change before the rest is read. So the doctor looks
//! twice, and only problems seen both times count, concluded from records in the same state. Each change of an
//! organization raises its generation. An organization with the same generation in both looks was at rest from the
//! start of the first to the start of the second, so the first look saw it, its admin and its collection as they were
//! at one time. Collections never get another UUID, and a new organization is recorded before its admin and collection
//! are created, and removed after them: what has no organization in the second look had none in the first either.

mod admins;
mod code;
mod collections;
mod collisions;
mod deployment;
mod findings;
mod fixes;
mod inventory;
mod organizations;

use std::collections::{BTreeMap, BTreeSet};

pub use code::Code;
pub use findings::{About, Finding, LookedAt, Report};

use super::{ChangeError, MigrationService};
use crate::repo::{RepoError, Repos};
use findings::Suspicion;
use fixes::Fix;
use inventory::Inventory;

/// How many rounds of looking and repairing: a repair can reveal problems hidden behind it.
const MAX_ROUNDS: usize = 3;

/// Examines and repairs.
#[derive(Debug, Clone)]
pub struct DoctorService {
    repos: Repos,
    migration: MigrationService,
}

/// Findings by kind and subject.
type Findings = BTreeMap<(Code, About), Finding>;

/// The confirmed problems.
struct Diagnosis {
    suspicions: Vec<Suspicion>,
    inventory: Inventory,
}

impl DoctorService {
    /// A doctor for these repositories.
    pub fn new(repos: Repos, migration: MigrationService) -> Self {
        Self { repos, migration }
    }

    /// Reports what is wrong; changes nothing.
    pub async fn examine(&self) -> Result<Report, RepoError> {
        let diagnosis = self.look().await?;
        let mut report = report(&diagnosis.inventory);
        report.findings = diagnosis.suspicions.iter().map(finding).collect();
        Ok(report)
    }

    /// Reports what is wrong, and repairs what it can. A problem counts as fixed when it is no longer seen afterwards.
    ///
    /// # Errors
    /// MongoDB could not be reached; repairs made until then stay.
    pub async fn treat(&self) -> Result<Report, RepoError> {
        let mut treated = Findings::new();
        let mut diagnosis = self.look().await?;
        for _ in 0..MAX_ROUNDS {
            let Some(is_changed) = self.treat_all(&diagnosis, &mut treated).await else { break };
            diagnosis = self.look().await?;
            if !is_changed {
                break;
            }
        }
        let still: Findings = diagnosis.suspicions.iter().map(|seen| (what(seen), finding(seen))).collect();
        for (what, finding) in &mut treated {
            finding.fixed = !still.contains_key(what);
        }
        for (what, finding) in still {
            treated.entry(what).or_insert(finding);
        }
        let mut report = report(&diagnosis.inventory);
        report.findings = treated.into_values().collect();
        Ok(report)
    }

    /// Applies every possible repair. `None` when there is none; otherwise whether anything was done.
    async fn treat_all(&self, diagnosis: &Diagnosis, treated: &mut Findings) -> Option<bool> {
        let mut is_changed = None;
        for seen in &diagnosis.suspicions {
            if let Some(fix) = &seen.fix {
                let (done, is_done) = self.treat_one(fix).await;
                treated.insert(what(seen), Finding { done: Some(done), ..finding(seen) });
                is_changed = Some(is_changed.unwrap_or_default() || is_done);
            }
        }
        is_changed
    }

    /// Applies one repair. Returns its outcome, and whether anything was done. A failure needs no handling: the next
    /// look sees the problem again, and fails itself if MongoDB is away.
    async fn treat_one(&self, fix: &Fix) -> (String, bool) {
        match self.apply(fix).await {
            Ok(true) => (fix.done(), true),
            Ok(false) => ("there was nothing left to do".to_owned(), false),
            Err(ChangeError::Repo(error)) => (format!("could not: {error}"), false),
            Err(error) => (format!("could not: {error}"), false),
        }
    }

    /// Looks twice, unless the first look finds nothing.
    async fn look(&self) -> Result<Diagnosis, RepoError> {
        let inventory = Inventory::take(&self.repos).await?;
        let mut suspicions = examine(&inventory);
        if suspicions.is_empty() {
            return Ok(Diagnosis { suspicions, inventory });
        }
        let inventory = Inventory::take(&self.repos).await?;
        let again: BTreeSet<_> = examine(&inventory).iter().map(Suspicion::key).collect();
        suspicions.retain(|seen| again.contains(&seen.key()));
        Ok(Diagnosis { suspicions, inventory })
    }
}

/// Everything that looks wrong, in the order of the codes.
fn examine(inventory: &Inventory) -> Vec<Suspicion> {
    let mut found = Vec::new();
    organizations::examine(inventory, &mut found);
    collections::examine(inventory, &mut found);
    admins::examine(inventory, &mut found);
    collisions::examine(inventory, &mut found);
    deployment::examine(inventory, &mut found);
    found.sort_by(|one, other| (one.code, &one.about).cmp(&(other.code, &other.about)));
    found
}

fn report(inventory: &Inventory) -> Report {
    Report { findings: Vec::new(), looked_at: inventory.looked_at(), notes: deployment::notes(inventory) }
}

fn what(seen: &Suspicion) -> (Code, About) {
    (seen.code, seen.about.clone())
}

fn finding(seen: &Suspicion) -> Finding {
    Finding {
        code: seen.code,
        about: seen.about.clone(),
        detail: seen.detail.clone(),
        remedy: seen.code.remedy(),
        fixable: seen.fix.is_some(),
        fixed: false,
        done: None,
    }
}
