//! Logins cost bcrypt, and must cost the other calls nothing.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::load::{Connection, get, in_turns, paced, request, without_pause};
use crate::place::{Served, creation, credentials, scattered};
use crate::reads::CONNECTIONS;
use crate::report::{Goal, Report, judged};
use crate::stats::{Spread, count};
use crate::support::mongo::Mongod;

/// The organization whose admin logs in.
const NUMBER: u64 = 1_000_000;
/// The default cost.
const COST: u32 = 12;
const CLIENTS: usize = 16;
/// One measurement.
const TIME: Duration = Duration::from_secs(8);
const ROUNDS: usize = 7;

pub(crate) async fn measure(report: &mut Report, mongod: &Mongod, orgs: u64) {
    let server = Served::server(mongod, &[]).await;
    Connection::open(server.address).await.ask(&creation(NUMBER)).await;
    rate(report, &server).await;
    others(report, &server, orgs).await;
}

async fn rate(report: &mut Report, server: &Served) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let about = format!(
        "{CLIENTS} clients without a pause, bcrypt cost {COST}, {} s a measurement, {ROUNDS} rounds in turns. The limit is what \
         {cores} threads that do nothing but bcrypt do in a second, with nothing else on the machine.",
        TIME.as_secs()
    );
    report.table("Logins against bcrypt", &about, &["logins a second", "bcrypts a second", "ratio", "goal"]);
    let body = credentials(NUMBER).to_string();
    let hash = bcrypt::hash("a password", COST).expect("a hash");
    let mut rounds = Vec::new();
    let login = |_| request("POST", "/admin/login", None, Some(&body));
    let measured = async || without_pause(server.address, CLIENTS, TIME, login).await.rate;
    for round in 0..ROUNDS {
        rounds.push(in_turns(round, measured, async || bcrypts(&hash, cores)).await);
    }
    let [logins, limit, ratio] = Spread::of_pairs(&rounds, |rate| rate);
    let cells = [logins.to_string(), limit.to_string()];
    report.row(&[cells.as_slice(), &judged(ratio, Goal::AtLeast(0.95))].concat());
}

/// Checks per second of this many threads together.
fn bcrypts(hash: &str, threads: usize) -> f64 {
    const TIMES: usize = 20;
    let check = || {
        let began = Instant::now();
        for _ in 0..TIMES {
            assert!(bcrypt::verify("a password", hash).expect("a hash"), "it is the password");
        }
        count(TIMES) / began.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(check)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    })
}

/// What other calls feel of logins.
async fn others(report: &mut Report, server: &Served, orgs: u64) {
    let find = |n: u64| get(&format!("/org/get?organization_name=org%20{}", scattered(n, orgs)), None);
    let most = without_pause(server.address, CONNECTIONS, TIME / 2, find).await.rate;
    let about = format!(
        "`GET /org/get` at a tenth of the most that there can be ({:.0} a second), alone and while {CLIENTS} clients log in without \
         a pause; {} s a measurement, {ROUNDS} rounds in turns.",
        most / 10.0,
        TIME.as_secs()
    );
    let columns =
        ["p50, alone", "p50, with logins", "p99, alone", "p99, with logins", "ratio of p99", "goal", "logins a second"];
    report.table("Gets while others log in", &about, &columns);
    let (mut rounds, mut rates) = (Vec::new(), Vec::new());
    let alone = async || paced(server.address, most / 10.0, TIME, find).await;
    for round in 0..ROUNDS {
        let loaded = async || {
            let stop = Cell::new(false);
            let gets = async {
                let measured = alone().await;
                stop.set(true);
                measured
            };
            let (loaded, logins) = tokio::join!(gets, log_in_until(server, &stop));
            rates.push(logins);
            loaded
        };
        rounds.push(in_turns(round, loaded, alone).await);
    }
    let [p50, p50_alone, _] = Spread::of_pairs(&rounds, |round| round.p50);
    let [p99, p99_alone, ratio] = Spread::of_pairs(&rounds, |round| round.p99);
    let latencies = [p50_alone, p50, p99_alone, p99].map(|latency| latency.to_string());
    let logins = [Spread::of(rates).to_string()];
    report.row(&[latencies.as_slice(), &judged(ratio, Goal::AtMost(3.0)), &logins].concat());
}

/// Logs in without a pause, and returns logins per second.
async fn log_in_until(server: &Served, stop: &Cell<bool>) -> f64 {
    let login = request("POST", "/admin/login", None, Some(&credentials(NUMBER).to_string()));
    let (done, began) = (Cell::new(0), Instant::now());
    let client = async || {
        let mut connection = Connection::open(server.address).await;
        while !stop.get() {
            connection.ask(&login).await;
            done.set(done.get() + 1);
        }
    };
    join_all((0..CLIENTS).map(|_| client())).await;
    count(done.get()) / began.elapsed().as_secs_f64()
}
