//! bcrypt is what a login costs, and what it must not cost the others.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::load::{Connection, get, paced, request, without_pause};
use crate::place::{Served, creation, credentials, scattered};
use crate::reads::CONNECTIONS;
use crate::report::{Goal, Report, judged};
use crate::stats::{Measured, Spread, count};
use crate::support::mongo::Mongod;

/// The admin who logs in: of an organization whose password has the usual cost.
const NUMBER: u64 = 1_000_000;
/// The usual cost.
const COST: u32 = 12;
/// How many clients log in without a pause.
const CLIENTS: usize = 16;
/// How long one measurement takes.
const TIME: Duration = Duration::from_secs(8);
/// How often each is made, in turns.
const ROUNDS: usize = 5;

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
    for _ in 0..ROUNDS {
        let limit = bcrypts(&hash, cores);
        let login = |_| request("POST", "/admin/login", None, Some(&body));
        rounds.push((without_pause(server.address, CLIENTS, TIME, login).await.rate, limit));
    }
    let of = |number: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(number)).to_string();
    let cells = [of(|round| round.0), of(|round| round.1)];
    let ratio = Spread::of_ratios(rounds.iter().copied());
    report.row(&[cells.as_slice(), &judged(ratio, Goal::AtLeast(0.95))].concat());
}

/// How many so many threads check in a second.
fn bcrypts(hash: &str, threads: usize) -> f64 {
    /// How many each of them checks.
    const TIMES: usize = 20;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    assert!(bcrypt::verify("a password", hash).expect("a hash"), "it is the password");
                }
            });
        }
    });
    count(threads * TIMES) / began.elapsed().as_secs_f64()
}

/// What the others feel of it.
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
    for _ in 0..ROUNDS {
        let alone = paced(server.address, most / 10.0, TIME, find).await;
        let stop = Cell::new(false);
        let gets = async {
            let measured = paced(server.address, most / 10.0, TIME, find).await;
            stop.set(true);
            measured
        };
        let (loaded, logins) = tokio::join!(gets, log_in_until(server, &stop));
        rounds.push((alone, loaded));
        rates.push(logins);
    }
    let spread = |number: fn(&(Measured, Measured)) -> f64| Spread::of(rounds.iter().map(number)).to_string();
    let ratio = Spread::of_ratios(rounds.iter().map(|(alone, loaded)| (loaded.p99, alone.p99)));
    let latencies = [
        spread(|round| round.0.p50),
        spread(|round| round.1.p50),
        spread(|round| round.0.p99),
        spread(|round| round.1.p99),
    ];
    let logins = [Spread::of(rates).to_string()];
    report.row(&[latencies.as_slice(), &judged(ratio, Goal::AtMost(3.0)), &logins].concat());
}

/// Logs in without a pause; gives how many there were in a second.
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
