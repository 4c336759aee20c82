//! The tables, on the screen and in docs/BENCHMARKS.md.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use time::OffsetDateTime;
use time::macros::format_description;

use crate::stats::Spread;

/// What is between these in the document is written here, everything else by people.
const BEGIN: &str = "<!-- measured: written by `make bench` -->";
const END: &str = "<!-- end of what was measured -->";

/// What a number should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// None: it is only told.
    None,
}

impl Goal {
    /// The goal, and whether it is reached: for sure, for sure not, or so nearly that another run may say otherwise.
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
    /// The commit that is measured, when that is what is measured.
    commit: Option<String>,
}

impl Report {
    /// One that is to be recorded. `None` when the program is not one that others can get, because something has changed since
    /// the last commit.
    pub(crate) fn to_record() -> Option<Self> {
        committed().map(|commit| Self { commit: Some(commit), ..Self::default() })
    }

    /// A table's title, an explanation, and its columns.
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

    /// Puts it into the document, if it is to be recorded.
    pub(crate) fn write(&self) {
        let Some(commit) = &self.commit else { return };
        assert_eq!(committed().as_ref(), Some(commit), "the program was changed while it was measured");
        let path = document();
        let document = std::fs::read_to_string(&path).expect("the document");
        let (before, rest) = document.split_once(BEGIN).expect("where the tables begin");
        let (_, after) = rest.split_once(END).expect("where they end");
        let text = format!("{before}{BEGIN}\n\n{}\n\n{}\n\n{END}{after}", machine(commit), self.text.trim());
        std::fs::write(&path, text).expect("written");
        println!("\nwritten to docs/BENCHMARKS.md");
    }
}

/// What the document says until now in the second cell of the first row of this name.
pub(crate) fn recorded(row: &str) -> Option<f64> {
    let document = std::fs::read_to_string(document()).ok()?;
    let start = format!("| {row} | ");
    document.lines().find_map(|line| line.strip_prefix(&start)?.split(' ').next()?.parse().ok())
}

fn document() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md"))
}

/// The last commit, if nothing but the record itself has changed since.
fn committed() -> Option<String> {
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/BENCHMARKS.md"])?;
    said("git", &["describe", "--always"]).filter(|_| changed.is_empty())
}

/// What a program prints first; nothing without that program, or if it fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// A ratio with its goal, as two cells.
pub(crate) fn judged(ratio: Spread, goal: Goal) -> [String; 2] {
    [ratio.to_string(), goal.judge(ratio)]
}

/// When, on what, and with which versions.
fn machine(commit: &str) -> String {
    let day = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]")).expect("a date");
    let unknown = || "unknown".to_owned();
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, name)| name.trim().to_owned())
    });
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kilobytes: u64 = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(format!("{} GiB", (kilobytes + (1 << 19)) >> 20))
    });
    let mongod = said("python3", &["scripts/tools.py", "mongod"]).and_then(|path| said(&path, &["--version"]));
    format!(
        "{day}, {} cores ({}), {} of memory, {}; {}, {}; tenantry at commit {commit}",
        std::thread::available_parallelism().map_or(0, usize::from),
        processor.unwrap_or_else(unknown),
        memory.unwrap_or_else(unknown),
        said("uname", &["-s"]).unwrap_or_else(unknown),
        mongod.map_or_else(unknown, |version| version.replace("db version v", "MongoDB ")),
        said("rustc", &["--version"]).unwrap_or_else(unknown),
    )
}
