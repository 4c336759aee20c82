//! Imports and exports against the driver alone, and their memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bson::doc;
use bson::oid::ObjectId;
use bson::raw::{RawDocumentBuf, cstr};
use futures_util::StreamExt;
use mongodb::Collection;
use mongodb::options::InsertManyOptions;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::task::{JoinHandle, spawn};

use crate::load::{Connection, in_turns};
use crate::place::{Served, creation, resident};
use crate::report::{Report, judged};
use crate::stats::{Spread, count};
use crate::support::mongo::Mongod;

/// Documents to measure throughput with, and about how large each is.
const DOCUMENTS: usize = 200_000;
const BYTES: usize = 500;
/// Documents that the driver inserts at once.
const BATCH: usize = 1_000;
const ROUNDS: usize = 7;
/// Bytes to measure memory with.
const MEMORY_BYTES: usize = 1 << 30;

struct Bulk {
    server: Served,
    token: String,
    client: Client,
    documents: Collection<RawDocumentBuf>,
}

pub(crate) async fn measure(report: &mut Report, mongod: &Mongod) {
    let settings = [("SALT_ROUNDS", "4"), ("MAX_IMPORT_BYTES", "4000000000"), ("REQUEST_TIMEOUT_SECONDS", "60")];
    let server = Served::server(mongod, &settings).await;
    Connection::open(server.address).await.ask(&creation(0)).await;
    let token = server.token(0).await;
    // Otherwise gzip would be measured.
    let client = Client::builder().no_gzip().build().expect("a client");
    let documents = crate::bare::open(&mongod.uri()).await.collection("org_org_0");
    let bulk = Bulk { server, token, client, documents };
    let about = format!(
        "{DOCUMENTS} documents of about {BYTES} bytes, {ROUNDS} rounds in turns, in documents a second. The driver inserts batches of \
         {BATCH}, the next of which is made while one is on its way, and reads a cursor to its end, in the batches that MongoDB chooses (the server asks for smaller ones); it writes no JSON and \
         reads none."
    );
    let columns = ["call", "server", "driver alone", "ratio", "goal"];
    report.table("Imports and exports against the driver", &about, &columns);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let lines = axum::body::Bytes::from(line().repeat(DOCUMENTS));
    let import = async || {
        bulk.empty().await;
        let began = Instant::now();
        assert_eq!(bulk.import(lines.clone().into()).await, DOCUMENTS);
        per_second(began)
    };
    let insert = async || {
        bulk.empty().await;
        bulk.insert_by_the_driver().await
    };
    let export = async || {
        let began = Instant::now();
        bulk.export().await;
        per_second(began)
    };
    for round in 0..ROUNDS {
        imports.push(in_turns(round, import, insert).await);
        exports.push(in_turns(round, export, async || bulk.read_by_the_driver().await).await);
    }
    bulk.empty().await;
    bulk.documents.insert_one(document()).await.expect("stored");
    let export = async || calls_a_second(async || assert!(bulk.export().await > 0)).await;
    let read = async || calls_a_second(async || assert_eq!(bulk.read_all().await, 1)).await;
    let mut small = Vec::new();
    for round in 0..ROUNDS {
        small.push(in_turns(round, export, read).await);
    }
    let measured = [("import", imports), ("export", exports), ("export of one document, calls a second", small)];
    for (what, rounds) in measured {
        let [server, driver, ratio] = Spread::of_pairs(&rounds, |number| number);
        let cells = [what.to_owned(), server.to_string(), driver.to_string()];
        report.row(&[cells.as_slice(), &judged(ratio, crate::report::Goal::None)].concat());
    }
    bulk.measure_memory(report).await;
}

/// How often something can be done in a second, one after another.
async fn calls_a_second(call: impl AsyncFn()) -> f64 {
    const CALLS: usize = 200;
    let began = Instant::now();
    for _ in 0..CALLS {
        call().await;
    }
    count(CALLS) / began.elapsed().as_secs_f64()
}

fn per_second(began: Instant) -> f64 {
    count(DOCUMENTS) / began.elapsed().as_secs_f64()
}

