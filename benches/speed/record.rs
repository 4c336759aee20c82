//! docs/BENCHMARKS.md: each program writes between its own marks, and people write the rest.

use std::path::PathBuf;
use std::process::Command;

use time::OffsetDateTime;
use time::macros::format_description;

/// The marks around a program's text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

/// The place of a measurement's text.
#[derive(Debug)]
pub(crate) struct Record {
    marks: Marks,
    /// The measured commit.
    commit: String,
}

impl Record {
    /// `None` when something is not committed, so that others could not get the measured program.
    pub(crate) fn of_commit(marks: Marks) -> Option<Self> {
        committed().map(|commit| Self { marks, commit })
    }

    /// Replaces the text between the marks.
    pub(crate) fn write(&self, text: &str) {
        let Self { marks: Marks { begin, end }, commit } = self;
        assert_eq!(committed().as_ref(), Some(commit), "the program was changed while it was measured");
        let path = document();
        let document = std::fs::read_to_string(&path).expect("the document");
        let (before, rest) = document.split_once(begin).expect("where the tables begin");
        let (_, after) = rest.split_once(end).expect("where they end");
        let text = format!("{before}{begin}\n\n{}\n\n{}\n\n{end}{after}", machine(commit), text.trim());
        std::fs::write(&path, text).expect("written");
        println!("\nwritten to docs/BENCHMARKS.md");
    }
}

pub(crate) fn document() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md"))
}

/// The last commit, if only the record has changed since.
fn committed() -> Option<String> {
    let changed = said("git", &["status", "--porcelain", "--", ".", ":!docs/BENCHMARKS.md"])?;
    said("git", &["describe", "--always"]).filter(|_| changed.is_empty())
}

/// The first line that a program prints; `None` if it is missing or fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The date, the machine and the versions.
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
