//! A server stalls past its lease before and after each step of each kind of change. Another one ends the change, and a
//! client undoes or repeats it. Then the first server wakes and sends what it was about to send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::Plan;
use crate::client::Told;
use crate::fleet::{LEASE, Settings};
use crate::history::{Life, SharedRecord};
use crate::load::check_usable;
use crate::parts::sweep::{Point, SHORT_SHARE, learn, run_all};
use crate::report::{Invariant, Tally, count};
use crate::scenario::{ATTEMPTS, HELPER, REACH_LIMIT, Scenario, Stage, THIRD, VICTIM};
use crate::support::mongo::Mongod;

/// How long a client tries to undo the change before the zombie wakes: well within the cooling time.
const UNDO_TIME: Duration = Duration::from_millis(800);
/// How long a server that woke may work without logging.
const SILENT_WORK: Duration = Duration::from_secs(2);
/// The change must become undoable within this time.
const UNDO_LIMIT: Duration = Duration::from_secs(15);

/// The changes whose repetition overtakes the first attempt, which finishes first anyway.
const OVERTAKEN: [Scenario; 6] = [
    Scenario::Create,
    Scenario::Rename,
    Scenario::RenameWithCredentials,
    Scenario::Delete,
    Scenario::SoftDelete,
    Scenario::Restore,
];

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    let mongod = Arc::new(Mongod::started().await);
    let points = learn(plan, &mongod, tally).await;
    let mut cases = Vec::new();
    for (scenario, points) in points {
        let movers = points.iter().filter(|point| point.name.ends_with("move-collection.before"));
        let has_way_back = scenario.refusal().is_none() && scenario.can_be_undone();
        let oversleepers = movers.filter(|_| has_way_back);
        cases.extend(oversleepers.map(|point| Case::Stall(scenario, point.clone(), Wakes::AfterCooling)));
        cases.extend(points.iter().map(|point| Case::Stall(scenario, point.clone(), Wakes::WhileCooling)));
    }
    plan.choose(&mut cases, SHORT_SHARE);
    let overtaken = OVERTAKEN.into_iter().filter(|scenario| plan.includes(&format!("{scenario:?}")));
    cases.extend(overtaken.map(Case::FirstIsFaster));
    if plan.includes("Rename") {
        cases.push(Case::RepetitionIsRefused);
    }
    run_all(cases, tally, |case| try_case(case, mongod.clone(), tally.clone())).await;
}

#[derive(Debug)]
enum Case {
    /// A server stalls at this point.
    Stall(Scenario, Point, Wakes),
    /// See [`overtake`].
    FirstIsFaster(Scenario),
    /// See [`overtake_refused`].
    RepetitionIsRefused,
}

async fn try_case(case: Case, mongod: Arc<Mongod>, tally: Arc<Tally>) {
    match case {
        Case::Stall(scenario, point, wakes) => {
            let mut stage = Stage::new(scenario, &mongod, &Vec::new(), &tally).await;
            stall(&mut stage, &point, wakes).await;
        }
        Case::FirstIsFaster(scenario) => overtake(&mongod, scenario, &tally).await,
        Case::RepetitionIsRefused => overtake_refused(&mongod, &tally).await,
    }
}

/// The case that the cooling time is for: another server moved the collection, the client moved it back, and the first
/// server's late command moves it again.
pub(crate) async fn late_move(settings: Settings, tally: &Arc<Tally>) {
    let mongod = Mongod::started().await;
    let passed = vec!["rename.begin.after".to_owned()];
    let point = Point { name: "rename.move-collection.before".to_owned(), nth: 1, passed };
    let mut stage = Stage::new(Scenario::Rename, &mongod, &settings, tally).await;
    stall(&mut stage, &point, Wakes::WhileCooling).await;
}

