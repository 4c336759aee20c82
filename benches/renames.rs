//! Does a rename cost more when the organization is larger? Two organizations with three indexes each, one of a thousand
//! documents and one of a million, renamed in turns; `make bench` prints the ratio of their times.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "it fills MongoDB past the repositories")]

#[path = "../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

use std::time::{Duration, Instant};

use bson::{Document, doc};
use serde_json::json;
use support::mongo::Mongod;
use support::server::empty_database;
use support::{Server, Tenant};

/// How many documents the organizations have.
const SIZES: [i32; 2] = [1_000, 1_000_000];
/// How many documents are inserted at once.
const BATCH: usize = 10_000;
/// How often each organization is renamed.
const ROUNDS: usize = 50;

#[tokio::main]
async fn main() {
    let mongod = Mongod::started().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[("REQUEST_TIMEOUT_SECONDS", "600")]).await;
    let mut tenants = Vec::new();
    for size in SIZES {
        tenants.push(filled(&server, size).await);
    }
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for ((size, tenant), times) in SIZES.iter().zip(&tenants).zip(&mut times) {
            let (from, to) = (format!("size {size} {round}"), format!("size {size} {}", round + 1));
            let began = Instant::now();
            server.rename(&tenant.token, &from, &to).await.success(200);
            times.push(began.elapsed());
        }
    }
    println!("renames of an organization with 3 indexes, medians of {ROUNDS} (least to most)\n");
    println!("| documents | a rename |\n| --- | --- |");
    let medians = times.map(|mut times| {
        times.sort();
        (times[ROUNDS / 2], times[0], times[ROUNDS - 1])
    });
    for (size, (median, least, most)) in SIZES.iter().zip(&medians) {
        println!("| {size} | {} ({} to {}) |", millis(*median), millis(*least), millis(*most));
    }
    println!("\nratio {:.2}", medians[1].0.as_secs_f64() / medians[0].0.as_secs_f64());
}

/// An organization with so many documents and three indexes.
async fn filled(server: &Server, size: i32) -> Tenant {
    let tenant = server.tenant(&format!("size {size} 0")).await;
    let collection = server.documents(&format!("org_size_{size}_0"));
    let numbers: Vec<i32> = (0..size).collect();
    for batch in numbers.chunks(BATCH) {
        let document = |n: &i32| doc! { "_id": n, "a": n % 97, "b": n.to_string(), "c": -n, "text": "x".repeat(100) };
        collection.insert_many(batch.iter().map(document).collect::<Vec<Document>>()).await.expect("stored");
    }
    for field in ["a", "b", "c"] {
        let path = format!("/org/size%20{size}%200/indexes");
        let index = json!({ "keys": { field: 1 } });
        let answer = server.call("POST", &path).bearer(&tenant.token).json(&index).send().await;
        assert!(matches!(answer.status, 201 | 202), "{}", answer.text);
    }
    support::eventually("the indexes are built", async || {
        let status = collection.list_index_names().await.expect("names").len() == 4;
        let building = doc! { "currentOp": 1, "command.createIndexes": { "$exists": true } };
        let running = server.database.client().database("admin").run_command(building).await.expect("operations");
        status && running.get_array("inprog").expect("a list").is_empty()
    })
    .await;
    tenant
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
