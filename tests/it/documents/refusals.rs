//! Imports with more refusals than MongoDB can list in one reply: every line is still reported correctly.

use std::collections::BTreeMap;

use axum::body::Bytes;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::import::{begin, fed_body};
use super::{Org, bare, json_lines, lines};
use crate::support::Server;
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;

/// A schema that allows so many values; MongoDB quotes all of them in every refusal.
fn one_of(values: u32) -> Value {
    let values: Vec<String> = (0..values).map(|n| format!("value {n:08}")).collect();
    json!({ "properties": { "a": { "enum": values } } })
}

/// Lines of every kind, allowed and refused.
fn mixed(ids: std::ops::Range<u32>) -> String {
    let value = |id: u32| if id.is_multiple_of(3) { "value 00000001" } else { "something else" };
    lines(ids.map(|id| json!({ "_id": id, "a": value(id) })))
}

async fn set_schema(org: &Org<'_>, schema: &Value) {
    org.call("PUT", "schema").json(schema).send().await.success(200);
}

/// All stored documents, with the line that each came from.
async fn stored(org: &Org<'_>) -> BTreeMap<i32, Document> {
    let found: Vec<Document> = org.stored().find(doc! {}).await.expect("MongoDB").try_collect().await.expect("MongoDB");
    found.into_iter().map(|document| (document.get_i32("_id").expect("an integer"), document)).collect()
}

/// Fails unless the last line reports these numbers, the first hundred refusals have this code and the right lines, and
/// the stored documents match the report.
async fn assert_told(org: &Org<'_>, told: &Value, sent: u32, code: &str) {
    let good = sent.div_ceil(3);
    assert_eq!(
        (&told["lines"], &told["inserted"], &told["failed"], told.get("error")),
        (&json!(sent), &json!(good), &json!(sent - good), None),
        "{}",
        told["error"]
    );
    let failures = told["failures"].as_array().expect("a list");
    assert_eq!(failures.len(), 100);
    for (n, failure) in (0..).zip(failures) {
        // Two lines of three; the first line is document 0.
        let line = n / 2 * 3 + n % 2 + 2;
        assert_eq!((&failure["line"], &failure["code"]), (&json!(line), &json!(code)), "{failure}");
    }
    let ids: Vec<i32> = stored(org).await.into_keys().collect();
    let expected: Vec<i32> = (0..i32::try_from(sent).expect("few")).step_by(3).collect();
    assert!(ids == expected, "{} stored, {good} told", ids.len());
}

#[tokio::test]
async fn a_schema_of_many_values_refuses_each_line_for_its_own_reason() {
    let server = Server::start().await;
    let org = Org::new(&server, "values").await;
    set_schema(&org, &one_of(2_000)).await;
    let told = org.import(mixed(0..1_500)).await;
    let told = told.last().expect("a last line");
    assert_told(&org, told, 1_500, "schema_violated").await;
    assert_eq!(told["failures"][0]["errors"][0]["pointer"], "/a");
    assert_eq!(told["failures"][0]["errors"][0]["code"], "enum");
    // Once more: existing documents are refused for another reason.
    let again = org.import(mixed(0..1_500)).await;
    let again = again.last().expect("a last line");
    assert_eq!((&again["inserted"], &again["failed"]), (&json!(0), &json!(1_500)));
    let codes: Vec<&Value> = again["failures"].as_array().expect("a list").iter().map(|told| &told["code"]).collect();
    assert_eq!(codes[..3], [&json!("document_exists"), &json!("schema_violated"), &json!("schema_violated")]);
}

#[tokio::test]
async fn a_schema_that_is_set_in_the_middle_of_an_import_is_not_taken_for_a_lost_answer() {
    let server = Server::start().await;
    let org = Org::new(&server, "midway").await;
    let (sender, body) = fed_body();
    sender.send(Ok(Bytes::from_static(b"\n"))).expect("open");
    let running = begin(&org, body).await;
    // By now the import has seen that there is no schema.
    set_schema(&org, &one_of(2_000)).await;
    sender.send(Ok(mixed(0..1_500).into())).expect("open");
    drop(sender);
    let told = json_lines(&running.text().await.expect("its end"));
    let mut told = told.last().expect("a last line").clone();
    // The empty line has a number, but is not counted as a line.
    for failure in told["failures"].as_array_mut().expect("a list") {
        failure["line"] = json!(failure["line"].as_u64().expect("a number") - 1);
    }
    assert_told(&org, &told, 1_500, "schema_violated").await;
}

#[tokio::test]
async fn refusals_that_quote_the_documents_again_and_again_are_all_told() {
    let server = Server::start().await;
    let org = Org::new(&server, "quoting").await;
    let rules: Vec<Value> = (1..80).map(|n| json!({ "properties": { "a": { "maxLength": n } } })).collect();
    set_schema(&org, &json!({ "allOf": rules })).await;
    let value = |id: u32| if id.is_multiple_of(3) { String::new() } else { "x".repeat(1_800) };
    // More than 64 MiB and more than 16 MiB of quotations: MongoDB fails differently with each.
    let told = org.import(lines((0..1_500).map(|id| json!({ "_id": id, "a": value(id) })))).await;
    assert_told(&org, told.last().expect("a last line"), 1_500, "schema_violated").await;
}

