//! The processes that are measured: mongods, servers, and the bare program.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bson::Document;
use mongodb::Collection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bare::{ARGUMENT, DATABASE};
use crate::load::{Connection, request, so_often};
use crate::support::mongo::Mongod;
use crate::support::server::{PASSWORD, SECRET};

/// Organizations that are created at once.
const MAKERS: usize = 16;
/// How long a process may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A process that serves HTTP; killed when it is dropped.
pub(crate) struct Served {
    process: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it was ready.
    pub(crate) took: Duration,
    _directory: TempDir,
}

/// Extra settings of a server.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_tenantry");

/// Makes a command run the server with these settings, and none of this program's environment.
pub(crate) fn as_server(command: &mut Command, mongod: &Mongod, settings: Settings<'_>) {
    command.arg("serve").env_clear();
    command.envs([("MONGO_URI", mongod.uri().as_str()), ("MASTER_DB_NAME", DATABASE), ("JWT_SECRET", SECRET)]);
    command.envs([("PORT", "0"), ("MAX_ORGANIZATIONS", "1000000")]);
    // All clients are in one network.
    let rates = ["LOGIN_ATTEMPTS_PER_MINUTE", "CREATIONS_PER_MINUTE", "UNKNOWN_NAMES_PER_MINUTE"];
    command.envs(rates.map(|rate| (rate, "1000000000")));
    command.envs(settings.iter().copied());
}

/// bcrypt's lowest cost, where hashing is not measured.
pub(crate) const CHEAP: Settings<'static> = &[("SALT_ROUNDS", "4")];

impl Served {
    /// The server, as operators run it; its log goes to a file.
    pub(crate) async fn server(mongod: &Mongod, settings: Settings<'_>) -> Self {
        let mut command = Command::new(SERVER);
        as_server(&mut command, mongod, settings);
        Self::start(command, "/health/ready").await
    }

    /// The bare program, which is this one in another role.
    pub(crate) async fn bare(mongod: &Mongod, settings: Settings<'_>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(ARGUMENT).arg(mongod.uri()).envs(settings.iter().copied());
        Self::start(command, "/ready").await
    }

    /// Any program that prints `address=…` to standard error.
    pub(crate) async fn start(mut command: Command, ready_path: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let file = std::fs::File::create(&log).expect("a file");
        let began = Instant::now();
        let process = command.current_dir(directory.path()).stdout(Stdio::null()).stderr(file).spawn();
        let process = process.expect("it runs");
        let address = loop {
            let text = std::fs::read_to_string(&log).expect("its log");
            // The line may not be complete yet.
            let line = text.split_once("address=").and_then(|(_, rest)| rest.split_once([' ', '\n']));
            if let Some((address, _)) = line {
                break address.parse().expect("an address");
            }
            assert!(began.elapsed() < START_LIMIT, "it does not listen: {text}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let mut connection = Connection::open(address).await;
        while connection.send(&crate::load::get(ready_path, None)).await.status != 200 {
            assert!(began.elapsed() < START_LIMIT, "it does not become ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { process, address, took: began.elapsed(), _directory: directory }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// A call that must succeed.
    pub(crate) async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string());
        let mut connection = Connection::open(self.address).await;
        let answer = connection.ask(&request(method, path, token, body.as_deref())).await;
        if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).expect("JSON") }
    }

    /// Creates organizations `org <from>` to `org <to - 1>`.
    pub(crate) async fn make_orgs(&self, from: u64, to: u64) {
        so_often(self.address, MAKERS, to - from, |n| creation(from + n)).await;
    }

    /// Deletes organizations `org <from>` to `org <to - 1>`.
    pub(crate) async fn delete_orgs(&self, from: u64, to: u64) {
        for number in from..to {
            let token = self.token(number).await;
            let path = format!("/org/delete?organization_name=org%20{number}");
            self.call("DELETE", &path, Some(&token), None).await;
        }
    }

    pub(crate) async fn token(&self, number: u64) -> String {
        let answer = self.call("POST", "/admin/login", None, Some(credentials(number))).await;
        answer["access_token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Fails only if the process is already gone.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A mongod that can hold many collections, each of which takes two files. Where this machine does not allow enough of them,
/// it closes idle ones sooner.
pub(crate) async fn mongod() -> Mongod {
    /// As recommended by MongoDB's documentation.
    const FILES: u64 = 64_000;
    const THRIFTY: &str = "--replSet rs0 \
        --wiredTigerEngineConfigString=file_manager=(close_idle_time=20,close_scan_interval=5,close_handle_minimum=500)";
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum.map(|most| most.min(FILES)).or(Some(FILES));
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("up to the maximum");
    let is_enough = limit.current.is_none_or(|limit| limit >= FILES);
    let mut mongod = Mongod::stopped_with(if is_enough { "--replSet rs0" } else { THRIFTY });
    mongod.start().await;
    mongod
}

/// A collection, accessed directly.
pub(crate) async fn collection(mongod: &Mongod, name: &str) -> Collection<Document> {
    mongod.client().await.database(DATABASE).collection(name)
}

/// The request that creates the n-th organization.
pub(crate) fn creation(number: u64) -> Vec<u8> {
    let mut body = credentials(number);
    body["organization_name"] = name(number).into();
    request("POST", "/org/create", None, Some(&body.to_string()))
}

pub(crate) fn credentials(number: u64) -> Value {
    json!({ "email": format!("admin{number}@example.com"), "password": PASSWORD })
}

pub(crate) fn name(number: u64) -> String {
    format!("org {number}")
}

/// A pseudo-random number below `below`, the same for the same `n`.
pub(crate) fn scattered(n: u64, below: u64) -> u64 {
    // The multiplier of Knuth's hash.
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % below
}

/// A process's resident memory, in MiB (Linux).
pub(crate) fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux, and it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1_024.0
}