/// The first attempt stalls once it has its key, the client repeats it on another server, and the first one wakes before the
/// second has begun. The change is made once, and both are told so.
async fn overtake(mongod: &Mongod, scenario: Scenario, tally: &Arc<Tally>) {
    count(&tally.cases);
    count(&tally.stalls);
    let before = tally.violations().len();
    let mut stage = Stage::new(scenario, mongod, &Vec::new(), tally).await;
    stage.record.lock().remark(&format!("{scenario:?} is repeated, and the first attempt is faster"));
    stage.prepare().await;
    let mut asked = Vec::new();
    for (slot, point) in [(VICTIM, "key.claim.after"), (THIRD, "key.renumber.after")] {
        stage.fleet.start_in(slot, &[("CHAOS_STOP_AT", point.to_owned())]).await;
        asked.push((slot, tokio::spawn(stage.request_of(slot, &stage.record, 1))));
        if !stage.fleet.stands_still(slot, REACH_LIMIT).await {
            stage.violate(Invariant::Guarded, format!("{point} was not reached"));
        }
    }
    for (slot, asked) in asked {
        stage.record.lock().remark(&format!("server {slot} goes on"));
        stage.fleet.go_on(slot).await;
        must(&stage, "one of two attempts", &asked.await.expect("no panic"));
    }
    stage.settle(true);
    stage.check("after both").await;
    check_usable(&stage.client(HELPER), &stage.record).await;
    stage.end(before).await;
}

/// The first attempt stalls once it has its key, and its repetition is refused because somebody has the name for a while. If
/// the first one succeeds later, the client that asks again is told so.
async fn overtake_refused(mongod: &Mongod, tally: &Arc<Tally>) {
    count(&tally.cases);
    count(&tally.stalls);
    let before = tally.violations().len();
    let mut stage = Stage::new(Scenario::Rename, mongod, &Vec::new(), tally).await;
    stage.record.lock().remark("the repetition is refused, and the first attempt wakes");
    stage.prepare().await;
    stage.fleet.start_in(VICTIM, &[("CHAOS_STOP_AT", "key.claim.after".to_owned())]).await;
    let asked = tokio::spawn(stage.request_of(VICTIM, &stage.record, 1));
    if !stage.fleet.stands_still(VICTIM, REACH_LIMIT).await {
        stage.violate(Invariant::Guarded, "the key was not reached".to_owned());
    }
    let (client, rival) = (stage.client(HELPER), SharedRecord::new("rival", "after"));
    stage.others.push(rival.clone());
    must(&stage, "a rival", &client.create(&rival, ATTEMPTS).await);
    // A copy keeps the key, which the client would give up after the refusal.
    let later = stage.record.copy();
    let told = stage.request_of(HELPER, &stage.record, ATTEMPTS).await;
    if !told.is_refused_as("new_name_taken") {
        stage.violate(Invariant::Answers, format!("the name is taken, but the repetition is told: {told}"));
    }
    client.log_in(&rival).await;
    must(&stage, "the rival goes", &client.delete(&rival, ATTEMPTS).await);
    stage.fleet.go_on(VICTIM).await;
    must(&stage, "the first attempt", &asked.await.expect("no panic"));
    must(&stage, "the same once more", &stage.request_of(HELPER, &later, ATTEMPTS).await);
    stage.settle(true);
    stage.check("at last").await;
    stage.end(before).await;
}

/// When a zombie wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wakes {
    /// While the names that its change gave up still cool down.
    WhileCooling,
    /// When a client has them again: longer than any server may stall at this point.
    AfterCooling,
}

