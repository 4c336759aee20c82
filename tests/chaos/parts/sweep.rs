//! A server dies at every step boundary of every kind of change. Another server, or its own restart, ends the change, and the
//! client's next attempt succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use tenantry::service::migration::Step;

use crate::args::Plan;
use crate::client::Told;
use crate::fleet::Settings;
use crate::report::{Invariant, Tally, Violation, count};
use crate::scenario::{ATTEMPTS, FREE_LIMIT, HELPER, REACH_LIMIT, Scenario, Stage, VICTIM};
use crate::support::mongo::Mongod;

/// Cases at once: they mostly wait for leases.
const AT_ONCE: usize = 8;
/// The short form runs one case in this many.
pub(crate) const SHORT_SHARE: usize = 6;

/// Which server ends the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    Restart,
    Other,
}

/// A point that a scenario passes.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) name: String,
    /// A point can be passed several times; this counts them.
    pub(crate) nth: u32,
    /// The points passed until then, this one included.
    pub(crate) passed: Vec<String>,
}

impl Point {
    /// The order that a server gets.
    pub(crate) fn order(&self) -> String {
        format!("{}#{}", self.name, self.nth)
    }
}

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    let mongod = Arc::new(Mongod::started().await);
    let points = learn(plan, &mongod, tally).await;
    if plan.only.is_empty() {
        every_step_must_be_there(&points, tally);
    }
    let mut cases = Vec::new();
    for (scenario, points) in &points {
        for point in points {
            for recovery in [Recovery::Restart, Recovery::Other] {
                cases.push((*scenario, point.clone(), recovery));
            }
        }
    }
    plan.choose(&mut cases, SHORT_SHARE);
    run_all(cases, tally, |(scenario, point, recovery)| {
        let (mongod, tally) = (mongod.clone(), tally.clone());
        async move { die(&mongod, scenario, &point, recovery, &tally).await }
    })
    .await;
}

/// Runs the cases, some at once. A panic is a violation, and ends only its own case.
pub(crate) async fn run_all<C, F>(cases: Vec<C>, tally: &Tally, run: impl Fn(C) -> F)
where
    C: std::fmt::Debug,
    F: Future<Output = ()> + Send + 'static,
{
    stream::iter(cases)
        .for_each_concurrent(AT_ONCE, |case| {
            let (name, ended) = (format!("{case:?}"), tokio::spawn(run(case)));
            async move {
                if let Err(panic) = ended.await {
                    tally.violate(Violation::new(Invariant::Broken, &name, panic.to_string()));
                }
            }
        })
        .await;
}

