//! Exports: all documents in one stream.

use bson::doc;
use bson::oid::ObjectId;
use futures_util::StreamExt;
use serde_json::json;

use super::{Org, bare, json_lines};
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{Server, eventually};

#[tokio::test]
async fn an_export_has_everything_in_order_and_can_be_imported_as_it_is() {
    let server = Server::start().await;
    let (org, copy) = (Org::new(&server, "original").await, Org::new(&server, "copy").await);
    // In MongoDB's order: numbers, strings, documents, ObjectIds, dates.
    let oid = ObjectId::new();
    let date = bson::DateTime::now();
    let ids =
        [bson::Bson::from(-1), 2.5.into(), 7_i64.into(), "b".into(), doc! { "x": 1 }.into(), oid.into(), date.into()];
    for id in ids.iter().rev() {
        org.stored().insert_one(doc! { "_id": id, "n": 1, "made": date }).await.expect("MongoDB");
    }
    let text = org.get("export").await.success(200).text;
    let exported = json_lines(&text);
    assert_eq!(
        exported.iter().map(|document| document["_id"].clone()).collect::<Vec<_>>()[..4],
        [json!(-1), json!(2.5), json!(7), json!("b")]
    );
    assert_eq!(exported.len(), ids.len());
    let told = copy.import(text).await;
    // Ids that only another program can have assigned are not valid here.
    assert_eq!((&told[told.len() - 1]["inserted"], &told[told.len() - 1]["failed"]), (&json!(4), &json!(3)));
    let filtered = org.get("export?filter=%7B%22_id%22:%7B%22$type%22:%22number%22%7D%7D").await.success(200);
    assert_eq!(json_lines(&filtered.text).len(), 3);
    org.get("export?filter=%7B%22$where%22:1%7D").await.invalid(&["?filter/$where unsupported_operator"]);
    org.get("export?limit=1").await.invalid(&["?limit unknown_field"]);
}

#[tokio::test]
async fn an_export_goes_on_after_its_cursor_was_lost() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let org = Org::new(&server, "resumed").await;
    let body = bare(0..5_000);
    org.import(body).await;
    // Cursor not found, killed by a rename, a broken connection, a primary that steps down.
    for how in [
        doc! { "errorCode": 43 },
        doc! { "errorCode": 175 },
        doc! { "closeConnection": true },
        doc! { "errorCode": 11602 },
    ] {
        let before = mongod.fail(&["getMore"], doc! { "times": 1 }, how.clone()).await;
        let exported = org.export().await;
        assert!(exported.iter().enumerate().all(|(n, document)| document["_id"] == n), "{how}");
        assert_eq!(exported.len(), 5_000, "{how}");
        assert_eq!(mongod.fail(&["getMore"], "off", doc! {}).await, before + 1, "{how}");
    }
}

#[tokio::test]
async fn an_export_that_had_to_be_cut_says_so_in_its_last_line() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let org = Org::new(&server, "cut").await;
    let body = bare(0..5_000);
    org.import(body).await;
    mongod.fail(&["getMore"], "alwaysOn", doc! { "errorCode": 50 }).await;
    let exported = org.export().await;
    mongod.fail(&["getMore"], "off", doc! {}).await;
    let (last, documents) = exported.split_last().expect("lines");
    assert_eq!(last["error"]["code"], "query_too_slow");
    assert!(last.get("_id").is_none());
    assert!(documents.len() < 5_000 && documents.iter().enumerate().all(|(n, document)| document["_id"] == n));
}

#[tokio::test]
async fn a_client_that_hangs_up_or_reads_nothing_ends_its_export() {
    let server = Server::with(&[("MAX_RUNNING_STREAMS", "1"), ("REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let org = Org::new(&server, "unread").await;
    let line = json!({ "text": "x".repeat(10_000) }).to_string() + "\n";
    for _ in 0..4 {
        org.import(line.repeat(1_000)).await;
    }
    let begin = async || {
        // Compressed, all of it would fit into the kernel's buffers for a client that does not read.
        let request =
            server.client.get(format!("{}/org/unread/export", server.url)).header("accept-encoding", "identity");
        let request = request.bearer_auth(&org.token);
        request.send().await.expect("it began").bytes_stream()
    };
    let mut hung_up = begin().await;
    hung_up.next().await.expect("a piece").expect("whole");
    drop(hung_up);
    eventually("the export of a client that hung up is over", async || {
        org.get("export?filter=%7B%22a%22:1%7D").await.status == 200
    })
    .await;
    let mut unread = begin().await;
    unread.next().await.expect("a piece").expect("whole");
    eventually("the export of a client that reads nothing is over", async || {
        org.get("export?filter=%7B%22a%22:1%7D").await.status == 200
    })
    .await;
    let (mut rest, mut is_broken) = (Vec::new(), false);
    while let Some(piece) = unread.next().await {
        match piece {
            Ok(piece) => rest.extend(piece),
            Err(_) => is_broken = true,
        }
    }
    let is_told =
        String::from_utf8_lossy(&rest).trim_end().ends_with("}}") && rest.windows(14).any(|w| w == b"answer_timeout");
    assert!(rest.len() < 40_000_000, "it was cut");
    assert!(is_broken || is_told, "what was cut must not look whole");
}
