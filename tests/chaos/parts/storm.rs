//! Two servers under load, one of which is killed or stopped at random moments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::args::Plan;
use crate::fleet::{Fleet, LEASE, Place, Settings};
use crate::load::Load;
use crate::random::Random;
use crate::report::Tally;
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;

/// Pairs of clients.
const PAIRS: usize = 6;

enum Fault {
    Kill,
    Stall,
}

/// Once with deletions for good, once with deletions that can be undone.
pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    let mongod = Mongod::started().await;
    for grace_days in ["0", "1"] {
        rage(plan, &mongod, vec![("DELETE_GRACE_DAYS", grace_days.to_owned())], tally).await;
    }
}

async fn rage(plan: &Plan, mongod: &Mongod, settings: Settings, tally: &Arc<Tally>) {
    let place = Place::new(mongod.uri(), empty_database(mongod).await);
    let fleet = Fleet::start(&place, settings, 2, tally).await;
    let load = Load::new(&fleet, tally);
    let mut random = Random::new(plan.seed);
    let clients = tokio::spawn(load.clone().run(PAIRS, random.fork()));
    hurt(plan, &fleet, &load, &mut random).await;
    load.stop();
    clients.await.expect("no panic");
    load.check().await;
    fleet.end().await;
}

/// All faults in random order, one server at a time.
async fn hurt(plan: &Plan, fleet: &Fleet, load: &Load, random: &mut Random) {
    let began = Instant::now();
    let mut faults: Vec<Fault> = (0..plan.count(150, 12)).map(|_| Fault::Kill).collect();
    faults.extend((0..plan.count(50, 4)).map(|_| Fault::Stall));
    random.shuffle(&mut faults);
    let mut next = faults.iter().cycle();
    for n in 0.. {
        if n >= faults.len() && began.elapsed() >= plan.at_least / 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50 + random.below(700))).await;
        let slot = usize::from(random.below(2) == 0);
        match next.next() {
            Some(Fault::Kill) => {
                load.remark(&format!("server {slot} is killed"));
                fleet.kill(slot).await;
                fleet.restart(slot).await;
                load.remark(&format!("server {slot} is back"));
            }
            Some(Fault::Stall) => {
                load.remark(&format!("server {slot} is stopped"));
                fleet.stall(slot, LEASE + Duration::from_millis(500 + random.below(1_500))).await;
                load.remark(&format!("server {slot} goes on"));
            }
            None => break,
        }
    }
}
