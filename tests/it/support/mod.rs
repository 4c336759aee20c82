//! Test support: a mongod ([`mongo`]), servers ([`server`]), calls and answers ([`client`]), and the real binary as a
//! process ([`process`]).

pub(crate) mod client;
pub(crate) mod mongo;
pub(crate) mod process;
pub(crate) mod server;

use std::time::{Duration, Instant};

use mongodb::Database;
use tenantry::repo::{Databases, Repos};
use tenantry::timings::Timings;

pub(crate) use client::Answer;
pub(crate) use server::{PASSWORD, Server, Tenant};

/// How long the tests' servers wait for each other. They look for work far more often than usual, but give each other
/// the usual time to finish it.
pub(crate) fn timings() -> Timings {
    Timings { reconcile_every: Duration::from_millis(200), ..Timings::default() }
}

/// The same, with leases short enough to wait out, and long enough that slow machines do not overtake a working server.
pub(crate) fn short_leases() -> Timings {
    let (lease, catalog_command) = (Duration::from_secs(3), Duration::from_secs(1));
    Timings { lease, catalog_command, ..timings() }
}

/// The repositories on a database, as the servers use them.
pub(crate) fn repos(database: &Database) -> Repos {
    Repos::new(&Databases::both(database), timings())
}

/// Whether the server at this address says that it is ready.
pub(crate) async fn is_ready(client: &reqwest::Client, url: &str) -> bool {
    let answer = client.get(format!("{url}/health/ready")).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// Polls until it is so, and fails after a time in which only a bug could keep it waiting.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
