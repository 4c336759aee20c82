//! The network loses each command of each change, or its answer, or delivers it too late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use crate::args::Plan;
use crate::fleet::LEASE;
use crate::matrix::{Action, Bench};
use crate::proxy::{Loss, Proxy, Rule};
use crate::report::{Invariant, Tally, Violation};
use crate::support::eventually;
use crate::support::mongo::Mongod;

/// Cases at once.
const WORKERS: usize = 3;
/// The short form runs one case in this many.
const SHORT_SHARE: usize = 16;
/// Longer than a lease and a look for abandoned changes.
const LATE: Duration = Duration::from_millis(2_200);

struct Case {
    action: Action,
    rule: Rule,
}

impl Case {
    fn name(&self) -> String {
        format!("{:?}: {:?}", self.action, self.rule)
    }
}

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    let mongod = Arc::new(Mongod::started().await);
    for keeps in [false, true] {
        let cases = cases(plan, &mongod, keeps, tally).await;
        let cases = Arc::new(Mutex::new(VecDeque::from(cases)));
        let workers = (0..WORKERS).map(|_| tokio::spawn(work(mongod.clone(), cases.clone(), keeps, tally.clone())));
        for worker in join_all(workers.collect::<Vec<_>>()).await {
            worker.expect("no panic");
        }
    }
}

/// Learns from an undisturbed run which commands each action sends, and makes a case of each.
async fn cases(plan: &Plan, mongod: &Mongod, keeps: bool, tally: &Arc<Tally>) -> Vec<Case> {
    let proxy = Proxy::start(mongod.port()).await;
    let mut bench = Bench::new(mongod, &proxy.uri(), keeps, tally).await;
    let mut cases = Vec::new();
    for action in Action::all(keeps) {
        let Some(act) = bench.prepare("undisturbed", action).await else { continue };
        proxy.lose(None);
        let told = bench.act(&act).await;
        let seen = proxy.seen();
        if !told.is_done() {
            tally.violate(Violation::new(Invariant::Broken, "undisturbed", format!("{action:?}: {told}")));
        }
        bench.conclude(&act, &told).await;
        for (command, count) in seen {
            for first in 1..=count {
                for loss in [Loss::Request, Loss::Answer, Loss::Late(LEASE + LATE)] {
                    for times in [1, 2] {
                        cases.push(Case { action, rule: Rule { command: command.clone(), first, times, loss } });
                    }
                }
            }
        }
    }
    bench.end().await;
    cases.retain(|case| plan.includes(&case.name()));
    plan.choose(&mut cases, SHORT_SHARE);
    cases
}

async fn work(mongod: Arc<Mongod>, cases: Arc<Mutex<VecDeque<Case>>>, keeps: bool, tally: Arc<Tally>) {
    let proxy = Proxy::start(mongod.port()).await;
    let mut bench = Bench::new(&mongod, &proxy.uri(), keeps, &tally).await;
    loop {
        let next = cases.lock().expect("no panic").pop_front();
        let Some(case) = next else { break };
        let Some(act) = bench.prepare(&case.name(), case.action).await else { continue };
        proxy.lose(Some(case.rule));
        let told = bench.act(&act).await;
        proxy.lose(None);
        eventually("late commands have arrived", async || proxy.is_empty()).await;
        bench.conclude(&act, &told).await;
    }
    bench.end().await;
}