/// Runs every scenario undisturbed, and learns which points it passes.
pub(crate) async fn learn(plan: &Plan, mongod: &Mongod, tally: &Arc<Tally>) -> Vec<(Scenario, Vec<Point>)> {
    stream::iter(Scenario::all(plan))
        .map(async |scenario| (scenario, dry_run(scenario, mongod, tally).await))
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn dry_run(scenario: Scenario, mongod: &Mongod, tally: &Arc<Tally>) -> Vec<Point> {
    let before = tally.violations().len();
    let mut stage = Stage::new(scenario, mongod, &Settings::new(), tally).await;
    stage.prepare().await;
    let mut orders = vec![("CHAOS_TRACE", "1".to_owned())];
    orders.extend(scenario.interrupted_at().map(|point| ("CHAOS_STOP_AT", point.to_owned())));
    stage.fleet.stop(HELPER).await;
    stage.start_victim(&orders).await;
    let skipped = passed_points(&stage.fleet.log(VICTIM).await).len();
    stage.provoke().await;
    if scenario.is_asked_for() {
        let asked = ask(&stage, VICTIM);
        if scenario.interrupted_at().is_some() && stage.fleet.stands_still(VICTIM, REACH_LIMIT).await {
            stage.fleet.go_on(HELPER).await;
            stage.disturb().await;
            stage.fleet.go_on(VICTIM).await;
        }
        let told = asked.await.expect("no panic");
        let is_right = scenario.refusal().map_or(told.is_done(), |code| told.is_refused_as(code));
        if !is_right {
            stage.violate(Invariant::Broken, format!("undisturbed, it is told: {told}"));
        }
        stage.fleet.go_on(HELPER).await;
    }
    stage.clear_the_way().await;
    stage.settle(scenario.refusal().is_none() && scenario != Scenario::ResumeCreate);
    stage.check("undisturbed").await;
    let log = stage.fleet.log(VICTIM).await;
    stage.end(before).await;
    points_of(&passed_points(&log)).split_off(skipped)
}

/// The client's request, in a task of its own.
fn ask(stage: &Stage, slot: usize) -> tokio::task::JoinHandle<Told> {
    tokio::spawn(stage.request_of(slot, &stage.record, 1))
}

fn passed_points(log: &str) -> Vec<String> {
    log.lines().filter_map(|line| line.strip_prefix("chaos: passed ")).map(ToOwned::to_owned).collect()
}

fn points_of(passed: &[String]) -> Vec<Point> {
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    let mut points = Vec::new();
    for (place, name) in passed.iter().enumerate() {
        let nth = times.entry(name.clone()).or_default();
        *nth += 1;
        points.push(Point { name: name.clone(), nth: *nth, passed: passed[..=place].to_vec() });
    }
    points
}

/// Crashes at a step that no scenario reaches would go untested.
fn every_step_must_be_there(points: &[(Scenario, Vec<Point>)], tally: &Tally) {
    let reached: BTreeSet<&str> =
        points.iter().flat_map(|(_, points)| points).filter_map(|point| point.name.split('.').nth(1)).collect();
    for step in Step::ALL.iter().filter(|step| !reached.contains(step.name())) {
        tally.violate(Violation::new(Invariant::Guarded, step.name(), "no scenario reaches this step"));
    }
    for (scenario, points) in points {
        println!("  {scenario:?}: {} points", points.len());
    }
}

/// One death, the recovery, and the client's next attempt.
async fn die(mongod: &Mongod, scenario: Scenario, point: &Point, recovery: Recovery, tally: &Arc<Tally>) {
    count(&tally.cases);
    let before = tally.violations().len();
    let mut stage = Stage::new(scenario, mongod, &Vec::new(), tally).await;
    stage.record.lock().remark(&format!("{scenario:?}, dies at {}, {recovery:?}", point.order()));
    stage.prepare().await;
    let mut orders = vec![("CHAOS_KILL_AT", point.order())];
    orders.extend(scenario.interrupted_at().map(|point| ("CHAOS_STOP_AT", point.to_owned())));
    stage.start_victim(&orders).await;
    stage.provoke().await;
    let asked = scenario.is_asked_for().then(|| ask(&stage, VICTIM));
    if scenario.interrupted_at().is_some() && stage.fleet.stands_still(VICTIM, REACH_LIMIT).await {
        stage.disturb().await;
        stage.fleet.go_on(VICTIM).await;
    }
    if !stage.fleet.dies(VICTIM, REACH_LIMIT).await {
        stage.violate(Invariant::Guarded, format!("{} was not reached", point.order()));
        stage.fleet.kill(VICTIM).await;
    }
    if let Some(asked) = asked {
        asked.await.expect("no panic");
    }
    stage.disturb().await;
    recover(&mut stage, point, recovery).await;
    stage.end(before).await;
}

async fn recover(stage: &mut Stage, point: &Point, recovery: Recovery) {
    let scenario = stage.scenario;
    stage.fleet.go_on(HELPER).await;
    let slot = match recovery {
        Recovery::Restart => {
            stage.fleet.kill(HELPER).await;
            stage.fleet.restart(VICTIM).await;
            VICTIM
        }
        Recovery::Other => {
            if !scenario.is_asked_for() {
                stage.fleet.restart(HELPER).await;
            }
            HELPER
        }
    };
    let is_made = scenario.is_made(&point.passed);
    stage.settle(is_made);
    stage.check("after the recovery").await;
    let mut is_made_in_the_end = is_made;
    if scenario.is_asked_for() {
        is_made_in_the_end = try_again(stage, slot).await;
    }
    stage.clear_the_way().await;
    stage.settle(is_made_in_the_end);
    stage.check("after the next attempt").await;
    stage.check_freedom(slot, is_made_in_the_end).await;
    stage.check("after others took the names").await;
}

/// The client repeats its request with the same key: it is told how the first attempt ended, or succeeds now.
async fn try_again(stage: &Stage, slot: usize) -> bool {
    let refusal = stage.scenario.refusal();
    let is_right = |told: &Told| refusal.map_or(told.is_done(), |code| told.is_refused_as(code));
    let mut told = stage.request_of(slot, &stage.record, ATTEMPTS).await;
    let deadline = Instant::now() + FREE_LIMIT;
    // If another server undid the rename, the new name cools down even for the organization itself, which is told to retry.
    while !is_right(&told) && told.is_worth_repeating() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        told = stage.request_of(slot, &stage.record, ATTEMPTS).await;
    }
    if !is_right(&told) {
        stage.violate(Invariant::Recovers, format!("the next attempt is told: {told}"));
    }
    refusal.is_none()
}
