//! The command line: which parts to run, how much of each, and with which seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};

use crate::random::Random;

/// Hurts servers and MongoDB in every known way, and checks that nothing is lost.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
pub(crate) struct Arguments {
    /// Only these parts, in this order
    #[arg(long = "part", value_name = "PART", num_args = 1..)]
    parts: Vec<Part>,
    /// The form for CI: every part, but less of each
    #[arg(long)]
    short: bool,
    /// Repeats the choices of the run that printed this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Keeps the storm going for at least this long, however many faults that takes
    #[arg(long)]
    minutes: Option<u64>,
    /// Only the cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

/// A kind of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Part {
    /// A server dies at every step boundary of every kind of change
    Sweep,
    /// A server stalls past its lease before every step, and wakes when others have gone on
    Zombies,
    /// Random deaths and stalls under load
    Storm,
    /// Step-downs and deaths of a replica set's primary under load
    Failover,
    /// Every command of every change fails, in every way that MongoDB can make it fail
    Failpoints,
    /// Every command of every change loses its request or its answer on the way
    LostReplies,
    /// Servers without one of their protections, which the checks must catch
    Controls,
}

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) parts: Vec<Part>,
    pub(crate) is_short: bool,
    pub(crate) seed: u64,
    pub(crate) at_least: Duration,
    /// The name of a case must contain this.
    pub(crate) only: String,
}

impl Plan {
    pub(crate) fn from_command_line() -> Self {
        let Arguments { parts, short, seed, minutes, only } = Arguments::parse();
        let parts = if parts.is_empty() { Part::value_variants().to_vec() } else { parts };
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = seed.unwrap_or(since_epoch.as_secs() % 1_000_000);
        Self { parts, is_short: short, seed, at_least: Duration::from_mins(minutes.unwrap_or(0)), only }
    }

    /// Shuffles the cases; the short form runs only one in `share`.
    pub(crate) fn choose<T>(&self, cases: &mut Vec<T>, share: usize) {
        Random::new(self.seed).shuffle(cases);
        if self.is_short && self.only.is_empty() {
            cases.truncate(cases.len() / share);
        }
    }

    pub(crate) fn includes(&self, case: &str) -> bool {
        case.contains(&self.only)
    }

    pub(crate) fn count(&self, full: u64, short: u64) -> u64 {
        if self.is_short { short } else { full }
    }
}

impl Part {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
