//! MongoDB refuses, aborts, delays or does not acknowledge each command of each change (`failCommand`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc};
use futures_util::future::join_all;

use crate::args::Plan;
use crate::matrix::{Action, Bench};
use crate::report::Tally;
use crate::support::mongo::Mongod;

/// Every command that changes and writes of documents send.
const COMMANDS: [&str; 10] = [
    "update",
    "insert",
    "create",
    "listCollections",
    "renameCollection",
    "drop",
    "delete",
    "findAndModify",
    "find",
    "aggregate",
];
/// Cases at once, each on a mongod of its own, because a fail point affects the whole mongod.
const WORKERS: usize = 3;
/// The short form runs one case in this many.
const SHORT_SHARE: usize = 16;

/// One fault of one command of one action.
struct Case {
    name: String,
    action: Action,
    command: &'static str,
    mode: Bson,
    how: Document,
}

/// What MongoDB can do to a command.
fn faults() -> Vec<(&'static str, Document)> {
    let error = |code: i32| doc! { "errorCode": code };
    vec![
        ("request lost", doc! { "closeConnection": true }),
        (
            "not acknowledged",
            doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
        ),
        ("not the primary", error(10_107)),
        ("shutting down", error(91)),
        ("stepping down", error(11_602)),
        ("out of time", error(50)),
        ("slow", doc! { "blockConnection": true, "blockTimeMS": 900 }),
        ("slower than a lease", doc! { "blockConnection": true, "blockTimeMS": 2_200 }),
    ]
}

/// Which occurrences fail: the first, the first and its repetition, or all from the second on.
fn modes() -> [(&'static str, Bson); 3] {
    [
        ("once", Bson::Document(doc! { "times": 1 })),
        ("twice", Bson::Document(doc! { "times": 2 })),
        ("from the second", Bson::Document(doc! { "skip": 1 })),
    ]
}

fn cases(plan: &Plan, keeps: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for action in Action::all(keeps) {
        for command in COMMANDS {
            for (fault, how) in faults() {
                for (times, mode) in modes() {
                    let name = format!("{action:?}: {command}, {fault}, {times}");
                    cases.push(Case { name, action, command, mode, how: how.clone() });
                }
            }
        }
    }
    cases.retain(|case| plan.includes(&case.name));
    plan.choose(&mut cases, SHORT_SHARE);
    cases
}

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    for keeps in [false, true] {
        let cases = Arc::new(Mutex::new(VecDeque::from(cases(plan, keeps))));
        let workers = (0..WORKERS).map(|_| tokio::spawn(work(cases.clone(), keeps, tally.clone())));
        for worker in join_all(workers.collect::<Vec<_>>()).await {
            worker.expect("no panic");
        }
    }
}

async fn work(cases: Arc<Mutex<VecDeque<Case>>>, keeps: bool, tally: Arc<Tally>) {
    let mongod = Mongod::with_fail_points().await;
    let mut bench = Bench::new(&mongod, &mongod.uri(), keeps, &tally).await;
    loop {
        let next = cases.lock().expect("no panic").pop_front();
        let Some(case) = next else { break };
        let Some(act) = bench.prepare(&case.name, case.action).await else { continue };
        mongod.fail(&[case.command], case.mode, case.how).await;
        let told = bench.act(&act).await;
        mongod.fail(&[case.command], "off", doc! {}).await;
        bench.conclude(&act, &told).await;
    }
    bench.end().await;
}
