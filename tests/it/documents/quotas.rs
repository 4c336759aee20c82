//! How much an organization may store, and that counting it costs nothing.

use std::time::Duration;

use bson::doc;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Org, bare, lines};
use crate::support::Server;

/// How long the server uses what it last read of a collection's size.
const LOOK_EVERY: Duration = Duration::from_secs(10);

async fn server_with(quota: &str, limit: &str) -> Server {
    Server::with(&[(quota, limit)]).await
}

impl Org<'_> {
    async fn change(&self, id: &str, patch: &Value) -> crate::support::Answer {
        self.call("PATCH", &format!("documents/{id}")).json(patch).send().await
    }

    async fn replace(&self, id: &str, tag: Option<&str>, document: &Value) -> crate::support::Answer {
        let call = self.call("PUT", &format!("documents/{id}")).json(document);
        tag.into_iter().fold(call, |call, tag| call.header("if-match", tag)).send().await
    }

    async fn remove(&self, id: &str) -> crate::support::Answer {
        self.call("DELETE", &format!("documents/{id}")).send().await
    }
}

/// How many commands on the collection this work sent, and how many of those read its size.
async fn commands<T>(org: &Org<'_>, work: impl Future<Output = T>) -> (T, u64, u64) {
    let database = &org.server.database;
    database.run_command(doc! { "profile": 2 }).await.expect("profiled");
    let done = work.await;
    database.run_command(doc! { "profile": 0 }).await.expect("not any more");
    let profile = org.server.documents("system.profile");
    let of_collection = doc! { "appName": "tenantry", "ns": format!("{}.org_{}", database.name(), org.name) };
    let mut looks = of_collection.clone();
    looks.insert("command.pipeline.0.$collStats", doc! { "$exists": true });
    let all = profile.count_documents(of_collection).await.expect("counted");
    let looks = profile.count_documents(looks).await.expect("counted");
    profile.drop().await.expect("dropped");
    (done, all, looks)
}

#[tokio::test]
async fn no_document_more_than_the_quota_is_added_and_a_deletion_makes_room() {
    let server = server_with("QUOTA_DOCUMENTS", "3").await;
    let (org, other) = (Org::new(&server, "acme").await, Org::new(&server, "other").await);
    for id in ["a", "b", "c"] {
        org.insert(&json!({ "_id": id })).await.success(201);
    }
    let refused = org.insert(&json!({ "_id": "d" })).await.problem(403, "quota_reached");
    let detail = refused.body["detail"].as_str().expect("a text");
    assert!(detail.contains("3 of the 3 documents") && detail.contains("delete"), "{detail}");
    let created = org.call("PUT", "documents/d").header("if-none-match", "*").json(&json!({})).send().await;
    created.problem(403, "quota_reached");
    other.insert(&json!({ "_id": "a" })).await.success(201);
    // Writes that add no document still succeed.
    org.change("a", &json!({ "text": "x".repeat(1_000) })).await.success(200);
    org.replace("b", None, &json!({ "text": "x".repeat(1_000) })).await.success(200);
    // A failed insert does not count.
    org.insert(&json!({ "_id": "a" })).await.problem(403, "quota_reached");
    org.remove("a").await.success(204);
    org.insert(&json!({ "_id": "b" })).await.problem(409, "document_exists");
    org.insert(&json!({ "_id": "d" })).await.success(201);
    org.insert(&json!({ "_id": "e" })).await.problem(403, "quota_reached");
}

