//! What the documents API costs over the driver alone. Each measurement stands beside one of a bare program that does the
//! same commands, in turns, in one run on one machine; `make bench` prints the ratios.
//!
//! The bare handler is the same axum and the same driver without anything else: no authorization, no validation, no
//! revisions, no log. "Both commands" is a bare handler that also asks MongoDB who the caller is, as every protected call
//! must; the difference of the two is what that second command costs.
//!
//! `cargo bench --bench documents -- bulk` measures imports and exports alone.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "it compares with the driver alone")]

#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bson::oid::ObjectId;
use bson::raw::{RawDocumentBuf, cstr};
use bson::{Document, doc};
use futures_util::StreamExt;
use mongodb::options::{Acknowledgment, ClientOptions, InsertManyOptions, WriteConcern};
use mongodb::{Client, Database};
use reqwest::Client as HttpClient;
use support::mongo::Mongod;
use support::process::{Running, Tenantry};
use support::server::{PASSWORD, SECRET};
use tokio::task::JoinSet;

/// How long one measurement of a rate takes.
const MEASURED_FOR: Duration = Duration::from_secs(4);
/// How many clients there are.
const CLIENTS: usize = 32;
/// How often each measurement is made, in turns.
const ROUNDS: usize = 5;
/// How many documents are imported and exported to measure throughput, and about how large each is.
const BULK_DOCUMENTS: u32 = 200_000;
const BULK_BYTES: usize = 500;
/// How much is imported and exported to measure memory.
const MEMORY_BYTES: usize = 1 << 30;

#[tokio::main]
async fn main() {
    let mongod = Mongod::started().await;
    let bench = Bench::start(&mongod).await;
    println!("{CLIENTS} clients, {} s a measurement, medians of {ROUNDS} (least to most)\n", MEASURED_FOR.as_secs());
    if !std::env::args().any(|argument| argument == "bulk") {
        println!("| call | server | bare, both commands | ratio | bare, one command | ratio |");
        println!("| --- | --- | --- | --- | --- | --- |");
        bench.compare_rates("insert").await;
        bench.compare_rates("read by id").await;
    }
    println!("\n| bulk, {BULK_DOCUMENTS} documents of {BULK_BYTES} bytes | server | driver | ratio |");
    println!("| --- | --- | --- | --- |");
    bench.compare_import().await;
    bench.compare_export().await;
    bench.measure_memory().await;
}

/// A server, a bare program, and the database that both use.
struct Bench {
    server: Running,
    url: String,
    token: String,
    bare_url: String,
    database: Database,
    client: HttpClient,
}

