//! `make hostile`: neighbours who want everything for themselves, and what one who wants little feels of it.
//!
//! Each row of the table ([`rows`]) is one attack on a real server over a real mongod. The victim ([`victim`]) and the
//! attackers ([`attackers`]) are processes of their own, from addresses of their own. What must hold whatever the time is
//! asserted; times are only told, and judged in the long form.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]

mod args;
mod attackers;
mod attacks;
#[path = "../../benches/speed/load.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest of it")]
mod load;
mod orders;
mod rows;
mod stage;
#[path = "../../benches/speed/stats.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest of it")]
mod stats;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;
mod table;
mod victim;
mod watch;
mod wire;

use std::process::ExitCode;

use args::Plan;
use orders::{ATTACK, AttackOrders, Counts, Felt, VICTIM, VictimOrders};
use rows::Row;
use serde::de::DeserializeOwned;
use stage::{Stage, Stock};
use table::Outcome;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    // One thread: whatever the clients use the server lacks.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, VICTIM, told] => orders::report(&runtime.block_on(victim::run(read(told)))),
        [_, ATTACK, told] => orders::report(&runtime.block_on(attackers::run(read(told)))),
        _ => return runtime.block_on(run(&Plan::from_command_line())),
    }
    ExitCode::SUCCESS
}

fn read<T: DeserializeOwned>(orders: &str) -> T {
    serde_json::from_str(orders).expect("orders")
}

/// All rows of the plan, one after another.
async fn run(plan: &Plan) -> ExitCode {
    let stocks: Vec<Stock> = plan.rows.iter().flat_map(|row| row.stocks).copied().collect();
    let mut stage = Stage::set(if plan.is_short { "8" } else { "12" }, &stocks).await;
    println!("p50 / p99 in milliseconds; {:?} of attack in each row", plan.lasts);
    table::print(&table::COLUMNS);
    let mut outcomes = Vec::new();
    for row in &plan.rows {
        let outcome = attack(&mut stage, row, plan).await;
        table::print(&outcome.cells());
        outcomes.push(outcome);
    }
    verdict(&outcomes)
}

/// One row, from a fresh server to what is left afterwards.
async fn attack(stage: &mut Stage, row: &'static Row, plan: &Plan) -> Outcome {
    let conditions = &row.conditions;
    let server = stage.serve(conditions.settings, conditions.open_files).await;
    let (address, victim) = (server.address, stage.victim());
    let told = VictimOrders {
        address,
        tenant: victim.clone(),
        login_every: conditions.login_every,
        is_streaming: conditions.is_streaming,
    };
    let watching = orders::start(VICTIM, &told);
    let told = AttackOrders {
        row: row.id.to_owned(),
        address,
        lasts: plan.lasts,
        tenants: stage.tenants(row.stocks),
        victim: victim.clone(),
    };
    let answered = orders::end::<Counts>(orders::start(ATTACK, &told)).await;
    let left_at_work = watch::left_at_work(&stage.client, &victim).await;
    let felt = orders::end::<Felt>(watching).await;
    let peak_resident = watch::peak_resident(server.process_id());
    drop(server);
    if left_at_work > 0 {
        stage.clear().await;
    }
    let mut broken = Vec::new();
    if answered.is_none() || felt.as_ref().is_none_or(|felt| felt.took.is_empty()) {
        broken.push("the attackers or the victim could not work".to_owned());
    }
    Outcome {
        row,
        felt: felt.unwrap_or_default(),
        answered: answered.unwrap_or_default(),
        peak_resident,
        left_at_work,
        broken,
    }
}

/// Says what was not as it must be.
fn verdict(outcomes: &[Outcome]) -> ExitCode {
    let mut is_clean = true;
    for outcome in outcomes {
        for violation in outcome.violations() {
            is_clean = false;
            println!("row {}: {violation}", outcome.row.id);
        }
        if !outcome.violations().is_empty() {
            println!("  alone: cargo test --test hostile -- --rows {}", outcome.row.id);
        }
    }
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