async fn stall(stage: &mut Stage, point: &Point, wakes: Wakes) {
    count(&stage.tally.cases);
    count(&stage.tally.stalls);
    let (scenario, before) = (stage.scenario, stage.tally.violations().len());
    stage.record.lock().remark(&format!("{scenario:?}, stops at {}, wakes {wakes:?}", point.order()));
    stage.prepare().await;
    let disturbed_at = scenario.interrupted_at().filter(|at| point.passed.iter().any(|passed| passed == at));
    let stops: Vec<String> = disturbed_at.map(ToOwned::to_owned).into_iter().chain([point.order()]).collect();
    stage.start_victim(&vec![("CHAOS_STOP_AT", stops.join(","))]).await;
    stage.provoke().await;
    let is_recorded = scenario.is_recorded(&point.passed);
    // Once the change has ended, the answer to the zombie's own client must not blur what is known.
    let asking = if is_recorded { stage.record.copy() } else { stage.record.clone() };
    let asked = scenario.is_asked_for().then(|| tokio::spawn(stage.request_of(VICTIM, &asking, 1)));
    if disturbed_at.is_some() && stage.fleet.stands_still(VICTIM, REACH_LIMIT).await {
        stage.disturb().await;
        stage.fleet.go_on(VICTIM).await;
    }
    if !stage.fleet.stands_still(VICTIM, REACH_LIMIT).await {
        stage.violate(Invariant::Guarded, format!("{} was not reached", point.order()));
    }
    if !scenario.is_asked_for() {
        stage.fleet.restart(HELPER).await;
    }
    stage.fleet.go_on(HELPER).await;
    // The stall itself.
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    let is_made = scenario.is_made(&point.passed);
    if is_recorded {
        stage.settle(is_made);
        stage.check("after another server resumed").await;
    }
    let is_repeated = is_repeated(scenario, point, is_recorded);
    if is_repeated {
        repeat(stage).await;
    } else {
        stage.record.lock().give_up_intent();
        let undo_time = if wakes == Wakes::AfterCooling { UNDO_LIMIT } else { UNDO_TIME };
        meanwhile(stage, is_recorded, is_made, undo_time).await;
    }
    stage.record.lock().remark("the zombie wakes");
    let said = stage.fleet.log(VICTIM).await.len();
    stage.fleet.go_on(VICTIM).await;
    if let Some(asked) = asked {
        let told = asked.await.expect("no panic");
        stage.record.lock().note("the zombie's client", &told);
        judge(stage, is_recorded, is_made, &told);
        if is_repeated && told.is_done() {
            stage.violate(Invariant::Answers, "the repetition succeeded, and then the first attempt too".to_owned());
        }
    } else {
        hear_of_it(stage, said).await;
    }
    if wakes == Wakes::AfterCooling && !is_mended(stage).await {
        return stage.fleet.end().await;
    }
    stage.check("after the zombie").await;
    if is_to_be_undone(stage, is_made) {
        undo(stage, UNDO_LIMIT, true).await;
    }
    stage.clear_the_way().await;
    stage.check("at last").await;
    for record in stage.records() {
        check_usable(&stage.client(HELPER), &record).await;
    }
    stage.end(before).await;
}

