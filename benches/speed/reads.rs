//! The most frequent calls, getting an organization and working with documents, against bare handlers.

use std::time::Duration;

use bson::{Document, doc};
use serde_json::json;

use crate::load::{get, in_turns, request, without_pause};
use crate::place::{CHEAP, Served, credentials, name, scattered};
use crate::report::{Goal, Report, judged};
use crate::stats::{Measured, Spread};
use crate::support::mongo::Mongod;

pub(crate) const CONNECTIONS: usize = 32;
/// One measurement: short, so that both of a pair meet the same machine, whose speed varies.
const TIME: Duration = Duration::from_millis(500);
/// Admins that send protected calls. Concurrent calls of one bearer share its lookup, so with few bearers the server would
/// send fewer commands than the bare handler.
const BEARERS: u64 = 1_000;
const ROUNDS: usize = 41;

/// A call to the server and its counterpart.
struct Compared<'a> {
    what: &'a str,
    server: &'a (dyn Fn(u64) -> Vec<u8> + 'a),
    bare: &'a (dyn Fn(u64) -> Vec<u8> + 'a),
    rate_goal: Goal,
    p99_goal: Goal,
}

const ONE_THREAD: (&str, &str) = ("TOKIO_WORKER_THREADS", "1");

pub(crate) async fn measure(report: &mut Report, mongod: &Mongod, server: &Served, orgs: u64) {
    let about = format!(
        "{orgs} organizations, {CONNECTIONS} connections without a pause, {} ms a measurement, {ROUNDS} rounds in turns. Rates in \
         requests a second, latencies in milliseconds. The bare handler sends the same number of commands.",
        TIME.as_millis()
    );
    let columns = ["call", "server", "bare handler", "ratio", "goal", "p99, server", "p99, bare", "ratio", "goal"];
    report.table("Calls against a bare handler", &about, &columns);
    let mut bearers = Vec::new();
    for number in 0..BEARERS {
        bearers.push(Bearer::of(server, number).await);
    }
    let one_of = |n: u64| &bearers[usize::try_from(scattered(n, BEARERS)).expect("small")];
    let document = document().to_string();
    let named = |path: &str, n: u64| format!("{path}?organization_name=org%20{}", scattered(n, orgs));
    let calls = [
        Compared {
            what: "`GET /org/get`",
            server: &|n| get(&named("/org/get", n), None),
            bare: &|n| get(&named("/get", n), None),
            rate_goal: Goal::AtLeast(0.9),
            p99_goal: Goal::AtMost(1.25),
        },
        Compared {
            what: "protected: read a document by id",
            server: &|n| one_of(n).read(),
            bare: &|n| one_of(n).read_bare(),
            rate_goal: Goal::AtLeast(0.85),
            p99_goal: Goal::None,
        },
        Compared {
            what: "protected: insert a document",
            server: &|n| request("POST", &one_of(n).documents, Some(&one_of(n).token), Some(&document)),
            bare: &|n| request("POST", &format!("/documents?{}", one_of(n).whose), None, Some(&document)),
            rate_goal: Goal::AtLeast(0.85),
            p99_goal: Goal::None,
        },
        Compared {
            what: "the same read, all by one bearer",
            server: &|_| one_of(0).read(),
            bare: &|_| one_of(0).read_bare(),
            rate_goal: Goal::None,
            p99_goal: Goal::None,
        },
    ];
    let bare = Served::bare(mongod, &[]).await;
    for call in &calls {
        compare(report, [server, &bare], call).await;
    }
    let with_one = Served::server(mongod, &[CHEAP, &[ONE_THREAD]].concat()).await;
    let bare = Served::bare(mongod, &[ONE_THREAD]).await;
    let of_one = Compared { what: "`GET /org/get`, one thread each", ..calls[0] };
    compare(report, [&with_one, &bare], &of_one).await;
    let what = "`GET /org/get`, the server with one thread, against the server as it is";
    let of_both = Compared { what, bare: of_one.server, rate_goal: Goal::None, p99_goal: Goal::None, ..of_one };
    compare(report, [&with_one, server], &of_both).await;
    let driver = driver_alone(mongod, orgs).await;
    report.line(&format!(
        "\nThe driver alone, without HTTP, in a process of its own with as many tasks: {driver:.0} organizations a second.",
    ));
}

