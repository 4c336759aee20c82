//! Imports: many documents in one stream.

use std::time::Duration;

use axum::body::Bytes;
use bson::doc;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Org, bare, json_lines};
use crate::support::{Server, eventually};

fn last(lines: &[Value]) -> &Value {
    lines.last().expect("a last line")
}

/// A body sent piece by piece by the test; it ends when the sender is dropped.
pub(crate) fn fed_body() -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, reqwest::Body) {
    let (sender, receiver) = mpsc::unbounded_channel::<std::io::Result<Bytes>>();
    let body = stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    (sender, reqwest::Body::wrap_stream(body))
}

/// Begins an import, and waits for its answer to begin.
pub(crate) async fn begin(org: &Org<'_>, body: reqwest::Body) -> reqwest::Response {
    let url = format!("{}/org/{}/documents", org.server.url, org.name);
    let request = org.server.client.post(url).bearer_auth(&org.token).header("content-type", "application/x-ndjson");
    request.body(body).send().await.expect("an answer before the end")
}

#[tokio::test]
async fn broken_lines_do_not_stop_the_others_and_are_told_by_their_numbers() {
    let server = Server::with(&[("MAX_DOCUMENT_BYTES", "1024")]).await;
    let org = Org::new(&server, "broken").await;
    org.insert(&json!({ "_id": "there", "n": 0 })).await.success(201);
    let too_long = json!({ "a": "x".repeat(2_000) }).to_string();
    let body = [
        "{\"_id\":1}",
        "",
        "  \t\r",
        "{\"_id\":1}",
        "not JSON",
        "[]",
        "{\"_rev\":1}",
        "{\"_id\":\"there\"}",
        &too_long,
        "{\"_id\":[]}",
        "{\"_id\":2}\r",
        "{\"n\":3}",
    ];
    let lines = org.import(body.join("\n")).await;
    let told = last(&lines);
    assert_eq!(
        (&told["done"], &told["lines"], &told["inserted"], &told["failed"]),
        (&json!(true), &json!(10), &json!(3), &json!(7))
    );
    let failures: Vec<(i64, &str)> = told["failures"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|failure| (failure["line"].as_i64().expect("a number"), failure["code"].as_str().expect("a code")))
        .collect();
    assert_eq!(
        failures,
        [
            (4, "document_exists"),
            (5, "invalid_json"),
            (6, "validation_failed"),
            (7, "validation_failed"),
            (8, "document_exists"),
            (9, "body_too_large"),
            (10, "validation_failed"),
        ]
    );
    assert_eq!(told["failures"][3]["errors"][0]["pointer"], "/_rev");
    assert!(told.get("error").is_none());
    assert_eq!(org.get("documents/there").await.body["n"], 0, "what was there stays");
    assert_eq!(org.stored().count_documents(doc! {}).await.expect("MongoDB"), 4);
}

#[tokio::test]
async fn an_empty_body_imports_nothing_and_a_large_one_everything_in_batches() {
    let server = Server::start().await;
    let org = Org::new(&server, "batches").await;
    let lines = org.import("").await;
    assert_eq!(lines, [json!({ "done": true, "lines": 0, "inserted": 0, "failed": 0, "failures": [] })]);
    let body = super::lines((0..5_500).map(|n| json!({ "_id": n, "text": "x".repeat(n % 1_500) })));
    let lines = org.import(body).await;
    assert_eq!(last(&lines)["inserted"], 5_500);
    assert!(lines.len() >= 2 && lines[0]["done"] == false, "{lines:?}");
    assert_eq!(org.get("stats").await.body["documents"], 5_500);
    let exported = org.export().await;
    assert!(exported.iter().enumerate().all(|(n, document)| document["_id"] == n), "all of them, in order");
}

#[tokio::test]
async fn only_the_first_hundred_failures_are_told_and_all_are_counted() {
    let server = Server::start().await;
    let org = Org::new(&server, "failures").await;
    let lines = org.import("{\n".repeat(250)).await;
    assert_eq!((&last(&lines)["failed"], last(&lines)["failures"].as_array().map(Vec::len)), (&json!(250), Some(100)));
}

