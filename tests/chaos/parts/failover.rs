//! Two servers under load on a replica set that keeps losing its primary.

use std::sync::Arc;
use std::time::Duration;

use crate::args::Plan;
use crate::fleet::{Fleet, Place};
use crate::load::{Load, wait_for_progress};
use crate::random::Random;
use crate::replica_set::ReplicaSet;
use crate::report::{Invariant, Tally, Violation, count};

/// Pairs of clients.
const PAIRS: usize = 4;
/// How long clients may go unserved: an election, and the driver's search for the new primary.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Fault {
    StepDown,
    Kill,
}

pub(crate) async fn run(plan: &Plan, tally: &Arc<Tally>) {
    let mut set = ReplicaSet::started().await;
    let database = set.client().await.database("chaos_failover");
    let place = Place::new(set.uri(), database);
    let fleet = Fleet::start(&place, Vec::new(), 2, tally).await;
    let load = Load::new(&fleet, tally);
    let mut random = Random::new(plan.seed);
    let clients = tokio::spawn(load.clone().run(PAIRS, random.fork()));
    let mut faults: Vec<Fault> = (0..plan.count(20, 3)).map(|_| Fault::StepDown).collect();
    faults.extend((0..plan.count(10, 2)).map(|_| Fault::Kill));
    random.shuffle(&mut faults);
    for fault in faults {
        tokio::time::sleep(Duration::from_millis(300 + random.below(1_000))).await;
        hurt(fault, &mut set, &load, tally).await;
    }
    load.stop();
    clients.await.expect("no panic");
    load.check().await;
    fleet.end().await;
}

/// One failover, and the wait until clients are served again and the set can survive another.
async fn hurt(fault: Fault, set: &mut ReplicaSet, load: &Load, tally: &Tally) {
    load.remark(&format!("{fault:?} of the primary"));
    let killed = match fault {
        Fault::StepDown => {
            set.step_down().await;
            None
        }
        Fault::Kill => {
            count(&tally.kills);
            Some(set.kill_primary().await)
        }
    };
    if !wait_for_progress(tally, LIMIT).await {
        let text = format!("nothing was acknowledged for {LIMIT:?} after {fault:?}");
        tally.violate(Violation::new(Invariant::Recovers, "the clients", text));
    }
    load.remark("clients are served again");
    if let Some(member) = killed {
        set.revive(member);
    }
    set.wait_for_all().await;
}
