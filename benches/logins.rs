//! Do logins slow the others down? Requests of one kind at a fixed rate, with and without clients that log in without
//! a pause, alternating; `make bench` prints the ratio of their latencies.
//!
//! The rate is fixed and each request's time counts from the moment when it was due, so that a server that stalls
//! cannot hide it by receiving fewer requests.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on says why"
)]
#![expect(clippy::disallowed_methods, reason = "it shares the tests' support, which looks at MongoDB by itself")]

#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use support::mongo::Mongod;
use support::process::Tenantry;
use support::server::{PASSWORD, SECRET};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

/// How long one measurement takes.
const MEASURED_FOR: Duration = Duration::from_secs(8);
/// The rate of the requests that are measured.
const REQUESTS_A_SECOND: u64 = 200;
/// How many clients log in without a pause.
const LOGIN_CLIENTS: usize = 16;
/// How often each measurement is made, with and without logins in turn.
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let mongod = Mongod::started().await;
    let uri = mongod.uri();
    let settings = [
        ("MONGO_URI", uri.as_str()),
        ("JWT_SECRET", SECRET),
        ("PORT", "0"),
        ("LOGIN_ATTEMPTS_PER_MINUTE", "1000000"),
        ("RUST_LOG", "info"),
    ];
    let server = Tenantry::new(&["serve"], &settings).start();
    support::eventually("it listens", async || server.url().is_some()).await;
    let (client, url) = (Client::new(), server.url().expect("an address"));
    let create = format!(r#"{{"organization_name":"acme","email":"a@example.com","password":"{PASSWORD}"}}"#);
    support::eventually("an organization is made", async || {
        let request = client.post(format!("{url}/org/create")).header("content-type", "application/json");
        request.body(create.clone()).send().await.is_ok_and(|answer| answer.status() == 201)
    })
    .await;

    println!(
        "{REQUESTS_A_SECOND} requests a second, {LOGIN_CLIENTS} clients logging in, bcrypt cost 12, medians of {ROUNDS}\n"
    );
    println!("| call | alone p50 | alone p99 | with logins p50 | with logins p99 | p99 ratio | logins/s |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for path in ["/health/live", "/org/get?organization_name=acme"] {
        let (mut alone, mut loaded, mut logins) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            alone.push(measure(&client, &format!("{url}{path}")).await);
            let load = Load::start(&url);
            loaded.push(measure(&client, &format!("{url}{path}")).await);
            logins.push(load.stop().await);
        }
        let (alone, loaded) = (medians(&mut alone), medians(&mut loaded));
        logins.sort_unstable_by(f64::total_cmp);
        println!(
            "| {path} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} | {:.1} |",
            alone.0,
            alone.1,
            loaded.0,
            loaded.1,
            loaded.1 / alone.1,
            logins[ROUNDS / 2],
        );
    }
}

/// The median and the 99th percentile of the latency, in milliseconds.
async fn measure(client: &Client, url: &str) -> (f64, f64) {
    let mut due = interval(Duration::from_micros(1_000_000 / REQUESTS_A_SECOND));
    let mut requests = JoinSet::new();
    let end = Instant::now() + MEASURED_FOR;
    while Instant::now() < end {
        let was_due = due.tick().await;
        let request = client.get(url).send();
        requests.spawn(async move {
            let answer = request.await.expect("an answer");
            assert_eq!(answer.status(), 200);
            answer.bytes().await.expect("a body");
            was_due.elapsed().as_secs_f64() * 1_000.0
        });
    }
    let mut latencies = requests.join_all().await;
    latencies.sort_unstable_by(f64::total_cmp);
    (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100])
}

fn medians(measured: &mut [(f64, f64)]) -> (f64, f64) {
    measured.sort_unstable_by(|one, other| one.1.total_cmp(&other.1));
    measured[measured.len() / 2]
}

/// Clients that log in without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    started: Instant,
    clients: JoinSet<()>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (stop, done, mut clients) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), JoinSet::new());
        for _ in 0..LOGIN_CLIENTS {
            let (stop, done, url) = (stop.clone(), done.clone(), format!("{url}/admin/login"));
            clients.spawn(async move {
                let client = Client::new();
                let body = format!(r#"{{"email":"a@example.com","password":"{PASSWORD}"}}"#);
                while !stop.load(Ordering::Relaxed) {
                    let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                    match request.send().await.expect("an answer").status().as_u16() {
                        200 => drop(done.fetch_add(1, Ordering::Relaxed)),
                        503 => sleep(Duration::from_millis(50)).await,
                        other => panic!("a login was answered with {other}"),
                    }
                }
            });
        }
        Self { stop, done, started: Instant::now(), clients }
    }

    /// Stops, and says how many logins a second there were while it ran.
    async fn stop(self) -> f64 {
        let rate = f64::from(self.done.load(Ordering::Relaxed)) / self.started.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        rate
    }
}
