//! The tables, on the screen and in docs/BENCHMARKS.md.

use std::fmt::Write as _;

use crate::record::{Marks, Record, document};
use crate::stats::Spread;

const MARKS: Marks =
    Marks { begin: "<!-- measured: written by `make bench` -->", end: "<!-- end of what was measured -->" };

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only shown.
    None,
}

impl Goal {
    /// The goal, and whether it is reached: surely, surely not, or too close to tell.
    fn judge(self, Spread { low, high, .. }: Spread) -> String {
        let (text, is_reached, is_missed) = match self {
            Self::AtLeast(least) => (format!("≥ {least}"), low >= least, high < least),
            Self::AtMost(most) => (format!("≤ {most}"), high <= most, low > most),
            Self::None => return "–".to_owned(),
        };
        let verdict = match (is_reached, is_missed) {
            (true, _) => "✓",
            (_, true) => "✗",
            _ => "≈",
        };
        format!("{text} {verdict}")
    }
}

/// The report of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    text: String,
    record: Option<Record>,
}

impl Report {
    /// A report for the document. `None` when something is not committed.
    pub(crate) fn to_record() -> Option<Self> {
        Record::of_commit(MARKS).map(|record| Self { record: Some(record), ..Self::default() })
    }

    /// Begins a table.
    pub(crate) fn table(&mut self, title: &str, about: &str, columns: &[&str]) {
        self.line(&format!("\n### {title}\n\n{about}\n"));
        self.row(columns);
        self.line(&format!("|{}", " --- |".repeat(columns.len())));
    }

    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    pub(crate) fn line(&mut self, text: &str) {
        println!("{text}");
        writeln!(self.text, "{text}").expect("memory");
    }

    /// Writes it into the document, if it is to be recorded.
    pub(crate) fn write(&self) {
        if let Some(record) = &self.record {
            record.write(&self.text);
        }
    }
}

/// What the document now has in the second cell of the first row with this name.
pub(crate) fn recorded(row: &str) -> Option<f64> {
    let document = std::fs::read_to_string(document()).ok()?;
    let start = format!("| {row} | ");
    document.lines().find_map(|line| line.strip_prefix(&start)?.split(' ').next()?.parse().ok())
}

/// A ratio with its goal, as two cells.
pub(crate) fn judged(ratio: Spread, goal: Goal) -> [String; 2] {
    [ratio.to_string(), goal.judge(ratio)]
}
