//! Mixed traffic at 70 % of the maximum rate while MongoDB is killed and restarted. Nothing may grow, and no answer may be
//! undocumented.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::load::{Answer, Connection, get, request};
use crate::place::{CHEAP, Served, creation, credentials, name, resident, scattered};
use crate::stats::{Measured, count};
use crate::support::client::is_documented;
use crate::support::eventually;
use crate::support::mongo::Mongod;

/// The argument that starts the soak test.
pub(crate) const ARGUMENT: &str = "soak";

/// Organizations that stay.
const ORGS: u64 = 200;
/// More connections than can be busy, unless the server cannot keep up.
const CONNECTIONS: usize = 64;
/// The part of the maximum rate that is sent.
const SHARE: f64 = 0.7;
/// The traffic of one cycle. MongoDB is killed halfway through.
const CYCLE: Duration = Duration::from_secs(50);
const AWAY: Duration = Duration::from_secs(2);
/// The growth allowed after the first cycle, when everything is warm: the allocator and the pools vary.
const MORE_MEMORY: f64 = 1.15;
const MORE_FILES: f64 = 1.25;
const MORE_TASKS: f64 = 1.25;
/// The first number of an organization that comes and goes.
const PASSING: u64 = 1_000_000;

/// What the server holds when idle.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: f64,
    files: f64,
    tasks: f64,
}

