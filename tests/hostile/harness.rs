//! Runs the rows, each with a fresh server, and reports violations.

use std::process::ExitCode;
use std::time::Duration;

use crate::args::Plan;
use crate::orders::{ATTACK, AttackOrders, Counts, Felt, VICTIM, VictimOrders, end, start};
use crate::record::{Marks, Record};
use crate::rows::{Conditions, NOBODY, Row};
use crate::small_disk::{self, Task};
use crate::stage::{Stage, Stock};
use crate::support::mongo::Mongod;
use crate::table::{self, COLUMNS, Outcome, Seen};
use crate::watch;

const MARKS: Marks = Marks { begin: "<!-- hostile: written by make hostile -->", end: "<!-- end hostile -->" };

pub(crate) async fn run(plan: &Plan) -> ExitCode {
    let record = plan.is_recorded.then(|| Record::of_commit(MARKS));
    if let Some(None) = record {
        eprintln!("Only a commit can be recorded. Commit first, or run a part: make hostile HOSTILE=\"--rows 3\"");
        return ExitCode::from(2);
    }
    let cost = if plan.is_short { "8" } else { "12" };
    let stocks: Vec<Stock> = plan.rows.iter().flat_map(|row| row.stocks).copied().collect();
    let mut stage = Stage::set(Mongod::started().await, cost, &stocks).await;
    println!("p50 / p99 (× the p99 without an attack); {:?} for each attack", plan.lasts);
    table::print(&COLUMNS.map(|(name, _)| name));
    let (mut outcomes, mut lines) = (Vec::<Outcome>::new(), Vec::new());
    for row in &plan.rows {
        let seen = if row.conditions.has_small_disk {
            small_disk::run_apart(&Task { row: row.id.to_owned(), cost: cost.to_owned(), lasts: plan.lasts }).await
        } else {
            let seen = attack(&stage, row, plan.lasts).await;
            if seen.left_at_work != Some(0) {
                stage.clear().await;
            }
            Some(seen)
        };
        let outcome = Outcome { row, seen };
        let alone = outcomes.first().filter(|first| first.row.id == NOBODY).and_then(|first| first.seen.as_ref());
        let cells = outcome.cells(alone, !plan.is_short);
        table::print(&cells);
        lines.push(cells);
        outcomes.push(outcome);
    }
    if let Some(Some(record)) = record {
        record.write(&table::document(&lines));
    }
    verdict(&outcomes)
}

/// Runs one row on a fresh server.
pub(crate) async fn attack(stage: &Stage, row: &'static Row, lasts: Duration) -> Seen {
    let conditions = &row.conditions;
    let server = stage.serve(conditions.settings, conditions.open_files).await;
    let (address, victim) = (server.address, stage.victim());
    let Conditions { login_every, is_streaming, .. } = *conditions;
    let watching = start(VICTIM, &VictimOrders { address, tenant: victim.clone(), login_every, is_streaming });
    let tenants = stage.tenants(row.stocks);
    let lasts = lasts.max(conditions.at_least);
    let told = AttackOrders { row: row.id.to_owned(), address, lasts, tenants, victim: victim.clone() };
    let answered = end::<Counts>(start(ATTACK, &told)).await;
    let left_at_work = watch::left_at_work(&stage.client, &victim).await;
    let felt = end::<Felt>(watching).await;
    let peak_resident = watch::peak_resident(server.process_id());
    let mut broken = Vec::new();
    if server.log().contains("panicked") {
        broken.push("the server panicked".to_owned());
    }
    if felt.as_ref().is_none_or(|felt| felt.took.is_empty()) {
        broken.push("the victim could not work".to_owned());
    }
    if answered.as_ref().is_none_or(|answered| answered.is_empty() && row.id != NOBODY) {
        broken.push("the attackers could not work".to_owned());
    }
    let (felt, answered) = (felt.unwrap_or_default(), answered.unwrap_or_default());
    Seen { felt, answered, peak_resident, left_at_work, broken }
}

/// Prints the violations.
fn verdict(outcomes: &[Outcome]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for outcome in outcomes {
        let violations = outcome.violations();
        for violation in &violations {
            println!("row {}: {violation}", outcome.row.id);
        }
        if !violations.is_empty() {
            println!("  alone: cargo test --test hostile -- --rows {}", outcome.row.id);
            code = ExitCode::FAILURE;
        }
    }
    code
}
