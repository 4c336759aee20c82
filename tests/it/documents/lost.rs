//! Writes whose answer is lost or that MongoDB could not confirm: the server finds out, retries safely, or says that it
//! does not know.

use bson::{Document, doc};
use serde_json::{Value, json};

use super::Org;
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{Answer, Server};

/// Ways in which a command fails once: it never arrives, or it runs and is not confirmed.
fn failures() -> [Document; 4] {
    [
        doc! { "closeConnection": true },
        doc! { "errorCode": 11602, "errorLabels": [] },
        doc! { "errorCode": 10107 },
        doc! { "writeConcernError": { "code": 91, "errmsg": "a secret text" } },
    ]
}

pub(super) async fn mongod_and_server() -> (Mongod, Server) {
    let mongod = Mongod::with_fail_points().await;
    let database = empty_database(&mongod).await;
    let server = Server::over(&mongod, database, &[]).await;
    (mongod, server)
}

/// Fails unless exactly one command failed since this count.
async fn assert_failed_once(mongod: &Mongod, before: i64, about: &str) {
    assert_eq!(mongod.fail(&[], "off", doc! {}).await, before + 1, "{about}");
}

async fn write(org: &Org<'_>, method: &str, id: i32, tag: Option<&str>) -> Answer {
    let call = match method {
        "POST" => org.call(method, "documents"),
        _ => org.call(method, &format!("documents/{id}")),
    };
    let call = match method {
        "POST" => call.json(&json!({ "_id": id, "n": "new" })),
        "DELETE" => call,
        _ => call.json(&json!({ "n": "new" })),
    };
    tag.into_iter().fold(call, |call, tag| call.header("if-match", tag)).send().await
}

