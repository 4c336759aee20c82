//! What creations cost beyond their commands, and that the cost of renames does not depend on an organization's size.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use serde_json::json;

use crate::load::{Connection, in_turns, request};
use crate::place::{CHEAP, Served, collection, creation, name};
use crate::report::{Goal, Report, judged};
use crate::stats::{Spread, millis};
use crate::support::eventually;
use crate::support::mongo::Mongod;

/// The first number of an organization created here.
const FIRST: u64 = 2_000_000;
/// The renamed organizations' documents.
const SIZES: [i32; 2] = [1_000, 1_000_000];
/// Documents inserted at once.
const BATCH: usize = 10_000;
/// Renames of each organization.
const RENAMES: usize = 50;

/// Creations one after another, by the server and by the bare handler in turns.
pub(crate) async fn measure_creations(report: &mut Report, mongod: &Mongod) {
    let about = "One client, in turns, among few organizations. The bare handler hashes the password and sends the same number of \
        commands one after another. With the cheapest hash the commands alone are compared.";
    let columns = ["bcrypt cost", "creations each", "server, ms", "bare handler, ms", "ratio of speed", "goal"];
    report.table("Creations against bcrypt and the same commands", about, &columns);
    let bare = Served::bare(mongod, &[]).await;
    let mut number = FIRST;
    for (cost, times, settings, goal) in
        [(12, 30, &[] as crate::place::Settings, Goal::AtLeast(0.9)), (4, 300, CHEAP, Goal::None)]
    {
        let server = Served::server(mongod, settings).await;
        let (mut to_server, mut to_bare) =
            (Connection::open(server.address).await, Connection::open(bare.address).await);
        let mut pairs = Vec::new();
        for round in 0..times {
            let by_bare = String::from_utf8(creation(number + 1)).expect("text");
            let by_bare = by_bare.replacen("/org/create", &format!("/create?cost={cost}"), 1);
            let by_server = async || timed(&mut to_server, &creation(number)).await;
            pairs.push(in_turns(round, async || timed(&mut to_bare, by_bare.as_bytes()).await, by_server).await);
            number += 2;
        }
        // Speed is the inverse of time.
        let [bare, server, ratio] = Spread::of_pairs(&pairs, |number| number);
        let cells = [cost.to_string(), times.to_string(), server.to_string(), bare.to_string()];
        report.row(&[cells.as_slice(), &judged(ratio, goal)].concat());
    }
}

/// How long a request took, in milliseconds.
async fn timed(connection: &mut Connection, request: &[u8]) -> f64 {
    let began = Instant::now();
    connection.ask(request).await;
    millis(began.elapsed())
}

/// Renames of a small and of a large organization, in turns.
pub(crate) async fn measure_renames(report: &mut Report, mongod: &Mongod) {
    let server = Served::server(mongod, &[("SALT_ROUNDS", "4"), ("REQUEST_TIMEOUT_SECONDS", "600")]).await;
    let mut tokens = Vec::new();
    for (number, size) in (FIRST - 2..).zip(SIZES) {
        tokens.push((number, filled(&server, mongod, number, size).await));
    }
    let [small, large] = tokens.as_slice() else { unreachable!("there are two sizes") };
    let mut pairs = Vec::new();
    for round in 0..RENAMES {
        let rename = async |(number, token): &(u64, String)| {
            let called = |round: usize| if round == 0 { name(*number) } else { format!("{} {round}", name(*number)) };
            let body = json!({ "organization_name": called(round), "new_organization_name": called(round + 1) });
            let rename = request("PUT", "/org/update", Some(token), Some(&body.to_string()));
            timed(&mut Connection::open(server.address).await, &rename).await
        };
        pairs.push(in_turns(round, async || rename(large).await, async || rename(small).await).await);
    }
    let about = format!("Organizations with 3 indexes, {RENAMES} renames each in turns, in milliseconds.");
    let columns = ["1,000 documents", "1,000,000 documents", "ratio", "goal"];
    report.table("Renames of small and of large organizations", &about, &columns);
    let [large, small, ratio] = Spread::of_pairs(&pairs, |number| number);
    report.row(&[[small.to_string(), large.to_string()].as_slice(), &judged(ratio, Goal::AtMost(2.0))].concat());
}

/// Creates an organization with `size` documents and three indexes, and returns its token.
async fn filled(server: &Served, mongod: &Mongod, number: u64, size: i32) -> String {
    Connection::open(server.address).await.ask(&creation(number)).await;
    let token = server.token(number).await;
    let documents = collection(mongod, &format!("org_{}", name(number).replace(' ', "_"))).await;
    let numbers: Vec<i32> = (0..size).collect();
    for batch in numbers.chunks(BATCH) {
        let document = |n: &i32| doc! { "_id": n, "a": n % 97, "b": n.to_string(), "c": -n, "text": "x".repeat(100) };
        documents.insert_many(batch.iter().map(document).collect::<Vec<Document>>()).await.expect("stored");
    }
    let path = format!("/org/{}/indexes", name(number).replace(' ', "%20"));
    for field in ["a", "b", "c"] {
        server.call("POST", &path, Some(&token), Some(json!({ "keys": { field: 1 } }))).await;
    }
    let admin = mongod.client().await.database("admin");
    eventually("the indexes are built", async || {
        let building = doc! { "currentOp": 1, "command.createIndexes": { "$exists": true } };
        let running = admin.run_command(building).await.expect("operations");
        let is_quiet = running.get_array("inprog").expect("a list").is_empty();
        is_quiet && documents.list_index_names().await.expect("names").len() == 4
    })
    .await;
    // Lets the writes reach the disk, which is not measured.
    tokio::time::sleep(Duration::from_secs(2)).await;
    token
}
