//! The command line: which parts, how much of them, and with which seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};

/// Hurts servers and MongoDB in every way that is known, and checks that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Arguments {
    /// Only these parts, in this order
    #[arg(long = "part", value_name = "PART", num_args = 1..)]
    parts: Vec<Part>,
    /// The form for CI: every part, but less of each
    #[arg(long)]
    short: bool,
    /// Repeats the choices of a run that printed this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on with the storm for at least so long, however many faults that takes
    #[arg(long)]
    minutes: Option<u64>,
    /// Only the cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

/// What can be done to the servers and their database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Part {
    /// A server dies at every step boundary of every kind of change
    Sweep,
    /// A server stops past its lease before every step, and comes back when others have gone on
    Zombies,
    /// Random deaths and stalls under load
    Storm,
    /// Step-downs and deaths of a replica set's primary under load
    Failover,
    /// Every command of every change fails, in every way that MongoDB can make it fail
    Failpoints,
    /// Every command of every change loses its request or its answer on the way
    LostReplies,
    /// Servers without one of their protections, which the checks must notice
    Controls,
}

/// How much is done, and with which choices.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) is_short: bool,
    pub(crate) seed: u64,
    pub(crate) at_least: Duration,
    /// What the name of a case must contain.
    pub(crate) only: String,
}

impl Plan {
    pub(crate) fn from_command_line() -> Self {
        let Arguments { parts, short, seed, minutes, only } = Arguments::parse();
        let parts = if parts.is_empty() { Part::value_variants().to_vec() } else { parts };
        let seed = seed.unwrap_or_else(present_moment);
        Self { parts, is_short: short, seed, at_least: Duration::from_mins(minutes.unwrap_or(0)), only }
    }

    /// Whether a case of this name is wanted.
    pub(crate) fn includes(&self, case: &str) -> bool {
        case.contains(&self.only)
    }

    /// A number for the full form, or another for the short one.
    pub(crate) fn count(&self, full: u64, short: u64) -> u64 {
        if self.is_short { short } else { full }
    }
}

impl Part {
    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A seed that no run had before.
fn present_moment() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() % 1_000_000
}
