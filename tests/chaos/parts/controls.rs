//! Servers with one protection turned off. Each control must end with violations: checks that miss these would miss anything.

use std::sync::Arc;
use std::time::Duration;

use crate::args::Plan;
use crate::fleet::{Fleet, Place, Settings};
use crate::load::Load;
use crate::parts::zombies;
use crate::random::Random;
use crate::report::{Invariant, Tally, Violation, by_invariant, count};
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;

/// Pairs of clients.
const PAIRS: usize = 4;
/// How long clients work where every second does harm.
const WORK: Duration = Duration::from_secs(4);
/// The most kills of mongod until something is lost.
const MOST_KILLS: u64 = 12;

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    if plan.includes("documents by name") {
        let found = documents_by_name(plan, tally).await;
        must_be_noticed("documents by name", &found, &[Invariant::Kept, Invariant::NoStray, Invariant::Apart], tally);
    }
    if plan.includes("no cooling time") {
        let found = no_cooling_time().await;
        must_be_noticed("no cooling time", &found, &[Invariant::InPlace], tally);
    }
    if plan.includes("w:1") {
        let (found, settings) = (Arc::new(Tally::quiet()), vec![("CHAOS_W1", "1".to_owned())]);
        killed_mongod(plan, settings, MOST_KILLS, &found).await;
        let lost = [Invariant::Kept, Invariant::LastWord, Invariant::Exists, Invariant::Gone, Invariant::InPlace];
        must_be_noticed("w:1", &found, &lost, tally);
    }
    if plan.includes("w:majority") {
        // With the protection, nothing may be lost.
        killed_mongod(plan, Vec::new(), plan.count(MOST_KILLS, 3), tally).await;
        count(&tally.cases);
    }
}

/// A control that shows none of the wanted violations is a violation itself.
fn must_be_noticed(control: &str, found: &Tally, wanted: &[Invariant], tally: &Tally) {
    let violations = found.violations();
    println!("  {control}: {}", by_invariant(&violations));
    count(&tally.cases);
    if !violations.iter().any(|violation| wanted.contains(&violation.invariant)) {
        let text = format!("not caught; found: {}", by_invariant(&violations));
        tally.violate(Violation::new(Invariant::Control, control, text));
    }
    tally.add_counts(found);
}

/// Writes documents by the collection's name alone while it is renamed.
async fn documents_by_name(plan: &Plan, tally: &Arc<Tally>) -> Arc<Tally> {
    let mongod = Mongod::started().await;
    let place = Place::new(mongod.uri(), empty_database(&mongod).await);
    let (found, settings) = (Arc::new(Tally::quiet()), vec![("CHAOS_BY_NAME", "1".to_owned())]);
    let fleet = Fleet::start(&place, settings, 2, tally).await;
    let load = Load::new(&fleet, &found);
    let clients = tokio::spawn(load.clone().run(PAIRS, Random::new(plan.seed)));
    tokio::time::sleep(WORK).await;
    load.stop();
    clients.await.expect("no panic");
    load.check().await;
    fleet.end().await;
    found
}

/// A name is free as soon as a resumed change gives it up.
async fn no_cooling_time() -> Arc<Tally> {
    let found = Arc::new(Tally::quiet());
    // Without cleaning up after zombies, either.
    let settings = vec![("CHAOS_COOLING_MS", "0".to_owned()), ("CHAOS_SCRUB_MS", "3600000".to_owned())];
    zombies::late_move(settings, &found).await;
    found
}

/// Kills and restarts a mongod under load, until something is lost or there were enough kills.
async fn killed_mongod(plan: &Plan, settings: Settings, most: u64, found: &Arc<Tally>) {
    // A standalone one is certain to lose what was not journaled.
    let mut mongod = Mongod::stopped_with("--wiredTigerCacheSizeGB 0.25");
    mongod.start().await;
    let mut random = Random::new(plan.seed);
    for _ in 0..most {
        let place = Place::new(mongod.uri(), empty_database(&mongod).await);
        let fleet = Fleet::start(&place, settings.clone(), 2, found).await;
        let load = Load::new(&fleet, found);
        let clients = tokio::spawn(load.clone().run(PAIRS, random.fork()));
        tokio::time::sleep(Duration::from_millis(1_500 + random.below(500))).await;
        count(&found.kills);
        mongod.kill();
        load.stop();
        mongod.start().await;
        clients.await.expect("no panic");
        load.check().await;
        fleet.end().await;
        if !found.violations().is_empty() {
            break;
        }
    }
}