/// An admin with a token and a document to read.
struct Bearer {
    token: String,
    documents: String,
    /// Tells the bare handler what the server reads in the token.
    whose: String,
}

impl Bearer {
    async fn of(server: &Served, number: u64) -> Self {
        let login = server.call("POST", "/admin/login", None, Some(credentials(number))).await;
        let id = |name: &str| login["admin"][name].as_str().expect("an id").to_owned();
        let whose = format!("admin={}&org={}", id("id"), id("organization_id"));
        let token = login["access_token"].as_str().expect("a token").to_owned();
        let documents = format!("/org/org%20{number}/documents");
        let mut read = document();
        read["_id"] = "read".into();
        server.call("POST", &documents, Some(&token), Some(read)).await;
        Self { token, documents, whose }
    }

    fn read(&self) -> Vec<u8> {
        get(&format!("{}/read", self.documents), Some(&self.token))
    }

    fn read_bare(&self) -> Vec<u8> {
        get(&format!("/documents/read?{}", self.whose), None)
    }
}

fn document() -> serde_json::Value {
    json!({ "text": "x".repeat(300), "number": 1, "flag": true })
}

async fn compare(report: &mut Report, [server, bare]: [&Served; 2], compared: &Compared<'_>) {
    let mut rounds: Vec<(Measured, Measured)> = Vec::new();
    let of_server = async || without_pause(server.address, CONNECTIONS, TIME, compared.server).await;
    let of_bare = async || without_pause(bare.address, CONNECTIONS, TIME, compared.bare).await;
    for round in 0..ROUNDS {
        rounds.push(in_turns(round, of_server, of_bare).await);
    }
    let [rate, bare_rate, ratio] = Spread::of_pairs(&rounds, |round| round.rate);
    let [p99, bare_p99, p99_ratio] = Spread::of_pairs(&rounds, |round| round.p99);
    let cells = [
        vec![compared.what.to_owned(), rate.to_string(), bare_rate.to_string()],
        judged(ratio, compared.rate_goal).to_vec(),
        vec![p99.to_string(), bare_p99.to_string()],
        judged(p99_ratio, compared.p99_goal).to_vec(),
    ];
    report.row(&cells.concat());
}

/// The argument that makes this program measure the driver alone.
pub(crate) const ARGUMENT: &str = "driver";

async fn driver_alone(mongod: &Mongod, orgs: u64) -> f64 {
    let mut command = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    command.arg(ARGUMENT).arg(mongod.uri()).arg(orgs.to_string());
    let output = command.output().await.expect("it runs");
    String::from_utf8(output.stdout).expect("a number").trim().parse().expect("a number")
}

/// Prints how many organizations per second the driver finds.
pub(crate) fn ask_by_the_driver(uri: &str, orgs: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let rates = runtime.block_on(async {
        let database = crate::bare::open(uri).await;
        let collection = database.collection::<Document>("organizations");
        let mut rates = Vec::new();
        for _ in 0..ROUNDS / 4 {
            let end = std::time::Instant::now() + TIME;
            let tasks = (0..CONNECTIONS as u64).map(|task| {
                let collection = collection.clone();
                tokio::spawn(async move {
                    let mut found = 0_u32;
                    while std::time::Instant::now() < end {
                        let slug = name(scattered(u64::from(found) * 64 + task, orgs)).replace(' ', "_");
                        let org = collection.find_one(doc! { "names": slug }).await.expect("an answer");
                        assert!(org.is_some(), "there is no such organization");
                        found += 1;
                    }
                    found
                })
            });
            let found = futures_util::future::join_all(tasks).await;
            let found: u32 = found.into_iter().map(|found| found.expect("no panic")).sum();
            rates.push(f64::from(found) / TIME.as_secs_f64());
        }
        rates
    });
    println!("{}", Spread::of(rates).median);
}