#[tokio::test]
async fn a_write_that_failed_once_on_its_way_is_done_exactly_once() {
    let (mongod, server) = mongod_and_server().await;
    let org = Org::new(&server, "lost").await;
    let mut id = 0;
    for failure in failures() {
        for (method, command) in [("POST", "insert"), ("PUT", "update"), ("PATCH", "update"), ("DELETE", "delete")] {
            for is_conditional in [false, true] {
                if is_conditional && method == "POST" {
                    continue;
                }
                id += 1;
                let tag = match method {
                    "POST" => None,
                    _ => {
                        Some(org.insert(&json!({ "_id": id, "n": "old" })).await.success(201).header("etag").to_owned())
                    }
                };
                let before = mongod.fail(&[command], doc! { "times": 1 }, failure.clone()).await;
                let answer = write(&org, method, id, tag.as_deref().filter(|_| is_conditional)).await;
                assert!(matches!(answer.status, 200 | 201 | 204), "{method} {failure}: {}", answer.text);
                assert_failed_once(&mongod, before, &format!("{method} {failure}")).await;
                let found = org.get(&format!("documents/{id}")).await;
                if method == "DELETE" {
                    found.problem(404, "document_not_found");
                } else {
                    assert_eq!(found.body, json!({ "_id": id, "n": "new" }), "{method} {failure}");
                    assert_eq!(found.header("etag"), answer.header("etag"), "{method} {failure}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_not_taken_for_a_write_whose_answer_was_lost() {
    let (mongod, server) = mongod_and_server().await;
    let org = Org::new(&server, "taken").await;
    let stale = org.insert(&json!({ "_id": 1, "n": "old" })).await.success(201).header("etag").to_owned();
    let present = org.call("PATCH", "documents/1").json(&json!({ "n": "theirs" })).send().await.success(200);
    for (method, command) in [("POST", "insert"), ("PUT", "update"), ("DELETE", "delete")] {
        let before = mongod.fail(&[command], doc! { "times": 1 }, doc! { "closeConnection": true }).await;
        write(&org, method, 1, Some(&stale)).await.problem(503, "outcome_unknown");
        assert_failed_once(&mongod, before, method).await;
        let found = org.get("documents/1").await;
        assert_eq!(found.body, json!({ "_id": 1, "n": "theirs" }), "{method}");
        assert_eq!(found.header("etag"), present.header("etag"), "{method}");
    }
}

#[tokio::test]
async fn an_import_that_lost_an_answer_adds_each_document_once() {
    let (mongod, server) = mongod_and_server().await;
    for (n, failure) in failures().into_iter().enumerate() {
        let org = Org::new(&server, &format!("lost{n}")).await;
        org.insert(&json!({ "_id": 7, "mine": false })).await.success(201);
        let before = mongod.fail(&["insert"], doc! { "times": 1 }, failure.clone()).await;
        let body = super::lines((0..50).map(|id| json!({ "_id": id, "mine": true })));
        let lines = org.import(body).await;
        assert_failed_once(&mongod, before, &failure.to_string()).await;
        let last = lines.last().expect("a last line");
        assert_eq!((&last["inserted"], &last["failed"]), (&json!(49), &json!(1)), "{failure} {last}");
        assert_eq!(
            (&last["failures"][0]["line"], &last["failures"][0]["code"]),
            (&json!(8), &json!("document_exists"))
        );
        assert_eq!(org.export().await.len(), 50);
        assert_eq!(org.get("documents/7").await.body["mine"], false);
    }
}

#[tokio::test]
async fn what_cannot_be_found_out_is_said_and_shows_nothing_of_mongodb() {
    let (mongod, server) = mongod_and_server().await;
    let org = Org::new(&server, "unknown").await;
    org.insert(&json!({ "_id": 1, "n": "old" })).await.success(201);
    let writes = [("POST", "insert"), ("PUT", "update"), ("PATCH", "update"), ("DELETE", "delete")];
    let unconfirmed = doc! { "writeConcernError": { "code": 91, "errmsg": "a secret text" } };
    // The second one still carries out the write.
    let failures = [doc! { "errorCode": 10107 }, unconfirmed];
    for ((method, command), failure) in writes.into_iter().flat_map(|write| failures.clone().map(|how| (write, how))) {
        mongod.fail(&[command], "alwaysOn", failure).await;
        let id = if method == "POST" { 2 } else { 1 };
        let answer = write(&org, method, id, None).await.problem(503, "outcome_unknown");
        mongod.fail(&[command], "off", doc! {}).await;
        assert!(!answer.text.contains("secret") && answer.headers.contains_key("retry-after"));
    }
    mongod.fail(&["insert"], "alwaysOn", doc! { "closeConnection": true }).await;
    let lines = org.import("{\"_id\":3}").await;
    mongod.fail(&["insert"], "off", doc! {}).await;
    assert_eq!(lines[lines.len() - 1]["error"]["code"], "outcome_unknown");
}

#[tokio::test]
async fn a_read_that_failed_once_is_repeated() {
    let (mongod, server) = mongod_and_server().await;
    let org = Org::new(&server, "reads").await;
    org.insert(&json!({ "_id": 1 })).await.success(201);
    for failure in [doc! { "closeConnection": true }, doc! { "errorCode": 10107 }, doc! { "errorCode": 175 }] {
        for path in ["documents/1", "documents?count=true", "export"] {
            let before = mongod.fail(&["find"], doc! { "times": 1 }, failure.clone()).await;
            org.get(path).await.success(200);
            assert_failed_once(&mongod, before, &format!("{path} {failure}")).await;
        }
    }
}

#[tokio::test]
async fn documents_survive_mongodb_being_killed_while_they_are_written() {
    let mut mongod = Mongod::started().await;
    let database = empty_database(&mongod).await;
    let server = Server::over(&mongod, database, &[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "killed").await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let writing = async {
            let mut told = Vec::new();
            for n in 0.. {
                let id = round * 100_000 + n;
                let answer = org.insert(&json!({ "_id": id })).await;
                match answer.status {
                    201 => told.push(id),
                    503 => return told,
                    _ => panic!("{}", answer.text),
                }
            }
            told
        };
        let killing = async {
            // At an arbitrary point of the writing.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            mongod.kill();
        };
        let (told, ()) = tokio::join!(writing, killing);
        acknowledged.extend(told);
        mongod.start().await;
        crate::support::eventually("the server has it again", async || org.get("stats").await.status == 200).await;
    }
    let stored: Vec<Value> = org.export().await.iter().map(|document| document["_id"].clone()).collect();
    let lost: Vec<&i32> = acknowledged.iter().filter(|id| !stored.contains(&json!(id))).collect();
    assert!(lost.is_empty() && acknowledged.len() > 10, "{lost:?} of {}", acknowledged.len());
}
