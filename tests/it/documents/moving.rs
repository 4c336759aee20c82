//! Clients that read and write while the organization is renamed again and again do not notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bson::{Document, doc};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::lost::mongod_and_server;
use super::{Org, json_lines};
use crate::support::{Answer, Server};

/// How many times the organization is renamed while they write.
const RENAMES: u32 = 200;
/// How many writers there are.
const WRITERS: u32 = 32;
/// The documents that exist from the start and that no writer touches.
const STEADY: u32 = 3_000;

/// What the server acknowledged to the writers: the documents that must exist, with their contents.
type Acknowledged = Mutex<BTreeMap<String, Value>>;

/// An organization whose name changes, so that no client can know the current one.
struct Moving {
    server: Server,
    token: String,
    /// The names that it takes in turn.
    names: [&'static str; 4],
    present: AtomicU32,
    is_over: AtomicBool,
    acknowledged: Acknowledged,
}

impl Moving {
    /// The organization under its latest known name: "not found" means that it has been renamed since.
    fn org(&self) -> Org<'_> {
        let place = usize::try_from(self.present.load(Ordering::SeqCst)).expect("small");
        Org { server: &self.server, name: self.names[place].to_owned(), token: self.token.clone() }
    }

    /// Calls again under the next name if this one is outdated; clients may notice a rename in no other way.
    async fn call(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Answer {
        loop {
            let org = self.org();
            let call = org.call(method, path);
            let call =
                body.into_iter().fold(call, |call, (content_type, body)| call.body(content_type, body.to_owned()));
            let answer = call.send().await;
            if answer.body["code"] != "organization_not_found" {
                assert!(answer.status < 500, "{}", answer.text);
                return answer;
            }
        }
    }

    async fn rename_again_and_again(&self) {
        for n in 1..=RENAMES {
            let from = self.org().name;
            let to = n % 4;
            let place = usize::try_from(to).expect("small");
            self.server.rename(&self.token, &from, self.names[place]).await.success(200);
            self.present.store(to, Ordering::SeqCst);
        }
        self.is_over.store(true, Ordering::SeqCst);
    }

    async fn write(&self, writer: u32) {
        let mut n = 0;
        while !self.is_over.load(Ordering::SeqCst) || n < 8 {
            match n % 4 {
                0 => self.insert(&format!("w{writer}-{n}")).await,
                1 => self.patch(&format!("w{writer}-{}", n - 1)).await,
                2 => self.import(writer, n).await,
                _ => self.delete(&format!("w{writer}-{}-0", n - 1)).await,
            }
            n += 1;
        }
    }

    async fn insert(&self, id: &str) {
        let body = json!({ "_id": id, "patches": 0 }).to_string();
        let answer = self.call("POST", "documents", Some(("application/json", &body))).await;
        answer.success(201);
        self.note(id, json!(0));
    }

    async fn patch(&self, id: &str) {
        let body = r#"{"patches":1}"#;
        let answer = self.call("PATCH", &format!("documents/{id}"), Some(("application/json", body))).await;
        answer.success(200);
        self.note(id, json!(1));
    }

    async fn import(&self, writer: u32, n: u32) {
        let ids: Vec<String> = (0..150).map(|line| format!("w{writer}-{n}-{line}")).collect();
        let body: String = ids.iter().map(|id| json!({ "_id": id, "patches": 0 }).to_string() + "\n").collect();
        let answer = self.call("POST", "documents", Some(("application/x-ndjson", &body))).await;
        let lines = json_lines(&answer.success(200).text);
        let told = lines.last().expect("a last line");
        assert_eq!((&told["inserted"], &told["error"]), (&json!(150), &Value::Null), "{told}");
        for id in &ids {
            self.note(id, json!(0));
        }
    }

    async fn delete(&self, id: &str) {
        let answer = self.call("DELETE", &format!("documents/{id}"), None).await;
        answer.success(204);
        self.acknowledged.lock().expect("no panic").remove(id);
    }

    fn note(&self, id: &str, patches: Value) {
        self.acknowledged.lock().expect("no panic").insert(id.to_owned(), patches);
    }

    /// Exports repeatedly; each export must have all steady documents, exactly once and in order.
    async fn export(&self) -> u32 {
        let mut exports = 0;
        while !self.is_over.load(Ordering::SeqCst) || exports < 2 {
            let answer = self.call("GET", "export", None).await.success(200);
            let steady: Vec<u64> = json_lines(&answer.text).iter().filter_map(|found| found["_id"].as_u64()).collect();
            let expected: Vec<u64> = (0..u64::from(STEADY)).collect();
            assert!(steady == expected, "{} of {STEADY}, or not in order", steady.len());
            exports += 1;
        }
        exports
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_the_organization_is_renamed_200_times() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "60"), ("MAX_RUNNING_STREAMS", "100")]).await;
    let names = ["moving", "moving on", "Moved", "still moving"];
    let org = Org::new(&server, names[0]).await;
    let steady: String = (0..STEADY).map(|n| json!({ "_id": n, "text": "x".repeat(200) }).to_string() + "\n").collect();
    org.import(steady).await;
    let moving = Arc::new(Moving {
        token: org.token.clone(),
        server,
        names,
        present: AtomicU32::new(0),
        is_over: AtomicBool::new(false),
        acknowledged: Mutex::default(),
    });
    let writers = join_all((0..WRITERS).map(|writer| {
        let moving = moving.clone();
        tokio::spawn(async move { moving.write(writer).await })
    }));
    let exports = join_all((0..2).map(|_| {
        let moving = moving.clone();
        tokio::spawn(async move { moving.export().await })
    }));
    let (written, exported, ()) = tokio::join!(writers, exports, moving.rename_again_and_again());
    for writer in written {
        writer.expect("a writer that saw no error");
    }
    for exporter in exported {
        assert!(exporter.expect("an exporter that saw no gap") >= 2);
    }

    let collection = moving.server.documents("org_moving");
    let stored: Vec<Document> = collection.find(doc! {}).await.expect("MongoDB").try_collect().await.expect("MongoDB");
    let stored: BTreeMap<String, Value> = stored
        .iter()
        .filter_map(|document| {
            Some((document.get_str("_id").ok()?.to_owned(), json!(document.get_i32("patches").ok()?)))
        })
        .collect();
    let acknowledged = moving.acknowledged.lock().expect("no panic").clone();
    assert!(acknowledged.len() > 5_000, "{} writes: too few to say anything", acknowledged.len());
    assert!(stored == acknowledged, "{} stored, {} acknowledged", stored.len(), acknowledged.len());
    assert_eq!(moving.server.tenant_collections().await, ["org_moving"], "no stray collection");
}

