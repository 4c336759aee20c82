//! What the tests stand on: a mongod ([`mongo`]), servers ([`server`]), calls and their answers ([`client`]), and the
//! real binary as a process ([`process`]).

pub(crate) mod client;
pub(crate) mod mongo;
pub(crate) mod process;
pub(crate) mod server;

use std::time::{Duration, Instant};

pub(crate) use client::Answer;
pub(crate) use server::{PASSWORD, Server, Tenant};

/// Whether the server at this address says that it is ready.
pub(crate) async fn is_ready(client: &reqwest::Client, url: &str) -> bool {
    let answer = client.get(format!("{url}/health/ready")).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// Asks again until it is so, for at most so long that something must be broken.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so().await {
        assert!(Instant::now() < deadline, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