/// The answers of one cycle.
#[derive(Debug, Default)]
struct Heard {
    /// Requests that were due.
    due: u32,
    latencies: Vec<Duration>,
    /// How often each status and code came.
    answers: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Runs for some cycles; false when something grew, or an answer was wrong.
pub(crate) async fn run(cycles: u32) -> bool {
    let mut mongod = Mongod::started().await;
    let server = Served::server(&mongod, CHEAP).await;
    server.make_orgs(0, ORGS).await;
    let mut tokens = Vec::new();
    for number in 0..ORGS {
        let token = server.token(number).await;
        let path = format!("/org/org%20{number}/documents");
        server.call("POST", &path, Some(&token), Some(json!({ "_id": "steady", "number": number }))).await;
        tokens.push(token);
    }
    let traffic = Traffic { tokens, sent: Cell::new(0) };
    let most = most(&server, &traffic).await;
    println!("{:.0} requests a second, {:.0}% of {most:.0}\n", most * SHARE, SHARE * 100.0);
    println!("| cycle | answered | p50, ms | p99, ms | memory, MiB | files | tasks | other answers |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let (mut held, mut is_right) = (Vec::new(), true);
    for cycle in 1..=cycles {
        let heard = RefCell::new(Heard::default());
        let (began, every) = (Instant::now(), Duration::from_secs_f64(1.0 / (most * SHARE)));
        let clients = join_all((0..CONNECTIONS).map(|_| client(&server, &traffic, &heard, began, every)));
        tokio::join!(clients, disturb(&mut mongod));
        let heard = heard.into_inner();
        let now = at_rest(&server).await;
        let (answered, others) = (heard.latencies.len(), heard.others());
        let Measured { p50, p99, .. } = Measured::of(heard.latencies, CYCLE);
        let Held { memory, files, tasks } = now;
        println!("| {cycle} | {answered} | {p50:.2} | {p99:.1} | {memory:.1} | {files} | {tasks} | {others} |");
        for wrong in heard.wrong.iter().take(5) {
            println!("WRONG: {wrong}");
        }
        is_right &= heard.wrong.is_empty();
        held.push(now);
    }
    let (first, last) = (held[0], held[held.len() - 1]);
    for (what, first, last, more) in [
        ("memory", first.memory, last.memory, MORE_MEMORY),
        ("files", first.files, last.files, MORE_FILES),
        ("tasks", first.tasks, last.tasks, MORE_TASKS),
    ] {
        println!("{what}: {first:.1} after the first cycle, {last:.1} at the end, at most {:.1}", first * more);
        is_right &= last <= first * more;
    }
    println!("{}", if is_right { "nothing grew, nothing went wrong" } else { "WRONG" });
    is_right
}

/// The maximum rate of this traffic.
async fn most(server: &Served, traffic: &Traffic) -> f64 {
    const TIME: Duration = Duration::from_secs(10);
    let (heard, began) = (RefCell::new(Heard::default()), Instant::now());
    let client = async || {
        let mut connection = Connection::open(server.address).await;
        while began.elapsed() < TIME {
            traffic.send(&mut connection, &heard, Instant::now()).await;
        }
    };
    join_all((0..CONNECTIONS / 2).map(|_| client())).await;
    let sent = usize::try_from(traffic.sent.get()).expect("small");
    count(sent) / TIME.as_secs_f64()
}

/// Kills MongoDB halfway through a cycle, and restarts it.
async fn disturb(mongod: &mut Mongod) {
    sleep(CYCLE / 2).await;
    mongod.kill();
    sleep(AWAY).await;
    mongod.start().await;
}

/// A client that sends requests when they are due.
async fn client(server: &Served, traffic: &Traffic, heard: &RefCell<Heard>, began: Instant, every: Duration) {
    let mut connection = Connection::open(server.address).await;
    loop {
        let due = began + every * heard.borrow_mut().next();
        if due >= began + CYCLE {
            return;
        }
        let early = due.saturating_duration_since(Instant::now());
        sleep(early).await;
        // A late timer is this program's fault; waiting for a connection is the server's.
        let from = if early.is_zero() { due } else { Instant::now() };
        traffic.send(&mut connection, heard, from).await;
    }
}

struct Traffic {
    tokens: Vec<String>,
    sent: Cell<u64>,
}

impl Traffic {
    /// The n-th request, of a mix of calls.
    fn plain(&self, n: u64) -> Vec<u8> {
        let number = scattered(n, ORGS);
        let token = Some(self.tokens[usize::try_from(number).expect("small")].as_str());
        let documents = format!("/org/org%20{number}/documents");
        match n % 100 {
            0..50 => get(&format!("/org/get?organization_name=org%20{number}"), None),
            50..68 => get(&format!("{documents}/steady"), token),
            68..74 => get(&format!("{documents}?limit=10"), token),
            74..88 => {
                let body = json!({ "text": "x".repeat(300), "number": n }).to_string();
                request("POST", &documents, token, Some(&body))
            }
            88..92 => {
                request("PATCH", &format!("{documents}/steady"), token, Some(&json!({ "number": n }).to_string()))
            }
            92..97 => request("POST", "/admin/login", None, Some(&credentials(number).to_string())),
            _ => {
                // Both names keep leading to it.
                let to = if n.is_multiple_of(2) { name(number) } else { format!("renamed {number}") };
                let from = name(number);
                let body = json!({ "organization_name": from, "new_organization_name": to, "keep_old_name_days": 1 });
                request("PUT", "/org/update", token, Some(&body.to_string()))
            }
        }
    }

    /// Sends the next request. One in a hundred creates an organization and deletes it again.
    async fn send(&self, connection: &mut Connection, heard: &RefCell<Heard>, due: Instant) {
        let n = self.sent.replace(self.sent.get() + 1);
        if n % 100 != 99 {
            let request = self.plain(n);
            hear(connection, heard, &request, due).await;
            return;
        }
        let number = PASSING + n;
        hear(connection, heard, &creation(number), due).await;
        let login = request("POST", "/admin/login", None, Some(&credentials(number).to_string()));
        let answer = hear(connection, heard, &login, Instant::now()).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(token) = answer["access_token"].as_str() {
            let path = format!("/org/delete?organization_name={}", name(number).replace(' ', "%20"));
            hear(connection, heard, &request("DELETE", &path, Some(token), None), Instant::now()).await;
        }
    }
}

/// Sends a request that was due at some time, and records the answer.
async fn hear(connection: &mut Connection, heard: &RefCell<Heard>, request: &[u8], due: Instant) -> Answer {
    let answer = connection.send(request).await;
    heard.borrow_mut().note(request, &answer, due.elapsed());
    answer
}

impl Heard {
    /// The number of the next request.
    fn next(&mut self) -> u32 {
        self.due += 1;
        self.due - 1
    }

    fn note(&mut self, request: &[u8], answer: &Answer, time: Duration) {
        self.latencies.push(time);
        let line = String::from_utf8_lossy(request);
        let mut words = line.split([' ', '?']);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default();
        if answer.status >= 300 {
            *self.answers.entry(format!("{} {code}", answer.status)).or_default() += 1;
        }
        let is_known = is_documented(method, path, answer.status);
        let is_temporary = answer.status == 503 && answer.says_when;
        if !is_known || (answer.status >= 500 && !is_temporary) {
            self.wrong.push(format!("{method} {path} was answered {} {code}", answer.status));
        }
    }

    fn others(&self) -> String {
        self.answers.iter().map(|(answer, times)| format!("{answer}: {times}")).collect::<Vec<_>>().join(", ")
    }
}

async fn at_rest(server: &Served) -> Held {
    eventually("the server is at rest", async || gauge(server, "http_requests_running").await <= 1.0).await;
    // The gauge of tasks is set every few seconds.
    sleep(Duration::from_secs(6)).await;
    let process = server.process_id();
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("Linux, and it runs").count();
    Held { memory: resident(process), files: count(files), tasks: gauge(server, "tokio_alive_tasks").await }
}

/// The value of a metric that has no labels.
async fn gauge(server: &Served, name: &str) -> f64 {
    let metrics = Connection::open(server.address).await.ask(&get("/metrics", None)).await;
    let metrics = String::from_utf8(metrics).expect("text");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.expect("a metric").parse().expect("a number")
}