#[tokio::test]
async fn progress_is_told_while_the_client_still_sends() {
    let server = Server::start().await;
    let org = Org::new(&server, "progress").await;
    let (sender, body) = fed_body();
    sender.send(Ok(bare(0..1_001).into())).expect("open");
    let answer = begin(&org, body).await;
    let mut pieces = answer.bytes_stream();
    let first = pieces.next().await.expect("a piece").expect("whole");
    assert_eq!(
        serde_json::from_slice::<Value>(&first).expect("a line"),
        json!({ "done": false, "lines": 1001, "inserted": 1000, "failed": 0 })
    );
    sender.send(Ok("{\"_id\":\"cut in the mid".into())).expect("open");
    sender.send(Ok("dle\"}".into())).expect("open");
    drop(sender);
    let rest: Vec<u8> = pieces.map(|piece| piece.expect("whole").to_vec()).collect::<Vec<_>>().await.concat();
    let rest = json_lines(&String::from_utf8(rest).expect("text"));
    assert_eq!(last(&rest)["inserted"], 1_002);
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_at_once_or_cut_where_it_passes_it() {
    let server = Server::with(&[("MAX_IMPORT_BYTES", "2000")]).await;
    let org = Org::new(&server, "limited").await;
    let body = "{}\n".repeat(700);
    let refused = org.call("POST", "documents").body("application/x-ndjson", body.clone()).send().await;
    refused.problem(413, "body_too_large");
    let pieces = stream::iter(
        body.into_bytes().chunks(500).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    let lines = org.import(reqwest::Body::wrap_stream(pieces)).await;
    let told = last(&lines);
    assert_eq!((&told["done"], &told["error"]["code"]), (&json!(true), &json!("body_too_large")));
    assert_eq!(told["inserted"], org.stored().count_documents(doc! {}).await.expect("MongoDB"));
    assert_eq!(told["inserted"], 666, "what came before the limit, to the last whole line");
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so_and_one_that_hangs_up_leaves_what_it_sent() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let org = Org::new(&server, "silent").await;
    let silent = || stream::once(async { Ok::<_, std::io::Error>("{\"_id\":1}\n{\"_id\":") }).chain(stream::pending());
    let lines = org.import(reqwest::Body::wrap_stream(silent())).await;
    assert_eq!((&last(&lines)["inserted"], &last(&lines)["error"]["code"]), (&json!(1), &json!("body_timeout")));
    let (sender, body) = fed_body();
    sender.send(Ok("{\"_id\":2}\n{\"_id\":3".into())).expect("open");
    drop(begin(&org, body).await);
    sender.send(Err(std::io::Error::other("gone"))).expect("open");
    eventually("what was sent whole is stored", async || {
        org.stored().count_documents(doc! {}).await.is_ok_and(|count| count == 2)
    })
    .await;
    tokio::time::timeout(Duration::from_mins(1), org.get("documents/2")).await.expect("in time").success(200);
}

#[tokio::test]
async fn only_so_many_streams_run_at_once() {
    let server = Server::with(&[("MAX_RUNNING_STREAMS", "1")]).await;
    let org = Org::new(&server, "streams").await;
    let (sender, body) = fed_body();
    sender.send(Ok("{}\n".into())).expect("open");
    let running = begin(&org, body).await;
    let other = Org::new(&server, "other").await;
    org.get("export").await.problem(429, "share_used_up");
    org.call("POST", "documents").body("application/x-ndjson", "{}").send().await.problem(429, "share_used_up");
    other.get("export").await.problem(503, "server_busy");
    org.insert(&json!({})).await.success(201);
    drop(sender);
    running.text().await.expect("its end");
    eventually("the permit is free again", async || org.get("export").await.status == 200).await;
}

#[tokio::test]
async fn one_organization_cannot_take_all_streams() {
    let server = Server::with(&[("MAX_RUNNING_STREAMS", "2")]).await;
    let (org, other) = (Org::new(&server, "greedy").await, Org::new(&server, "other").await);
    let (sender, body) = fed_body();
    sender.send(Ok("{}\n".into())).expect("open");
    let running = begin(&org, body).await;
    org.get("export").await.problem(429, "share_used_up");
    other.get("export").await.success(200);
    drop(sender);
    running.text().await.expect("its end");
}

#[tokio::test]
async fn a_server_that_stops_ends_an_import_with_a_word() {
    let server = Server::start().await;
    let org = Org::new(&server, "stopping").await;
    let (sender, body) = fed_body();
    sender.send(Ok("{\"_id\":1}\n".into())).expect("open");
    let running = begin(&org, body).await;
    let stored = org.stored();
    let (stopped, text) = tokio::join!(server.stop(), running.text());
    stopped.expect("it stops");
    let lines = json_lines(&text.expect("the rest"));
    assert_eq!(last(&lines)["error"]["code"], "server_stopping");
    assert_eq!(last(&lines)["inserted"], stored.count_documents(doc! {}).await.expect("MongoDB"));
    drop(sender);
}
