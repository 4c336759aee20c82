//! What was done, what was told, and what was violated: counted while it happens, printed at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What must always be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// I0: no organization is between two states for longer than a lease and a recovery.
    AtRest,
    /// I1: every acknowledged document is in its organization's collection, once, as it was last acknowledged.
    Kept,
    /// I2: an active organization's collection has its name, its UUID and its owner's tag.
    InPlace,
    /// I3: there is no other tenant collection.
    NoStray,
    /// I4: of a deleted organization nothing is left.
    Gone,
    /// I5: every organization has one admin, and no admin is without one.
    OneAdmin,
    /// I6: names are unique, and nothing is claimed that nobody has.
    Names,
    /// I7: what was acknowledged as created exists, and nothing exists that nobody created.
    Exists,
    /// I8: names and credentials are those of the last acknowledged change, or of one whose end was not told.
    LastWord,
    /// I9: no document is in another organization's collection.
    Apart,
    /// Clients are never told worse than "later", and never anything undocumented.
    Answers,
    /// Clients can go on without anybody's help.
    Recovers,
    /// Every command of a change has a crash point before it, and every crash point is tried.
    Guarded,
    /// `tenantry doctor` finds nothing.
    Doctor,
    /// A control without one of the protections was not noticed.
    Control,
    /// The test itself could not go on.
    Broken,
}

impl Invariant {
    pub(crate) const ALL: [Self; 16] = [
        Self::AtRest,
        Self::Kept,
        Self::InPlace,
        Self::NoStray,
        Self::Gone,
        Self::OneAdmin,
        Self::Names,
        Self::Exists,
        Self::LastWord,
        Self::Apart,
        Self::Answers,
        Self::Recovers,
        Self::Guarded,
        Self::Doctor,
        Self::Control,
        Self::Broken,
    ];

    /// Its short name: that of RELIABILITY's list, or a word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AtRest => "I0",
            Self::Kept => "I1",
            Self::InPlace => "I2",
            Self::NoStray => "I3",
            Self::Gone => "I4",
            Self::OneAdmin => "I5",
            Self::Names => "I6",
            Self::Exists => "I7",
            Self::LastWord => "I8",
            Self::Apart => "I9",
            Self::Answers => "answers",
            Self::Recovers => "recovers",
            Self::Guarded => "guarded",
            Self::Doctor => "doctor",
            Self::Control => "control",
            Self::Broken => "broken",
        }
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    /// The case or the organization.
    pub(crate) about: String,
    pub(crate) text: String,
    /// What the clients of that organization did and were told.
    pub(crate) history: Vec<String>,
}

impl Violation {
    pub(crate) fn new(invariant: Invariant, about: &str, text: impl Into<String>) -> Self {
        Self { invariant, about: about.to_owned(), text: text.into(), history: Vec::new() }
    }

    /// For people, with the history.
    pub(crate) fn print(&self) {
        println!("  {} {}: {}", self.invariant.name(), self.about, self.text);
        for line in &self.history {
            println!("      {line}");
        }
    }
}

/// Counts what happens in one part.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: AtomicU64,
    pub(crate) kills: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) failovers: AtomicU64,
    pub(crate) operations: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Neither done nor refused: the client has to look.
    pub(crate) unknown: AtomicU64,
    violations: Mutex<Vec<Violation>>,
    /// Violations are wanted, and not printed.
    is_quiet: bool,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    /// For a control, whose violations are wanted.
    pub(crate) fn quiet() -> Self {
        Self { is_quiet: true, ..Self::default() }
    }

    /// Whether violations are wanted.
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

    /// Adds what another counted, but not its violations: those of a control are wanted.
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

/// One line of the table.
pub(crate) struct PartReport {
    pub(crate) part: String,
    pub(crate) tally: std::sync::Arc<Tally>,
    pub(crate) took: Duration,
}

const COLUMNS: [&str; 11] = [
    "part",
    "cases",
    "kills",
    "stalls",
    "failovers",
    "operations",
    "acknowledged",
    "refused",
    "unknown",
    "seconds",
    "violations",
];

/// The table of all parts.
pub(crate) fn print_table(reports: &[PartReport], seed: u64) {
    println!("\n{}", line(&COLUMNS.map(str::to_owned)));
    for report in reports {
        let counts = report.tally.counters().map(|counter| counter.load(Ordering::Relaxed).to_string());
        let mut cells = vec![report.part.clone()];
        cells.extend(counts);
        cells.push(report.took.as_secs().to_string());
        cells.push(by_invariant(&report.tally.violations()));
        println!("{}", line(&cells));
    }
    println!("seed {seed}; looked for: {}", Invariant::ALL.map(Invariant::name).join(" "));
}

fn line(cells: &[String]) -> String {
    let padded = cells
        .iter()
        .enumerate()
        .map(|(place, cell)| if place == 0 { format!("{cell:<13}") } else { format!("{cell:>12}") });
    padded.collect::<Vec<_>>().join(" ")
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
    let texts = counts.iter().map(|(invariant, count)| format!("{}:{count}", invariant.name()));
    texts.collect::<Vec<_>>().join(",")
}