#[tokio::test]
async fn one_document_whose_refusal_alone_is_large_is_refused_like_any_other() {
    let server = Server::with(&[("MAX_DOCUMENT_BYTES", "16777216")]).await;
    let org = Org::new(&server, "alone").await;
    let rules: Vec<Value> = (1..21).map(|n| json!({ "properties": { "a": { "maxLength": n } } })).collect();
    set_schema(&org, &json!({ "allOf": rules })).await;
    // MongoDB would quote it 20 times: within the 12 MiB that it allows for one refusal, beyond them, and far beyond.
    for bytes in [500_000, 1_000_000, 8_000_000] {
        let document = json!({ "_id": 1, "a": "x".repeat(bytes) });
        let refused = org.insert(&document).await.problem(422, "schema_violated");
        assert_eq!(
            (&refused.body["errors"][0]["pointer"], &refused.body["errors"][0]["code"]),
            (&json!("/a"), &json!("max_length"))
        );
        let told = org.import(document.to_string() + "\n{\"_id\":2}\n{\"_id\":2}").await;
        let told = told.last().expect("a last line");
        assert_eq!((&told["inserted"], &told["failed"], told.get("error")), (&json!(1), &json!(2), None), "{told}");
        assert_eq!(told["failures"][0]["code"], "schema_violated");
        assert_eq!(told["failures"][1]["code"], "document_exists");
        org.call("DELETE", "documents/2").send().await.success(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_refusals_are_counted_right_while_the_organization_is_renamed() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "renamed").await;
    let (sender, body) = fed_body();
    sender.send(Ok(Bytes::from_static(b"\n"))).expect("open");
    let running = begin(&org, body).await;
    set_schema(&org, &one_of(2_000)).await;
    let feed = async {
        for n in 0..10 {
            sender.send(Ok(mixed(n * 300..(n + 1) * 300).into())).expect("open");
            let (from, to) = if n % 2 == 0 { ("renamed", "renaming") } else { ("renaming", "renamed") };
            server.rename(&org.token, from, to).await.success(200);
        }
        drop(sender);
    };
    let ((), text) = tokio::join!(feed, running.text());
    let told = json_lines(&text.expect("its end"));
    let told = told.last().expect("a last line");
    assert_eq!((&told["inserted"], &told["failed"], told.get("error")), (&json!(1_000), &json!(2_000), None), "{told}");
    let ids: Vec<i32> = stored(&org).await.into_keys().collect();
    assert!(ids == (0..3_000).step_by(3).collect::<Vec<i32>>(), "{} stored", ids.len());
}

#[tokio::test]
async fn an_import_that_is_cut_counts_what_it_added_and_a_batch_that_breaks_is_sent_again() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    // Out of time, killed, a reply too large, a primary that stepped down; and a broken connection.
    let broken = [50, 11_601, 13_548, 10_334].map(|code| doc! { "errorCode": code });
    for (n, failure) in broken.into_iter().chain([doc! { "closeConnection": true }]).enumerate() {
        let org = Org::new(&server, &format!("broken{n}")).await;
        mongod.fail(&["insert"], doc! { "times": 3 }, failure.clone()).await;
        let told = org.import(bare(0..50)).await;
        let told = told.last().expect("a last line");
        assert_eq!((&told["inserted"], &told["failed"], told.get("error")), (&json!(50), &json!(0), None), "{failure}");
        assert_eq!(stored(&org).await.len(), 50);
        // The first batch gets through; everything after it fails.
        mongod.fail(&["insert"], doc! { "skip": 1 }, failure.clone()).await;
        let told = org.import(bare(50..2_000)).await;
        mongod.fail(&["insert"], "off", doc! {}).await;
        let told = told.last().expect("a last line");
        assert_eq!((&told["inserted"], &told["failed"]), (&json!(1_000), &json!(0)), "{failure}");
        assert_eq!(told["error"]["code"], "outcome_unknown", "{failure}");
        assert_eq!(stored(&org).await.len(), 1_050, "{failure}");
        // Writes that MongoDB carried out but could not confirm count too.
        let unconfirmed = doc! { "writeConcernError": { "code": 64, "errmsg": "a text" } };
        mongod.fail(&["insert"], "alwaysOn", unconfirmed).await;
        let told = org.import(bare(2_000..2_010)).await;
        mongod.fail(&["insert"], "off", doc! {}).await;
        let told = told.last().expect("a last line");
        assert_eq!((&told["inserted"], &told["error"]["code"]), (&json!(10), &json!("outcome_unknown")));
    }
}