/// Waits until a server that works on its own logs its result, or has had enough time to finish silently.
async fn hear_of_it(stage: &Stage, said: usize) {
    let deadline = Instant::now() + SILENT_WORK;
    while Instant::now() < deadline {
        let log = stage.fleet.log(VICTIM).await;
        if log.get(said..).is_some_and(|news| news.contains("abandoned change")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A zombie that slept longer than names cool down may move a collection. Its documents stay usable, and the doctor puts it
/// back; false when there is no doctor.
async fn is_mended(stage: &Stage) -> bool {
    check_usable(&stage.client(HELPER), &stage.record).await;
    stage.place.mend().await
}

/// The zombie's client must be told the truth.
fn judge(stage: &Stage, is_recorded: bool, is_made: bool, told: &Told) {
    let is_false = is_recorded
        && match told {
            Told::Done(_) => !is_made,
            Told::Refused(_) | Told::Later(_) => is_made,
            Told::Unknown(_) | Told::Silence => false,
        };
    if is_false {
        stage.violate(Invariant::Answers, format!("made: {is_made}, but its client is told: {told}"));
    }
}

/// Whether the change was made, can be undone, and was not undone yet.
fn is_to_be_undone(stage: &Stage, is_made: bool) -> bool {
    let (scenario, record) = (stage.scenario, stage.record.lock());
    let is_undone = if scenario.renames() {
        record.shape.is_certainly(&stage.shape_before())
    } else if scenario.restores() {
        record.life.is_certainly(&Life::PutAway)
    } else {
        record.life.is_certainly(&Life::Live)
    };
    is_made && scenario.can_be_undone() && !is_undone
}

/// Whether the client repeats its request on the other server, with the same key, before any of it is recorded. For a
/// creation that has done more than claim its key, others take the name instead.
fn is_repeated(scenario: Scenario, point: &Point, is_recorded: bool) -> bool {
    let is_first = !scenario.creates() || point.name.starts_with("key.");
    !is_recorded && is_first && scenario.is_asked_for() && scenario.refusal().is_none()
}

/// Repeats the change and undoes it, so that the zombie's work would be once too often.
async fn repeat(stage: &mut Stage) {
    must(stage, "the same again", &stage.request_of(HELPER, &stage.record, ATTEMPTS).await);
    if stage.scenario.can_be_undone() {
        undo(stage, UNDO_LIMIT, true).await;
    }
}

/// What clients do on the other server while the zombie is stopped.
async fn meanwhile(stage: &mut Stage, is_recorded: bool, is_made: bool, undo_time: Duration) {
    let scenario = stage.scenario;
    let is_gone = stage.record.lock().life.is_certainly(&Life::Gone);
    if scenario.refusal().is_some() {
        stage.disturb().await;
    } else if is_to_be_undone(stage, is_made) {
        undo(stage, undo_time, false).await;
    } else if is_recorded && (scenario.renames() || scenario.restores()) {
        must(stage, "the same again", &stage.request_of(HELPER, &stage.record, ATTEMPTS).await);
    } else if is_gone && (is_recorded || scenario.creates()) {
        come_go_and_come(stage).await;
    }
}

fn must(stage: &Stage, what: &str, told: &Told) {
    if !told.is_done() {
        stage.violate(Invariant::Recovers, format!("{what} is told: {told}"));
    }
}

/// Undoes the change as soon as possible: not while the name or the collection that it needs cools down.
async fn undo(stage: &Stage, limit: Duration, is_demanded: bool) {
    let client = stage.client(HELPER);
    let deadline = Instant::now() + limit;
    if !stage.record.lock().life.is_certainly(&Life::PutAway) {
        client.log_in(&stage.record).await;
    }
    loop {
        let told = if stage.scenario.renames() {
            client.update(&stage.record, &stage.shape_before(), 1).await
        } else if stage.scenario.restores() {
            client.delete(&stage.record, 1).await
        } else {
            client.restore(&stage.record, 1).await
        };
        if told.is_done() {
            return;
        }
        if Instant::now() > deadline {
            if is_demanded {
                must(stage, "undoing the change", &told);
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Others take the name and the email, delete their organization, and take them again. None of them is the zombie's.
async fn come_go_and_come(stage: &mut Stage) {
    let client = stage.client(HELPER);
    for (key, stays) in [("second", false), ("third", true)] {
        // A deletion with grace keeps the admin's email.
        let is_email_free = key == "second" || !stage.scenario.keeps();
        let email = if is_email_free { stage.shape_before().email } else { format!("{key}@chaos.example") };
        let other = SharedRecord::with_email(key, "before", &email);
        stage.others.push(other.clone());
        let deadline = Instant::now() + UNDO_LIMIT;
        let mut told = client.create(&other, ATTEMPTS).await;
        while !told.is_done() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            told = client.create(&other, ATTEMPTS).await;
        }
        must(stage, "another creation", &told);
        client.log_in(&other).await;
        must(stage, "a document", &client.insert(&other, "theirs", 1).await);
        if !stays {
            must(stage, "another deletion", &client.delete(&other, ATTEMPTS).await);
        }
    }
}
