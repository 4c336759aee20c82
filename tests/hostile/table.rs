//! The table: what the victim felt in each row, whether that is as it must be, and whether it is as it should.

use std::time::Duration;

use crate::orders::{Call, Counts, Felt};
use crate::rows::Row;
use crate::stats::Measured;

/// The most memory that the server may ever have, in MiB.
const MEMORY_MAX: u64 = 320;
/// What may be answered with a 5xx: that there is no room now, or on the disk.
const TOLD_TO_WAIT: [&str; 2] = ["503 ", "507 "];

/// What came of one row.
pub(crate) struct Outcome {
    pub(crate) row: &'static Row,
    pub(crate) felt: Felt,
    /// What the attackers were answered.
    pub(crate) answered: Counts,
    pub(crate) peak_resident: Option<u64>,
    pub(crate) left_at_work: usize,
    /// What else was not as it must be.
    pub(crate) broken: Vec<String>,
}

impl Outcome {
    /// What must be so whatever the time, and is not.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = self.broken.clone();
        let refusals = self.felt.refusals.iter();
        found.extend(refusals.map(|(what, times)| format!("the victim was refused: {what}, {times} times")));
        match self.peak_resident {
            Some(peak) if peak <= MEMORY_MAX => {}
            Some(peak) => found.push(format!("the server had {peak} MiB of memory, {MEMORY_MAX} are allowed")),
            None => found.push("the server died".to_owned()),
        }
        if self.left_at_work > 0 {
            found.push(format!("{} operations were left at work in MongoDB", self.left_at_work));
        }
        let failures = self.answered.iter().filter(|(what, _)| what.starts_with('5'));
        let undocumented = failures.filter(|(what, _)| !TOLD_TO_WAIT.iter().any(|told| what.starts_with(told)));
        found.extend(undocumented.map(|(what, times)| format!("attackers were answered {what}, {times} times")));
        found
    }

    pub(crate) fn measured(&self, call: Call) -> Option<Measured> {
        let times = self.felt.took.get(&call)?;
        let times: Vec<Duration> = times.iter().map(|took| Duration::from_micros(*took)).collect();
        (!times.is_empty()).then(|| Measured::of(times, Duration::from_secs(1)))
    }

    /// Its line of the table.
    pub(crate) fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.row.id.to_owned(), self.row.title.to_owned()];
        cells.extend(Call::TIMED.map(|call| self.measured(call).map_or("–".to_owned(), |measured| times(&measured))));
        cells.push(joined(&self.felt.refusals, "none"));
        cells.push(joined(&self.answered, "–"));
        cells.push(self.peak_resident.map_or("died".to_owned(), |peak| peak.to_string()));
        cells.push(self.left_at_work.to_string());
        cells
    }
}

pub(crate) const COLUMNS: [&str; 10] = [
    "row",
    "attack",
    "read",
    "login",
    "live",
    "ready",
    "refused to the victim",
    "answered to the attackers",
    "MiB",
    "left",
];

/// How wide they are on the screen.
const WIDTHS: [usize; 10] = [3, 46, 15, 15, 15, 15, 21, 25, 4, 4];

/// A line for the screen.
pub(crate) fn print<T: AsRef<str>>(cells: &[T]) {
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{:<width$}", cell.as_ref()));
    println!("{}", padded.collect::<Vec<_>>().join(" | "));
}

/// The median and the 99th percentile, in milliseconds.
fn times(measured: &Measured) -> String {
    let digits = |number: f64| if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") };
    format!("{} / {}", digits(measured.p50), digits(measured.p99))
}

fn joined(counts: &Counts, nothing: &str) -> String {
    let texts: Vec<String> = counts.iter().map(|(what, times)| format!("{what} ×{times}")).collect();
    if texts.is_empty() { nothing.to_owned() } else { texts.join(", ") }
}