impl Bench {
    async fn start(mongod: &Mongod) -> Self {
        let uri = mongod.uri();
        let settings = [
            ("MONGO_URI", uri.as_str()),
            ("JWT_SECRET", SECRET),
            ("PORT", "0"),
            ("SALT_ROUNDS", "4"),
            ("RUST_LOG", "info"),
            ("MAX_IMPORT_BYTES", "4000000000"),
            ("REQUEST_TIMEOUT_SECONDS", "60"),
        ];
        let server = Tenantry::new(&["serve"], &settings).start();
        support::eventually("it listens", async || server.url().is_some()).await;
        // Without gzip, which would be measured instead.
        let client = HttpClient::builder().no_gzip().build().expect("a client");
        let url = server.url().expect("an address");
        support::eventually("it is ready", async || support::is_ready(&client, &url).await).await;
        let database = bare_database(&uri).await;
        let credentials = format!(r#"{{"organization_name":"bench","email":"a@example.com","password":"{PASSWORD}"}}"#);
        let post = async |path: &str, body: String| {
            let request = client.post(format!("{url}{path}")).header(header::CONTENT_TYPE, "application/json");
            let answer = request.body(body).send().await.expect("an answer");
            serde_json::from_str::<serde_json::Value>(&answer.text().await.expect("a body")).expect("JSON")
        };
        post("/org/create", credentials).await;
        let token = post("/admin/login", format!(r#"{{"email":"a@example.com","password":"{PASSWORD}"}}"#)).await;
        let id = |name: &str| ObjectId::parse_str(token["admin"][name].as_str().expect("an id")).expect("an id");
        let bare_url = serve_bare((database.clone(), (id("id"), id("organization_id")))).await;
        let token = token["access_token"].as_str().expect("a token").to_owned();
        Self { server, url, token, bare_url, database, client }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/org/bench/{rest}", self.url)
    }

    /// The same call to the server and to both bare programs.
    async fn compare_rates(&self, call: &str) {
        let id = ObjectId::new().to_hex();
        self.database
            .collection("org_bench")
            .insert_one(doc! { "_id": ObjectId::parse_str(&id).expect("an id"), "text": "x".repeat(300) })
            .await
            .expect("a document");
        let targets = match call {
            "insert" => [self.path("documents"), format!("{}/both", self.bare_url), format!("{}/one", self.bare_url)],
            _ => [
                self.path(&format!("documents/{id}")),
                format!("{}/both/{id}", self.bare_url),
                format!("{}/one/{id}", self.bare_url),
            ],
        };
        let mut rates = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for (target, rates) in targets.iter().zip(&mut rates) {
                rates.push(self.rate(target, call == "insert").await);
            }
        }
        let [server, both, one] = rates.map(Spread::of);
        println!(
            "| {call} | {server} | {both} | {:.2} | {one} | {:.2} |",
            server.median / both.median,
            server.median / one.median
        );
    }

    /// How many such requests a second are answered.
    async fn rate(&self, url: &str, is_insert: bool) -> f64 {
        let (stop, done, mut clients) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), JoinSet::new());
        for _ in 0..CLIENTS {
            let (stop, done, client) = (stop.clone(), done.clone(), self.client.clone());
            let (url, token) = (url.to_owned(), self.token.clone());
            clients.spawn(async move {
                let body = format!(r#"{{"text":"{}","number":1,"flag":true}}"#, "x".repeat(300));
                while !stop.load(Ordering::Relaxed) {
                    let request = if is_insert {
                        client.post(&url).header(header::CONTENT_TYPE, "application/json").body(body.clone())
                    } else {
                        client.get(&url)
                    };
                    let answer = request.bearer_auth(&token).send().await.expect("an answer");
                    assert!(answer.status().is_success(), "{}", answer.status());
                    answer.bytes().await.expect("a body");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(MEASURED_FOR / 4).await;
        let (before, from) = (done.load(Ordering::Relaxed), Instant::now());
        tokio::time::sleep(MEASURED_FOR).await;
        let rate = per_second(done.load(Ordering::Relaxed) - before, from.elapsed());
        stop.store(true, Ordering::Relaxed);
        clients.join_all().await;
        rate
    }

    /// An import, and the driver's `insert_many` with the same batches.
    async fn compare_import(&self) {
        let (mut server, mut driver) = (Vec::new(), Vec::new());
        let lines: String = (0..BULK_DOCUMENTS).fold(String::new(), |text, _| text + &line(BULK_BYTES));
        let lines = Bytes::from(lines);
        for _ in 0..ROUNDS {
            self.empty().await;
            let from = Instant::now();
            let inserted = self.import(reqwest::Body::from(lines.clone())).await;
            assert_eq!(inserted, u64::from(BULK_DOCUMENTS));
            server.push(per_second(inserted, from.elapsed()));

            self.empty().await;
            let collection = self.database.collection::<RawDocumentBuf>("org_bench");
            let options = InsertManyOptions::builder().ordered(false).build();
            let from = Instant::now();
            let mut next = Vec::new();
            // As the server does: the next batch is made while one is on its way.
            let mut running: Option<tokio::task::JoinHandle<_>> = None;
            for _ in 0..BULK_DOCUMENTS {
                next.push(document(BULK_BYTES));
                if next.len() == 1_000 {
                    let (collection, options, batch) = (collection.clone(), options.clone(), std::mem::take(&mut next));
                    if let Some(running) = running.take() {
                        running.await.expect("no panic");
                    }
                    running = Some(tokio::spawn(async move {
                        collection.insert_many(batch).with_options(options).await.expect("inserted");
                    }));
                }
            }
            running.expect("a batch").await.expect("no panic");
            driver.push(per_second(u64::from(BULK_DOCUMENTS), from.elapsed()));
        }
        let (server, driver) = (Spread::of(server), Spread::of(driver));
        println!("| import / `insert_many` | {server} | {driver} | {:.2} |", server.median / driver.median);
    }

    /// An export, and the driver's cursor read to its end. The collection is as the last measurement left it.
    async fn compare_export(&self) {
        let (mut server, mut driver) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let from = Instant::now();
            self.export().await;
            server.push(per_second(u64::from(BULK_DOCUMENTS), from.elapsed()));

            let collection = self.database.collection::<RawDocumentBuf>("org_bench");
            let from = Instant::now();
            let mut cursor = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("a cursor");
            let mut found = 0;
            while cursor.advance().await.expect("a document") {
                found += u64::from(!cursor.current().as_bytes().is_empty());
            }
            assert_eq!(found, u64::from(BULK_DOCUMENTS));
            driver.push(per_second(found, from.elapsed()));
        }
        let (server, driver) = (Spread::of(server), Spread::of(driver));
        println!("| export / cursor | {server} | {driver} | {:.2} |", server.median / driver.median);
    }

    /// How much the server's memory grows while 1 GB goes in and out.
    async fn measure_memory(&self) {
        self.empty().await;
        let piece = Bytes::from((0..100).fold(String::new(), |text, _| text + &line(BULK_BYTES)));
        let pieces = MEMORY_BYTES / piece.len();
        let peak = Peak::watch(self.server.process_id());
        let body = futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
        let inserted = self.import(reqwest::Body::wrap_stream(body)).await;
        let (before, after_import) = peak.stop().await;
        let peak = Peak::watch(self.server.process_id());
        let bytes = self.export().await;
        let (_, after_export) = peak.stop().await;
        println!(
            "\n{inserted} documents, {:.1} GB in and {:.1} GB out: resident memory {} MB before, at most {} MB while importing, \
             {} MB while exporting",
            gigabytes(MEMORY_BYTES),
            gigabytes(bytes),
            before >> 10,
            after_import >> 10,
            after_export >> 10,
        );
    }

    async fn empty(&self) {
        self.database.collection::<Document>("org_bench").delete_many(doc! {}).await.expect("emptied");
    }

    /// Imports; how many were inserted.
    async fn import(&self, body: reqwest::Body) -> u64 {
        let request = self.client.post(self.path("documents")).bearer_auth(&self.token);
        let answer = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(body).send().await;
        let text = answer.expect("an answer").text().await.expect("its end");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert!(last["failed"] == 0 && last.get("error").is_none(), "{last}");
        last["inserted"].as_u64().expect("a count")
    }

    /// Exports; how many bytes that were.
    async fn export(&self) -> usize {
        let answer = self.client.get(self.path("export")).bearer_auth(&self.token).send().await.expect("an answer");
        let (mut pieces, mut bytes) = (answer.bytes_stream(), 0);
        while let Some(piece) = pieces.next().await {
            bytes += piece.expect("a piece").len();
        }
        bytes
    }
}

fn document(bytes: usize) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), ObjectId::new());
    document.append(cstr!("text"), "x".repeat(bytes - 60));
    document.append(cstr!("number"), 1_234_567_i32);
    document.append(cstr!("flag"), true);
    document
}

/// The same document as JSON.
fn line(bytes: usize) -> String {
    format!("{{\"text\":\"{}\",\"number\":1234567,\"flag\":true}}\n", "x".repeat(bytes - 60))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few million")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
fn gigabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e9
}

/// Several measurements of one thing.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(mut measured: Vec<f64>) -> Self {
        measured.sort_unstable_by(f64::total_cmp);
        Self { median: measured[measured.len() / 2], least: measured[0], most: measured[measured.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0}/s ({:.0} to {:.0})", self.median, self.least, self.most)
    }
}

