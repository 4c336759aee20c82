//! When MongoDB's disk fills up, it keeps running, and so does everyone who adds nothing.

use std::fs::{File, remove_file};
use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bson::doc;
use futures_util::stream;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::{Org, json_lines};
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{PASSWORD, Server, eventually};

/// The default mark; servers of other tests have none.
const MARK: &[(&str, &str)] = &[("MIN_FREE_STORAGE_PERCENT", "5")];

const MEGABYTE: usize = 1 << 20;

/// MongoDB's `MaxTimeMSExpired`.
const MAX_TIME_MS_EXPIRED: i32 = 50;

fn put_ballast(mongod: &Mongod, megabytes: usize) {
    let mut file = File::create(mongod.file("ballast")).expect("a file on the small disk");
    for _ in 0..megabytes {
        file.write_all(&vec![1; MEGABYTE]).expect("room for the ballast");
    }
}

/// About this many megabytes of incompressible documents, one per line.
fn incompressible(megabytes: usize) -> impl Iterator<Item = String> {
    let line = |_| {
        let bytes: Vec<u8> = (0..655).flat_map(|_| Uuid::new_v4().into_bytes()).collect();
        let data = BASE64_STANDARD.encode(bytes);
        json!({ "data": { "$binary": { "base64": data, "subType": "00" } } }).to_string() + "\n"
    };
    // They repeat, but too far apart for the compression of a page.
    let lines: Vec<String> = (0..100).map(line).collect();
    lines.into_iter().cycle().take(100 * megabytes)
}

/// Imports as fast as possible. Returns the last line of the answer, or `None` without a complete one.
async fn import_all_it_can(org: &Org<'_>, megabytes: usize) -> Option<Value> {
    let body = stream::iter(incompressible(megabytes).map(Ok::<_, std::io::Error>));
    let body = reqwest::Body::wrap_stream(body);
    let answer = org.call("POST", "documents").body("application/x-ndjson", body).try_send().await.ok()?;
    json_lines(&answer.text).pop()
}

