//! Counts what was done, what clients were told and what was violated, and prints the table at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum;

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Invariant {
    /// No organization is between two states for longer than a lease and a recovery.
    AtRest,
    /// Every acknowledged document is in its organization's collection, once, as last acknowledged.
    Kept,
    /// An active organization's collection has its name, its UUID and its owner's tag.
    InPlace,
    /// There is no other tenant collection.
    NoStray,
    /// Nothing is left of a deleted organization.
    Gone,
    /// Every organization has exactly one admin, and every admin an organization.
    OneAdmin,
    /// Names are unique, and no claim is left without an owner.
    Names,
    /// What was acknowledged as created exists, and nothing exists that nobody created.
    Exists,
    /// Names and credentials are those of the last acknowledged change, or of one with an unknown outcome.
    LastWord,
    /// No document is in another organization's collection.
    Apart,
    /// Clients are never told anything worse than "later", nor anything undocumented.
    Answers,
    /// Clients can go on without help.
    Recovers,
    /// Every command of a change has a crash point before it, and every crash point is tried.
    Guarded,
    /// `tenantry doctor` finds nothing.
    Doctor,
    /// A control without one of the protections is caught.
    Control,
    /// The test itself can go on.
    Broken,
}

/// A broken invariant.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    /// The case or the organization.
    pub(crate) about: String,
    pub(crate) text: String,
    /// What the organization's clients did and were told.
    pub(crate) history: Vec<String>,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, about: &str, text: impl Into<String>) -> Self {
        Self { invariant, about: about.to_owned(), text: text.into(), history: Vec::new() }
    }

    pub(crate) fn print(&self) {
        println!("  {:?} {}: {}", self.invariant, self.about, self.text);
        for line in &self.history {
            println!("      {line}");
        }
    }
}

/// What happened in one part.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: AtomicU64,
    pub(crate) kills: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) failovers: AtomicU64,
    pub(crate) operations: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Neither done nor refused, so the client has to find out.
    pub(crate) unknown: AtomicU64,
    violations: Mutex<Vec<Violation>>,
    /// Violations are expected and not printed.
    is_quiet: bool,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// For a control, whose violations are expected.
    pub(crate) fn quiet() -> Self {
        Self { is_quiet: true, ..Self::default() }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(crate) fn violate(&self, violation: Violation) {
        if !self.is_quiet {
            violation.print();
        }
        self.violations.lock().expect("no panic").push(violation);
    }

    pub(crate) fn violate_all(&self, violations: impl IntoIterator<Item = Violation>) {
        for violation in violations {
            self.violate(violation);
        }
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.lock().expect("no panic").clone()
    }

    /// Adds another's counts, but not its violations: those of a control are expected.
    pub(crate) fn add_counts(&self, other: &Self) {
        for (mine, others) in self.counters().into_iter().zip(other.counters()) {
            mine.fetch_add(others.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn counters(&self) -> [&AtomicU64; 8] {
        [
            &self.cases,
            &self.kills,
            &self.stalls,
            &self.failovers,
            &self.operations,
            &self.acknowledged,
            &self.refused,
            &self.unknown,
        ]
    }
}

/// A line of the table.
pub(crate) struct PartReport {
    pub(crate) part: String,
    pub(crate) tally: std::sync::Arc<Tally>,
    pub(crate) took: Duration,
}

const COLUMNS: &str = "part cases kills stalls failovers operations acknowledged refused unknown seconds violations";

pub(crate) fn print_table(reports: &[PartReport], seed: u64) {
    println!("\n{}", line(&COLUMNS.split(' ').map(str::to_owned).collect::<Vec<_>>()));
    for report in reports {
        let counts = report.tally.counters().map(|counter| counter.load(Ordering::Relaxed).to_string());
        let mut cells = vec![report.part.clone()];
        cells.extend(counts);
        cells.push(report.took.as_secs().to_string());
        cells.push(by_invariant(&report.tally.violations()));
        println!("{}", line(&cells));
    }
    println!("seed {seed}; checked: {:?}", Invariant::value_variants());
}

fn line(cells: &[String]) -> String {
    let (part, others) = cells.split_first().expect("a part");
    let others: Vec<String> = others.iter().map(|cell| format!("{cell:>12}")).collect();
    format!("{part:<13} {}", others.join(" "))
}

/// How many violations of each invariant there were.
pub(crate) fn by_invariant(violations: &[Violation]) -> String {
    let mut counts = BTreeMap::new();
    for violation in violations {
        *counts.entry(violation.invariant).or_insert(0) += 1;
    }
    if counts.is_empty() {
        return "none".to_owned();
    }
    let texts = counts.iter().map(|(invariant, count)| format!("{invariant:?}:{count}"));
    texts.collect::<Vec<_>>().join(",")
}