#[tokio::test]
async fn an_export_that_began_before_a_rename_goes_on_after_it() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "before").await;
    let line = |n: u32| json!({ "_id": n, "text": "x".repeat(3_000) }).to_string() + "\n";
    org.import((0..20_000).map(line).collect::<String>()).await;
    let url = format!("{}/org/before/export", server.url);
    let answer = server.client.get(url).bearer_auth(&org.token).send().await.expect("it began");
    let mut pieces = answer.bytes_stream();
    let mut text = pieces.next().await.expect("a piece").expect("whole").to_vec();
    for (from, to) in [("before", "after"), ("after", "later")] {
        server.rename(&org.token, from, to).await.success(200);
        text.extend(pieces.next().await.expect("a piece").expect("whole"));
    }
    while let Some(piece) = pieces.next().await {
        text.extend(piece.expect("whole"));
    }
    let ids: Vec<u64> =
        json_lines(&String::from_utf8(text).expect("text")).iter().filter_map(|d| d["_id"].as_u64()).collect();
    assert!(ids == (0..20_000).collect::<Vec<u64>>(), "{} documents", ids.len());
}

#[tokio::test]
async fn a_deleted_organization_ends_its_export_with_a_word() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "doomed").await;
    let line = |n: u32| json!({ "_id": n, "text": "x".repeat(3_000) }).to_string() + "\n";
    org.import((0..20_000).map(line).collect::<String>()).await;
    let url = format!("{}/org/doomed/export", server.url);
    let answer = server.client.get(url).bearer_auth(&org.token).send().await.expect("it began");
    server.delete(&org.token, "doomed").await.success(200);
    let lines = json_lines(&answer.text().await.expect("an end"));
    assert_eq!(lines[lines.len() - 1]["error"]["code"], "organization_not_found");
}

#[tokio::test]
async fn a_collection_that_moves_twenty_times_is_followed_and_the_next_time_its_client_hears_of_it() {
    let (mongod, server) = mongod_and_server().await;
    let org = Org::new(&server, "restless").await;
    org.insert(&json!({ "_id": 1 })).await.success(201);
    org.create_index(&json!({ "keys": { "a": 1 } })).await.success(201);
    let namespace = org.stored().namespace().to_string();
    // MongoDB's errors when a collection moves while a command runs, and between a command's parts.
    for (method, path, command, code) in [
        ("GET", "documents/1", "find", 175),
        ("GET", "documents", "find", 175),
        ("GET", "export", "find", 175),
        ("GET", "stats", "aggregate", 26),
        ("POST", "documents", "insert", 26),
        ("PUT", "documents/1", "update", 26),
        ("PATCH", "documents/1", "update", 26),
        ("DELETE", "documents/1", "delete", 26),
        ("DELETE", "indexes/a_1", "dropIndexes", 175),
        ("PUT", "schema", "collMod", 26),
    ] {
        let call = async || match method {
            "GET" | "DELETE" => org.call(method, path).send().await,
            _ => org.call(method, path).json(&json!({})).send().await,
        };
        let how = doc! { "errorCode": code, "namespace": &namespace };
        let before = mongod.fail(&[command], "alwaysOn", how.clone()).await;
        call().await.problem(503, "tenant_moving");
        let after = mongod.fail(&[command], doc! { "times": 20 }, how).await;
        assert_eq!(after - before, 21, "{method} {path}");
        let answer = call().await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.text);
        assert_eq!(mongod.fail(&[], "off", doc! {}).await - after, 20, "{method} {path}");
    }
}

#[tokio::test]
async fn a_collection_that_was_replaced_by_hand_is_not_touched() {
    let server = Server::start().await;
    let org = Org::new(&server, "replaced").await;
    org.stored().drop().await.expect("MongoDB");
    server.database.create_collection("org_replaced").await.expect("MongoDB");
    org.insert(&json!({})).await.problem(503, "tenant_collection_replaced");
    org.get("documents").await.problem(503, "tenant_collection_replaced");
    org.get("stats").await.problem(503, "tenant_collection_replaced");
    org.get("export").await.problem(503, "tenant_collection_replaced");
    org.get("indexes").await.problem(503, "tenant_collection_replaced");
    org.get("schema").await.problem(503, "tenant_collection_replaced");
    org.create_index(&json!({ "keys": { "a": 1 } })).await.problem(503, "tenant_collection_replaced");
    assert_eq!(org.stored().count_documents(doc! {}).await.expect("MongoDB"), 0);
}