async fn storage(server: &Server) -> Value {
    server.get("/health/ready").send().await.success(200).body["storage"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_only_writes_that_add_data() {
    let mongod = Mongod::on_small_disk("600m").await;
    let server = Server::over(&mongod, empty_database(&mongod).await, MARK).await;
    let (attacker, victim) = (Org::new(&server, "attacker").await, Org::new(&server, "victim").await);
    for id in ["kept", "removed"] {
        victim.insert(&json!({ "_id": id, "text": "x".repeat(1_000) })).await.success(201);
    }
    put_ballast(&mongod, 250);
    assert_eq!(storage(&server).await, "ok");

    let last = import_all_it_can(&attacker, 150).await.expect("a last line");
    assert_eq!(last["error"]["code"], "storage_low", "{last}");
    assert!(mongod.is_alive());
    let stored = attacker.stored().count_documents(doc! {}).await.expect("counted");
    assert_eq!(last["inserted"], stored, "{last}");
    assert!(stored > 1_000, "there was room for more than {stored}");

    // Nobody can add data.
    for org in [&attacker, &victim] {
        let refused = org.insert(&json!({ "a": 1 })).await.problem(507, "storage_low");
        assert!(!refused.header("retry-after").is_empty());
        org.create_index(&json!({ "keys": { "a": 1 } })).await.problem(507, "storage_low");
    }
    server.create("third", "a@third.example", PASSWORD).await.problem(507, "storage_low");
    let longer = json!({ "text": "x".repeat(2_000) });
    victim.call("PATCH", "documents/kept").json(&longer).send().await.problem(507, "storage_low");
    victim.call("PUT", "documents/kept").json(&longer).send().await.problem(507, "storage_low");
    victim.call("PUT", "documents/kept").header("if-match", "*").json(&longer).send().await.problem(507, "storage_low");

    // Everything else works.
    eventually("ready says so", async || storage(&server).await == "low").await;
    let metrics = server.get("/metrics").send().await.success(200).text;
    let free = metrics.lines().find_map(|line| line.strip_prefix("mongodb_storage_free_ratio ")).expect("the gauge");
    assert!(free.parse::<f64>().is_ok_and(|free| free > 0.0 && free < 0.25), "{free}");
    victim.get("documents/kept").await.success(200);
    victim.list(&[("filter", r#"{"_id":"kept"}"#)]).await.success(200);
    assert_eq!(victim.export().await.len(), 2);
    victim.call("PATCH", "documents/kept").json(&json!({ "text": "short" })).send().await.success(200);
    victim.call("DELETE", "documents/removed").send().await.success(204);
    server.log_in("admin@victim.example", PASSWORD).await.success(200);
    server.rename(&victim.token, "victim", "renamed").await.success(200);
    assert!(mongod.is_alive());

    remove_file(mongod.file("ballast")).expect("removed");
    eventually("there is room again", async || storage(&server).await == "ok").await;
    let victim = Org { name: "renamed".to_owned(), ..victim };
    victim.insert(&json!({ "a": 1 })).await.success(201);
    victim.create_index(&json!({ "keys": { "a": 1 } })).await.success(201);
    server.create("third", "a@third.example", PASSWORD).await.success(201);

    // Again, and this time a deletion makes the room.
    put_ballast(&mongod, 100);
    let last = import_all_it_can(&attacker, 120).await.expect("a last line");
    assert_eq!(last["error"]["code"], "storage_low", "{last}");
    eventually("ready says so again", async || storage(&server).await == "low").await;
    server.delete(&attacker.token, "attacker").await.success(200);
    eventually("the attacker's room is free", async || storage(&server).await == "ok").await;
    victim.insert(&json!({ "a": 2 })).await.success(201);
    assert!(mongod.is_alive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mark_mongodb_aborts_when_its_disk_is_full() {
    let mongod = Mongod::on_small_disk("300m").await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let attacker = Org::new(&server, "attacker").await;
    assert_eq!(storage(&server).await, "unknown");
    import_all_it_can(&attacker, 150).await;
    eventually("mongod ends", async || !mongod.is_alive()).await;
}

#[tokio::test]
async fn a_mongodb_that_does_not_report_its_disk_is_unknown_and_refuses_nothing() {
    let mongod = Mongod::with_fail_points().await;
    // Atlas's answer to commands that its shared tiers lack.
    mongod.fail(&["dbStats"], "alwaysOn", doc! { "errorCode": 8_000 }).await;
    let server = Server::over(&mongod, empty_database(&mongod).await, MARK).await;
    let org = Org::new(&server, "acme").await;
    assert_eq!(storage(&server).await, "unknown");
    org.insert(&json!({ "a": 1 })).await.success(201);
    org.create_index(&json!({ "keys": { "a": 1 } })).await.success(201);
}

#[tokio::test]
async fn a_user_of_only_the_master_database_can_see_the_disks_state() {
    let (mongod, root) = Mongod::with_users(&[("tenantry", "master")]).await;
    let server = {
        let uri = mongod.uri_of("tenantry");
        let settings = [&[("MONGO_URI", uri.as_str())], MARK].concat();
        Server::over(&mongod, root.database("master"), &settings).await
    };
    // Either, depending on this machine.
    let told = storage(&server).await;
    assert!(told == "ok" || told == "low", "{told}");
}

#[tokio::test]
async fn a_failed_look_keeps_the_last_finding() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, MARK).await;
    let known = storage(&server).await;
    assert_ne!(known, "unknown");
    let fail = async || mongod.fail(&["dbStats"], "alwaysOn", doc! { "errorCode": MAX_TIME_MS_EXPIRED }).await;
    let before = fail().await;
    eventually("there were two more looks", async || fail().await >= before + 2).await;
    assert_eq!(storage(&server).await, known);
}