/// Watches a process's resident memory, in KiB (Linux).
struct Peak {
    stop: Arc<AtomicBool>,
    watching: tokio::task::JoinHandle<(u64, u64)>,
}

impl Peak {
    fn watch(process: u32) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let watching = tokio::spawn({
            let stop = stop.clone();
            async move {
                let before = resident(process);
                let mut most = before;
                while !stop.load(Ordering::Relaxed) {
                    most = most.max(resident(process));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                (before, most)
            }
        });
        Self { stop, watching }
    }

    /// The memory at the beginning, and the most that there was.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.await.expect("no panic")
    }
}

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux, and it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The database with the options that the server uses, as far as they matter for speed.
async fn bare_database(uri: &str) -> Database {
    let mut options = ClientOptions::parse(uri).await.expect("a connection string");
    (options.max_pool_size, options.min_pool_size, options.max_connecting) = (Some(100), Some(5), Some(10));
    let concern = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
    options.write_concern = Some(concern);
    Client::with_options(options).expect("options").database("master_db")
}

/// What the bare program knows: the database, and the ids of the one admin and its organization.
type Known = (Database, (ObjectId, ObjectId));

/// The bare program, inside this one.
async fn serve_bare(known: Known) -> String {
    let routes = Router::new()
        .route("/one", post(bare_insert))
        .route("/both", post(bare_insert_with_lookup))
        .route("/one/{id}", get(bare_read))
        .route("/both/{id}", get(bare_read_with_lookup))
        .with_state(known);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn bare_insert(State((database, _)): State<Known>, body: Bytes) -> impl IntoResponse {
    let value: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let mut document = bson::serialize_to_document(&value).expect("an object");
    let id = ObjectId::new();
    document.insert("_id", id);
    database.collection::<Document>("org_bench").insert_one(document).await.expect("inserted");
    (StatusCode::CREATED, body)
}

async fn bare_insert_with_lookup(State((database, ids)): State<Known>, body: Bytes) -> impl IntoResponse {
    look_up(&database, ids).await;
    bare_insert(State((database, ids)), body).await
}

async fn bare_read(State((database, _)): State<Known>, Path(id): Path<String>) -> impl IntoResponse {
    let id = ObjectId::parse_str(id).expect("an id");
    let found = database.collection::<Document>("org_bench").find_one(doc! { "_id": id }).await.expect("an answer");
    axum::Json(found)
}

async fn bare_read_with_lookup(State((database, ids)): State<Known>, id: Path<String>) -> impl IntoResponse {
    look_up(&database, ids).await;
    bare_read(State((database, ids)), id).await
}

/// The admin and its organization in one aggregation, as the server asks for them.
async fn look_up(database: &Database, (admin, org): (ObjectId, ObjectId)) {
    let of_id = doc! { "from": "organizations", "pipeline": [{ "$match": { "_id": org } }], "as": "organization" };
    let pipeline = [doc! { "$match": { "_id": admin, "organization_id": org } }, doc! { "$lookup": of_id }];
    let mut cursor = database.collection::<Document>("admins").aggregate(pipeline).await.expect("a cursor");
    assert!(cursor.advance().await.expect("an admin"));
}
