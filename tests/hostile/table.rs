//! The table: what the victim felt in each row, which violations there were, and whether the goals were reached.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::orders::{Call, Counts, Felt};
use crate::rows::Row;
use crate::stats::Measured;

/// The server's memory limit in MiB.
const MEMORY_MAX: u64 = 320;
/// The only 5xx answers allowed: no room now, or on the disk.
const TOLD_TO_WAIT: [&str; 2] = ["503 ", "507 "];
/// The goal for reads: milliseconds, or times what they take without an attack.
const READ_GOAL: (f64, f64) = (300.0, 20.0);
/// The goal for `/health/live`, in milliseconds.
const LIVE_GOAL: f64 = 100.0;

/// What was seen in a row.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) felt: Felt,
    /// The attackers' answers.
    pub(crate) answered: Counts,
    /// The server's peak memory in MiB; `None` if it died.
    pub(crate) peak_resident: Option<u64>,
    /// Operations that MongoDB still ran for attackers that had left; `None` if it did not answer.
    pub(crate) left_at_work: Option<usize>,
    /// Other violations.
    pub(crate) broken: Vec<String>,
}

/// The result of a row.
pub(crate) struct Outcome {
    pub(crate) row: &'static Row,
    /// `None` where this machine does not allow what the row needs.
    pub(crate) seen: Option<Seen>,
}

impl Seen {
    /// Violations that do not depend on time.
    fn violations(&self) -> Vec<String> {
        let mut found = self.broken.clone();
        let refusals = self.felt.refusals.iter();
        found.extend(refusals.map(|(what, times)| format!("the victim was refused: {what}, {times} times")));
        match self.peak_resident {
            Some(peak) if peak <= MEMORY_MAX => {}
            Some(peak) => found.push(format!("the server used {peak} MiB of memory, {MEMORY_MAX} are allowed")),
            None => found.push("the server died".to_owned()),
        }
        match self.left_at_work {
            Some(0) => {}
            Some(left) => found.push(format!("{left} operations were left running in MongoDB")),
            None => found.push("MongoDB did not answer".to_owned()),
        }
        let failures = self.answered.iter().filter(|(what, _)| what.starts_with('5'));
        let undocumented = failures.filter(|(what, _)| !TOLD_TO_WAIT.iter().any(|told| what.starts_with(told)));
        found.extend(undocumented.map(|(what, times)| format!("attackers were answered {what}, {times} times")));
        found
    }

    fn measured(&self, call: Call) -> Option<Measured> {
        let times = self.felt.took.get(&call)?;
        let times: Vec<Duration> = times.iter().map(|took| Duration::from_micros(*took)).collect();
        (!times.is_empty()).then(|| Measured::of(times, Duration::from_secs(1)))
    }

    /// A call's median and 99th percentile in milliseconds, and the ratio to the 99th percentile without an attack.
    fn timed(&self, call: Call, alone: Option<&Self>, is_judged: bool) -> String {
        let Some(measured) = self.measured(call) else { return "–".to_owned() };
        let times = format!("{} / {}", short(measured.p50), short(measured.p99));
        let Some(alone) = alone.and_then(|alone| alone.measured(call)) else { return times };
        let verdict = match is_reached(call, measured.p99, alone.p99).filter(|_| is_judged) {
            Some(true) => " ✓",
            Some(false) => " ✗",
            None => "",
        };
        format!("{times} (×{}){verdict}", short(measured.p99 / alone.p99))
    }
}

/// Whether a call's goal is reached, if it has one.
fn is_reached(call: Call, p99: f64, alone: f64) -> Option<bool> {
    match call {
        Call::Read => Some(p99 <= READ_GOAL.0 || p99 <= READ_GOAL.1 * alone),
        Call::Live => Some(p99 <= LIVE_GOAL),
        Call::Login | Call::Ready | Call::Import | Call::Export => None,
    }
}

impl Outcome {
    /// Violations that do not depend on time.
    pub(crate) fn violations(&self) -> Vec<String> {
        let Some(seen) = &self.seen else { return Vec::new() };
        let mut found = seen.violations();
        found.extend((self.row.conditions.demands)(&seen.answered));
        found
    }

    /// The row's line in the table; `alone` is the row without an attack.
    pub(crate) fn cells(&self, alone: Option<&Seen>, is_judged: bool) -> Vec<String> {
        let mut cells = vec![self.row.id.to_owned(), self.row.title.to_owned()];
        let Some(seen) = &self.seen else {
            cells.push("not run: mounting is not allowed here".to_owned());
            return cells;
        };
        cells.extend(Call::TIMED.map(|call| seen.timed(call, alone, is_judged)));
        cells.push(joined(&seen.felt.refusals, "none"));
        cells.push(seen.peak_resident.map_or("died".to_owned(), |peak| peak.to_string()));
        cells.push(seen.left_at_work.map_or("?".to_owned(), |left| left.to_string()));
        cells.push(joined(&seen.answered, "–"));
        cells
    }
}

/// The columns, and their widths on the screen.
pub(crate) const COLUMNS: [(&str, usize); 10] = [
    ("row", 3),
    ("attack", 47),
    ("read, ms", 23),
    ("login, ms", 21),
    ("live, ms", 23),
    ("ready, ms", 21),
    ("victim refused", 14),
    ("MiB", 4),
    ("left", 4),
    ("attackers answered", 18),
];

/// A line for the screen.
pub(crate) fn print<T: AsRef<str>>(cells: &[T]) {
    let padded = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{:<width$}", cell.as_ref()));
    println!("{}", padded.collect::<Vec<_>>().join(" | "));
}

/// The table for the document.
pub(crate) fn document(rows: &[Vec<String>]) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&COLUMNS.map(|(name, _)| name)) + &line(&COLUMNS.map(|_| "---"));
    for cells in rows {
        text += &line(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// Rounds to significant digits.
fn short(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

fn joined(counts: &Counts, nothing: &str) -> String {
    let texts: Vec<String> = counts.iter().map(|(what, times)| format!("{what} ×{times}")).collect();
    if texts.is_empty() { nothing.to_owned() } else { texts.join(", ") }
}