#[tokio::test]
async fn no_byte_more_than_the_quota_is_added_and_whatever_shrinks_makes_room() {
    let server = server_with("QUOTA_BYTES", "10000").await;
    let org = Org::new(&server, "acme").await;
    let text = |bytes: usize| json!({ "text": "x".repeat(bytes) });
    let with_id = |id: &str, bytes: usize| json!({ "_id": id, "text": "x".repeat(bytes) });
    org.insert(&with_id("a", 6_000)).await.success(201);
    let b = org.insert(&with_id("b", 3_000)).await.success(201);
    let tag = b.header("etag").to_owned();
    let refused = org.insert(&with_id("c", 3_000)).await.problem(403, "quota_reached");
    assert!(refused.text.contains("of the 10000 bytes of documents"), "{}", refused.text);
    org.change("b", &text(5_000)).await.problem(403, "quota_reached");
    org.replace("b", None, &text(5_000)).await.problem(403, "quota_reached");
    org.replace("b", Some(&tag), &text(5_000)).await.problem(403, "quota_reached");
    // The current document need not be read for this, but is when it matters.
    org.replace("b", Some(&tag), &text(3_100)).await.success(200);
    org.change("a", &json!({ "text": null })).await.success(200);
    org.insert(&with_id("c", 3_000)).await.success(201);
    org.change("b", &text(6_000)).await.success(200);
    org.insert(&with_id("d", 3_000)).await.problem(403, "quota_reached");
    org.remove("b").await.success(204);
    org.insert(&with_id("d", 3_000)).await.success(201);
    org.replace("a", None, &text(3_000)).await.success(200);
    org.insert(&with_id("e", 3_000)).await.problem(403, "quota_reached");
    org.replace("d", None, &text(10)).await.success(200);
    org.insert(&with_id("e", 3_000)).await.success(201);
}

#[tokio::test]
async fn an_import_is_cut_where_it_meets_the_quota_and_what_was_before_is_there() {
    let server = server_with("QUOTA_DOCUMENTS", "1500").await;
    let org = Org::new(&server, "acme").await;
    org.import(bare(0..200)).await;
    // Existing documents take no room, so all new ones up to the 1,500th document fit.
    let answer = org.import(bare(0..5_000)).await;
    let last = answer.last().expect("a line");
    assert_eq!((&last["done"], &last["inserted"], &last["failed"]), (&json!(true), &json!(1_300), &json!(200)));
    assert_eq!(last["error"]["code"], "quota_reached", "{last}");
    let mut ids: Vec<i64> = org.export().await.iter().map(|found| found["_id"].as_i64().expect("a number")).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..1_500).collect::<Vec<_>>());
    org.remove("7").await.success(204);
    assert_eq!(org.import(bare(7..8)).await.last().expect("a line")["inserted"], 1);
}

#[tokio::test]
async fn many_writers_at_once_fill_the_quota_exactly_with_one_look() {
    let server = server_with("QUOTA_DOCUMENTS", "100").await;
    let org = Org::new(&server, "acme").await;
    let writers = join_all((0..150).map(async |id| match id % 10 {
        0 => org.import(bare(1_000 * id..1_000 * id + 4)).await.last().expect("a line")["inserted"].as_u64(),
        _ => Some(u64::from(org.insert(&json!({ "_id": id })).await.status == 201)),
    }));
    let (added, _all, looks) = commands(&org, writers).await;
    assert_eq!(added.into_iter().map(|added| added.expect("a number")).sum::<u64>(), 100);
    assert_eq!(org.stored().count_documents(doc! {}).await.expect("counted"), 100);
    assert_eq!(looks, 1);
}

#[tokio::test]
async fn what_others_write_is_seen_within_ten_seconds() {
    let server = server_with("QUOTA_DOCUMENTS", "10").await;
    let org = Org::new(&server, "acme").await;
    org.insert(&json!({})).await.success(201);
    org.stored().insert_many((0..9).map(|id| doc! { "_id": id })).await.expect("stored");
    org.insert(&json!({})).await.success(201);
    server.clock.advance(LOOK_EVERY);
    org.insert(&json!({})).await.problem(403, "quota_reached");
    org.stored().delete_many(doc! {}).await.expect("deleted");
    org.insert(&json!({})).await.problem(403, "quota_reached");
    server.clock.advance(LOOK_EVERY);
    org.insert(&json!({})).await.success(201);
}

#[tokio::test]
async fn without_a_quota_a_write_costs_its_own_command_and_with_one_hardly_more() {
    let writes = async |org: &Org<'_>| {
        for id in 0..20 {
            let tag = org.insert(&json!({ "_id": id })).await.success(201).header("etag").to_owned();
            org.replace(&id.to_string(), Some(&tag), &json!({ "a": 1 })).await.success(200);
        }
        org.import(lines((100..200).map(|id| json!({ "_id": id })))).await;
    };
    let server = Server::start().await;
    let org = Org::new(&server, "acme").await;
    assert_eq!(commands(&org, writes(&org)).await, ((), 41, 0));
    let server = server_with("QUOTA_DOCUMENTS", "1000000").await;
    let org = Org::new(&server, "acme").await;
    assert_eq!(commands(&org, writes(&org)).await, ((), 42, 1));
}
