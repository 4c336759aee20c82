//! The command line: which rows to run, and how long each.

use std::time::Duration;

use clap::Parser;

use crate::rows::{NOBODY, ROWS, Row};

/// Attacks a server in every known way, and shows what another tenant feels.
#[derive(Debug, Parser)]
#[command(name = "hostile")]
pub(crate) struct Arguments {
    /// Only these rows; `1` stands for 1b and 1c too
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    rows: Vec<String>,
    /// The form for CI: every row, but shorter, and nothing judged by time
    #[arg(long)]
    short: bool,
    /// How long each attack lasts
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Writes the table into docs/BENCHMARKS.md, if everything is committed
    #[arg(long)]
    record: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) rows: Vec<&'static Row>,
    pub(crate) lasts: Duration,
    pub(crate) is_short: bool,
    pub(crate) is_recorded: bool,
}

impl Plan {
    pub(crate) fn from_command_line() -> Self {
        let Arguments { rows: wanted, short, seconds, record, bench: _ } = Arguments::parse();
        let known = |id: &String| ROWS.iter().any(|row| row.is_called(id));
        if let Some(unknown) = wanted.iter().find(|id| !known(id)) {
            let ids: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
            eprintln!("There is no row {unknown}, only {}.", ids.join(", "));
            std::process::exit(2);
        }
        let is_wanted = |row: &Row| wanted.is_empty() || row.id == NOBODY || wanted.iter().any(|id| row.is_called(id));
        let rows = ROWS.iter().filter(|row| is_wanted(row)).collect();
        let lasts = Duration::from_secs_f64(seconds.unwrap_or(if short { 2.0 } else { 10.0 }));
        Self { rows, lasts, is_short: short, is_recorded: record && wanted.is_empty() && !short }
    }
}
