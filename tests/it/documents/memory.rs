//! A real server's memory does not grow with the size of imports and exports.

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::support::process::{Running, Tenantry};
use crate::support::server::{PASSWORD, SECRET, empty_database};
use crate::support::{eventually, is_ready, mongo};

/// How many documents there are, and how large each is: in total more than three times the allowed growth.
const DOCUMENTS: usize = 20_000;
const BYTES: usize = 10_000;
/// How much a whole import or export may add, in KiB.
const MAY_GROW_BY: u64 = 64 << 10;

/// The resident memory, in KiB.
fn resident(server: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_megabytes_go_in_and_out_without_staying() {
    let mongod = mongo::shared().await;
    let (database, uri) = (empty_database(mongod).await, mongod.uri());
    let settings = [
        ("MONGO_URI", uri.as_str()),
        ("MASTER_DB_NAME", database.name()),
        ("JWT_SECRET", SECRET),
        ("PORT", "0"),
        ("SALT_ROUNDS", "4"),
        ("REQUEST_TIMEOUT_SECONDS", "60"),
    ];
    let server = Tenantry::new(&["serve"], &settings).start();
    eventually("it listens", async || server.url().is_some()).await;
    let (client, url) =
        (reqwest::Client::builder().no_gzip().build().expect("a client"), server.url().expect("an address"));
    eventually("it is ready", || is_ready(&client, &url)).await;
    let post = async |path: &str, body: serde_json::Value| {
        let request = client.post(format!("{url}{path}")).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")
    };
    post("/org/create", json!({ "organization_name": "large", "email": "a@example.com", "password": PASSWORD })).await;
    let logged_in = post("/admin/login", json!({ "email": "a@example.com", "password": PASSWORD })).await;
    let token = logged_in["access_token"].as_str().expect("a token");

    let before = resident(&server);
    let line = json!({ "text": "x".repeat(BYTES) }).to_string() + "\n";
    let body = stream::iter((0..DOCUMENTS).map(move |_| Ok::<_, std::io::Error>(line.clone())));
    let request = client.post(format!("{url}/org/large/documents")).bearer_auth(token);
    let request = request.header("content-type", "application/x-ndjson").body(reqwest::Body::wrap_stream(body));
    let mut answer = request.send().await.expect("an answer").bytes_stream();
    let (mut most, mut last) = (before, Vec::new());
    // Measures at every line of progress: after the end of an import there would be nothing left to see.
    while let Some(piece) = answer.next().await {
        most = most.max(resident(&server));
        last = piece.expect("a piece").to_vec();
    }
    let last = String::from_utf8(last).expect("text");
    let told: serde_json::Value = serde_json::from_str(last.lines().last().expect("a line")).expect("JSON");
    assert_eq!(told["inserted"], DOCUMENTS);

    let request = client.get(format!("{url}/org/large/export")).bearer_auth(token);
    let (mut pieces, mut bytes) = (request.send().await.expect("an answer").bytes_stream(), 0);
    while let Some(piece) = pieces.next().await {
        bytes += piece.expect("a piece").len();
        most = most.max(resident(&server));
    }
    assert!(bytes > DOCUMENTS * BYTES, "{bytes}");
    assert!(most - before < MAY_GROW_BY, "{before} KiB before, up to {most} KiB");
}
