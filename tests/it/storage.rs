//! What happens when MongoDB's disk fills up: it goes on, and so do all who add nothing.

use std::fs::{File, remove_file};
use std::io::Write;

use bson::doc;
use futures_util::stream;
use serde_json::{Value, json};

use crate::documents::{Org, json_lines};
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{PASSWORD, Server, eventually};

/// The mark that a server has by default; those of the other tests have none.
const MARK: &[(&str, &str)] = &[("MIN_FREE_STORAGE_PERCENT", "5")];

const MEGABYTE: usize = 1 << 20;

/// MongoDB's `MaxTimeMSExpired`.
const MAX_TIME_MS_EXPIRED: i32 = 50;

/// Takes so many megabytes of its disk.
fn put_ballast(mongod: &Mongod, megabytes: usize) {
    let mut file = File::create(mongod.file("ballast")).expect("a file on the small disk");
    for _ in 0..megabytes {
        file.write_all(&vec![1; MEGABYTE]).expect("room for the ballast");
    }
}

/// About so many megabytes of documents that cannot be compressed, one a line.
fn incompressible(megabytes: usize) -> impl Iterator<Item = String> {
    // xorshift64
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut line = move || {
        let bytes: Vec<u8> = (0..1_310).flat_map(|_| random().to_le_bytes()).collect();
        json!({ "data": { "$binary": { "base64": base64(&bytes), "subType": "00" } } }).to_string() + "\n"
    };
    // Equal ones are too far from each other to be found by what compresses a page of them.
    let lines: Vec<String> = (0..100).map(|_| line()).collect();
    lines.into_iter().cycle().take(100 * megabytes)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: u32, place: u32| char::from(DIGITS[(group >> (6 * place) & 63) as usize]);
    let groups = bytes.chunks_exact(3).map(|chunk| chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)));
    groups.flat_map(|group| [3, 2, 1, 0].map(|place| digit(group, place))).collect()
}

/// Imports as fast as it can; the last line of the answer, or `None` when there was no whole one.
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
async fn a_tenant_that_fills_the_disk_stops_those_alone_who_add_to_it() {
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

    // Nobody adds anything, the attacker as little as the others.
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

    // Everything else goes on.
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

    // The same once more, and this time the room comes from within.
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
async fn without_a_mark_mongodb_ends_when_its_disk_is_full() {
    let mongod = Mongod::on_small_disk("300m").await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let attacker = Org::new(&server, "attacker").await;
    assert_eq!(storage(&server).await, "unknown");
    import_all_it_can(&attacker, 150).await;
    eventually("mongod ends", async || !mongod.is_alive()).await;
}

#[tokio::test]
async fn a_mongodb_that_does_not_tell_is_filled_and_the_server_says_that_it_does_not_know() {
    let mongod = Mongod::with_fail_points().await;
    // What Atlas answers to what its shared tiers do not have.
    mongod.fail(&["dbStats"], "alwaysOn", doc! { "errorCode": 8_000 }).await;
    let server = Server::over(&mongod, empty_database(&mongod).await, MARK).await;
    let org = Org::new(&server, "acme").await;
    assert_eq!(storage(&server).await, "unknown");
    org.insert(&json!({ "a": 1 })).await.success(201);
    org.create_index(&json!({ "keys": { "a": 1 } })).await.success(201);
}

#[tokio::test]
async fn a_user_of_the_master_database_alone_may_know_how_the_disk_is() {
    let (mongod, root) = Mongod::with_users(&[("tenantry", "master")]).await;
    let server = {
        let uri = mongod.uri_of("tenantry");
        let settings = [&[("MONGO_URI", uri.as_str())], MARK].concat();
        Server::over(&mongod, root.database("master"), &settings).await
    };
    // Which of the two, depends on this machine.
    let told = storage(&server).await;
    assert!(told == "ok" || told == "low", "{told}");
}

#[tokio::test]
async fn a_look_that_fails_leaves_what_was_known() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, MARK).await;
    let known = storage(&server).await;
    assert_ne!(known, "unknown");
    let fail = async || mongod.fail(&["dbStats"], "alwaysOn", doc! { "errorCode": MAX_TIME_MS_EXPIRED }).await;
    let before = fail().await;
    eventually("it was asked twice more", async || fail().await >= before + 2).await;
    assert_eq!(storage(&server).await, known);
}