impl Bulk {
    async fn empty(&self) {
        self.documents.delete_many(doc! {}).await.expect("emptied");
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/org/org%200/{rest}", self.server.address)
    }

    /// Imports, and returns how many documents were inserted.
    async fn import(&self, body: reqwest::Body) -> usize {
        let request = self.client.post(self.url("documents")).bearer_auth(&self.token);
        let answer = request.header(CONTENT_TYPE, "application/x-ndjson").body(body).send().await;
        let text = answer.expect("an answer").text().await.expect("its end");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert!(last["failed"] == 0 && last.get("error").is_none(), "{last}");
        usize::try_from(last["inserted"].as_u64().expect("a count")).expect("64 bits")
    }

    /// Exports, and returns the number of bytes.
    async fn export(&self) -> usize {
        let answer = self.client.get(self.url("export")).bearer_auth(&self.token).send().await.expect("an answer");
        let (mut pieces, mut bytes) = (answer.bytes_stream(), 0);
        while let Some(piece) = pieces.next().await {
            bytes += piece.expect("a piece").len();
        }
        bytes
    }

    async fn insert_by_the_driver(&self) -> f64 {
        let options = InsertManyOptions::builder().ordered(false).build();
        let began = Instant::now();
        let mut running: Option<JoinHandle<()>> = None;
        for _ in 0..DOCUMENTS / BATCH {
            let batch: Vec<RawDocumentBuf> = (0..BATCH).map(|_| document()).collect();
            let (documents, options) = (self.documents.clone(), options.clone());
            if let Some(running) = running.take() {
                running.await.expect("no panic");
            }
            running = Some(spawn(async move {
                documents.insert_many(batch).with_options(options).await.expect("inserted");
            }));
        }
        running.expect("a batch").await.expect("no panic");
        per_second(began)
    }

    async fn read_by_the_driver(&self) -> f64 {
        let began = Instant::now();
        assert_eq!(self.read_all().await, DOCUMENTS);
        per_second(began)
    }

    /// Reads a cursor to its end, and returns the number of documents.
    async fn read_all(&self) -> usize {
        let mut cursor = self.documents.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("a cursor");
        let mut found = 0;
        while cursor.advance().await.expect("a document") {
            found += usize::from(!cursor.current().as_bytes().is_empty());
        }
        found
    }

    /// How much the server's memory grows during a large import and export.
    async fn measure_memory(&self, report: &mut Report) {
        self.empty().await;
        let piece = axum::body::Bytes::from(line().repeat(100));
        let pieces = MEMORY_BYTES / piece.len();
        let peak = Peak::watch(self.server.process_id());
        let body = futures_util::stream::iter((0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
        self.import(reqwest::Body::wrap_stream(body)).await;
        let (before, importing) = peak.stop().await;
        let peak = Peak::watch(self.server.process_id());
        let bytes = self.export().await;
        let (_, exporting) = peak.stop().await;
        report.line(&format!(
            "\n{:.1} GB in and {:.1} GB out: the server has {before:.0} MiB of resident memory before, at most {importing:.0} while it \
             imports and {exporting:.0} while it exports, as seen every 20 ms.",
            count(MEMORY_BYTES) / 1e9,
            count(bytes) / 1e9,
        ));
    }
}

fn document() -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), ObjectId::new());
    document.append(cstr!("text"), "x".repeat(BYTES - 60));
    document.append(cstr!("number"), 1_234_567_i32);
    document.append(cstr!("flag"), true);
    document
}

/// The document as a line of JSON.
fn line() -> String {
    format!("{{\"text\":\"{}\",\"number\":1234567,\"flag\":true}}\n", "x".repeat(BYTES - 60))
}

/// Watches a process's resident memory.
struct Peak {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<(f64, f64)>,
}

impl Peak {
    fn watch(process: u32) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let is_over = stop.clone();
        let watching = spawn(async move {
            let before = resident(process);
            let mut most = before;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(resident(process));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (before, most)
        });
        Self { stop, watching }
    }

    /// The memory at the beginning, and its peak.
    async fn stop(self) -> (f64, f64) {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.await.expect("no panic")
    }
}
