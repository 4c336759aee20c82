//! `make chaos`: servers die and stall, MongoDB fails over, refuses commands and loses writes, the network loses answers; and
//! everything that clients were told must still be true.
//!
//! Each part does one kind of harm to real processes on a real mongod, and ends with the same check ([`checker`]): the
//! clients' histories against the database. The controls each turn one protection off, and must be caught.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "a test reads and damages MongoDB directly, without the repositories")]

mod args;
mod checker;
mod client;
mod fleet;
mod history;
mod load;
mod matrix;
mod parts;
mod proxy;
mod random;
mod replica_set;
mod report;
mod scenario;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the other tests, which use all of it")]
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use args::{Part, Plan};
use report::{Invariant, PartReport, Tally, Violation, print_table};

fn main() -> ExitCode {
    let plan = Plan::from_command_line();
    println!("seed {}", plan.seed);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let reports = runtime.block_on(run(&plan));
    print_table(&reports, plan.seed);
    let is_clean = reports.iter().all(|report| report.tally.violations().is_empty());
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(plan: &Plan) -> Vec<PartReport> {
    history::begin();
    let mut reports = Vec::new();
    for part in &plan.parts {
        println!("{} …", part.name());
        let (tally, began) = (Arc::new(Tally::default()), Instant::now());
        let (task_plan, task_tally, part) = (plan.clone(), tally.clone(), *part);
        let ended = tokio::spawn(async move { run_part(part, &task_plan, &task_tally).await }).await;
        if let Err(panic) = ended {
            tally.violate(Violation::new(Invariant::Broken, &part.name(), panic.to_string()));
        }
        reports.push(PartReport { part: part.name(), tally, took: began.elapsed() });
    }
    reports
}

async fn run_part(part: Part, plan: &Plan, tally: &Arc<Tally>) {
    match part {
        Part::Storm => parts::storm::run(plan, tally).await,
        Part::Failover => parts::failover::run(plan, tally).await,
        Part::Failpoints => parts::failpoints::run(plan, tally).await,
        Part::LostReplies => parts::lost_replies::run(plan, tally).await,
        Part::Sweep => parts::sweep::run(plan, tally).await,
        Part::Zombies => parts::zombies::run(plan, tally).await,
        Part::Controls => parts::controls::run(plan, tally).await,
    }
}
