//! What one client or organization can take, and what it leaves for the others. The attacks themselves are in tests/hostile.

use std::time::Duration;

use bson::doc;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command_line::{ready, settings};
use crate::documents::import::{begin, fed_body};
use crate::documents::{Org, json_lines};
use crate::support::mongo::{Mongod, shared};
use crate::support::process::Tenantry;
use crate::support::server::empty_database;
use crate::support::{PASSWORD, Server, Tenant, eventually};

/// A server that trusts its clients' `X-Forwarded-For`.
async fn with_addresses(settings: &[(&str, &str)]) -> Server {
    let mut all = vec![("TRUSTED_PROXIES", "127.0.0.0/8")];
    all.extend(settings);
    Server::with(&all).await
}

/// Sends a head and only one byte of its body.
async fn promise(server: &Server, from: &str, call: &str, header: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("connected");
    let head = format!(
        "{call} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\n{header}\r\nContent-Type: application/json\r\n\
         Content-Length: {bytes}\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

async fn status_of(stream: &mut TcpStream) -> String {
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test]
async fn unfinished_bodies_use_up_only_their_own_clients_share() {
    let server = with_addresses(&[("MAX_RUNNING_REQUESTS", "8"), ("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(promise(&server, "192.0.2.1", "POST /org/create", "X: y", 100).await);
    }
    let find =
        async |from: &str| server.get("/org/get?organization_name=a").header("x-forwarded-for", from).send().await;
    eventually("one client has its share", async || find("192.0.2.1").await.code() == "share_used_up").await;
    let refused = find("192.0.2.1").await.problem(429, "share_used_up");
    assert_eq!(refused.header("retry-after"), "1");
    find("192.0.2.2").await.problem(404, "organization_not_found");
    server.get("/health/ready").header("x-forwarded-for", "192.0.2.3").send().await.success(200);
    drop(held);
    eventually("it has its share back", async || find("192.0.2.1").await.status == 404).await;
}

#[tokio::test]
async fn an_ipv6_site_is_one_client() {
    let server = with_addresses(&[("MAX_RUNNING_REQUESTS", "2"), ("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let _held = promise(&server, "2001:db8:1:2::3", "POST /org/create", "X: y", 100).await;
    let find =
        async |from: &str| server.get("/org/get?organization_name=a").header("x-forwarded-for", from).send().await;
    eventually("the site has its share", async || find("2001:db8:1:ffff::9").await.code() == "share_used_up").await;
    find("2001:db8:2::1").await.problem(404, "organization_not_found");
}

#[tokio::test]
async fn a_bodys_share_is_taken_before_it_is_read() {
    // Three eighths are for bodies, each of which counts six times: a client may have just one of a mebibyte.
    let server = with_addresses(&[("MAX_BYTES_IN_FLIGHT", "50331648"), ("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let acme = server.tenant("acme").await;
    let authorization = format!("Authorization: Bearer {}", acme.token);
    let begin = async |from: &str| promise(&server, from, "POST /org/acme/documents", &authorization, 1 << 20).await;
    let _held = begin("192.0.2.1").await;
    eventually("it is being read", async || in_flight(&server).await >= 6 << 20).await;
    assert_eq!(status_of(&mut begin("192.0.2.1").await).await, "HTTP/1.1 429");
    let other = server.call("POST", "/org/acme/documents").bearer(&acme.token).header("x-forwarded-for", "192.0.2.2");
    other.json(&json!({ "a": "x".repeat(1_000_000) })).send().await.success(201);
    let small = server.call("POST", "/org/acme/documents").bearer(&acme.token).header("x-forwarded-for", "192.0.2.1");
    small.json(&json!({ "a": 1 })).send().await.success(201);
}

/// The bytes of bodies that all servers of this process hold.
async fn in_flight(server: &Server) -> u64 {
    let metrics = server.get("/metrics").send().await.text;
    let line = metrics.lines().find_map(|line| line.strip_prefix("http_body_bytes ")).expect("a gauge");
    line.parse().expect("a number")
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    // A process of its own, because metrics are per process.
    let (uri, database) = (shared().await.uri(), empty_database(shared().await).await);
    let server = Tenantry::new(&["serve"], &settings(&uri, database.name())).start();
    let (client, url) = ready(&server).await;
    let body = |body: serde_json::Value| ("content-type", "application/json", body.to_string());
    let post = async |path: &str, token: &str, (name, value, body): (&str, &str, String)| {
        let request = client.post(format!("{url}{path}")).bearer_auth(token).header(name, value).body(body);
        let answer = request.send().await.expect("an answer").text().await.expect("a text");
        serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")
    };
    let email = "a@example.com";
    let org = json!({ "organization_name": "unread", "email": email, "password": PASSWORD });
    post("/org/create", "", body(org)).await;
    let login = post("/admin/login", "", body(json!({ "email": email, "password": PASSWORD }))).await;
    let token = login["access_token"].as_str().expect("a token");
    post("/org/unread/documents", token, body(json!({ "_id": 1, "a": "x".repeat(1_000_000) }))).await;

    let gauge = async |name: &str| {
        let metrics =
            client.get(format!("{url}/metrics")).send().await.expect("an answer").text().await.expect("a text");
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).expect("a gauge")
    };
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connected");
        let request = format!("GET /org/unread/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        // More than the kernel buffers at both ends.
        stream.write_all(request.repeat(50).as_bytes()).await.expect("sent");
        held.push(stream);
    }
    eventually("all wait to be read", async || gauge("http_answer_bytes").await >= 8_000_000).await;
    assert_eq!(gauge("http_requests_running").await, 8, "a request runs until its answer is read");
    eventually("all are cut", async || gauge("http_connections").await == 1).await;
    assert_eq!((gauge("http_answer_bytes").await, gauge("http_requests_running").await), (0, 0));
    drop(held);
}

#[tokio::test]
async fn an_import_that_drips_is_cut_although_it_never_stops() {
    let settings = [("REQUEST_TIMEOUT_SECONDS", "1"), ("MIN_STREAM_BYTES_PER_SECOND", "1000")];
    let server = Server::with(&settings).await;
    let org = Org::new(&server, "dripping").await;
    let (sender, body) = fed_body();
    sender.send(Ok("{\"_id\":1}\n".into())).expect("open");
    let running = begin(&org, body).await;
    let drip = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while sender.send(Ok(" ".into())).is_ok() {
            ticks.tick().await;
        }
    };
    let text = tokio::select! {
        () = drip => String::new(),
        text = running.text() => text.expect("its end"),
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("it is never cut"),
    };
    let lines = json_lines(&text);
    let last = lines.last().expect("a line");
    assert_eq!((&last["error"]["code"], &last["inserted"]), (&json!("body_timeout"), &json!(1)), "{text}");
}

#[tokio::test]
async fn one_address_leaves_connections_for_others_and_is_told_so() {
    let server = Server::with(&[("MAX_CONNECTIONS", "4")]).await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(TcpStream::connect(&address).await.expect("connected"));
    }
    let first_line = async || {
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        let _closed = stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut line = [0; 12];
        let read = stream.read_exact(&mut line).await;
        read.map(|_| String::from_utf8_lossy(&line).into_owned()).unwrap_or_default()
    };
    eventually("no more are accepted", async || first_line().await == "HTTP/1.1 429").await;
    // Another address of the loopback network.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.9:0".parse().expect("an address")).expect("bound");
    let mut other = socket.connect(address.parse().expect("an address")).await.expect("connected");
    other.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    assert_eq!(status_of(&mut other).await, "HTTP/1.1 200");
    drop(held);
    eventually("one is accepted again", async || first_line().await == "HTTP/1.1 200").await;
}

#[tokio::test]
async fn an_organizations_slow_queries_leave_room_for_others() {
    let mongod = Mongod::with_fail_points().await;
    let settings = [("MAX_RUNNING_QUERIES", "4"), ("REQUEST_TIMEOUT_SECONDS", "60")];
    let server = Server::over(&mongod, empty_database(&mongod).await, &settings).await;
    let (org, other) = (Org::new(&server, "greedy").await, Org::new(&server, "other").await);
    let namespace = format!("{}.org_greedy", server.database.name());
    let slow = doc! { "blockConnection": true, "blockTimeMS": 5_000, "namespace": namespace };
    mongod.fail(&["find"], "alwaysOn", slow).await;
    let answers = futures_util::future::join_all((0..6).map(|_| org.get("documents"))).await;
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(refused, 4, "two run, and the others wait for a second");
    let beside = async {
        other.insert(&json!({ "_id": 1 })).await.success(201);
        other.get("documents").await.success(200);
        server.log_in("admin@other.example", PASSWORD).await.success(200);
        server.get("/health/ready").send().await.success(200);
    };
    let (_, ()) = tokio::join!(futures_util::future::join_all((0..6).map(|_| org.get("documents"))), beside);
    mongod.fail(&["find"], "off", doc! {}).await;
    org.get("documents").await.success(200);
}

#[tokio::test]
async fn a_list_ends_in_mongodb_when_its_client_leaves() {
    let mongod = Mongod::started().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let org = Org::new(&server, "gone").await;
    // Each condition reads every element of every document, which takes seconds.
    org.import((json!({ "n": vec![1; 1_000] }).to_string() + "\n").repeat(4_000)).await;
    let mut conditions: Vec<_> = (0..190).map(|n| json!({ "n": { "$lt": -n } })).collect();
    conditions.push(json!({ "n": { "$gt": 0 } }));
    let filter = json!({ "$nor": conditions }).to_string();
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter).finish();
    let admin = server.database.client().database("admin");
    let at_work = async || {
        let ours = doc! { "currentOp": 1, "ns": format!("{}.org_gone", server.database.name()), "op": "query" };
        let reply = admin.run_command(ours).await;
        reply.expect("the operations").get_array("inprog").map_or(0, Vec::len)
    };
    let url = format!("{}/org/gone/documents?{query}", server.url);
    let asked = tokio::spawn(server.client.get(url).bearer_auth(&org.token).send());
    eventually("it runs", async || at_work().await > 0).await;
    asked.abort();
    eventually("it has ended", async || at_work().await == 0).await;
}

#[tokio::test]
async fn private_answers_are_not_cached_and_vary_by_authorization() {
    let server = Server::start().await;
    let Tenant { token, .. } = server.tenant("acme").await;
    let kept = |headers: &HeaderMap| {
        let values = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|value| value.to_str().expect("a text").to_lowercase()).collect()
        };
        let varies = values("vary").iter().any(|value| value.contains("authorization"));
        (values("cache-control") == ["no-store"], varies)
    };
    for path in ["/org/get?organization_name=acme", "/org/acme/documents", "/org/acme/names", "/org/acme/stats"] {
        let own = server.get(path).bearer(&token).send().await;
        assert_eq!((own.status, kept(&own.headers)), (200, (true, true)), "{path}");
        let strangers = server.get(path).send().await;
        assert_eq!(kept(&strangers.headers), (true, true), "{path}");
    }
    let login = server.log_in("admin@acme.example", PASSWORD).await;
    assert!(kept(&login.headers).0);
    assert_eq!(server.get("/docs/index.css").send().await.header("cache-control"), "public, max-age=600");
}

#[tokio::test]
async fn a_request_without_exactly_one_valid_host_is_refused() {
    let server = Server::start().await;
    for (head, status) in [
        ("GET /health/live HTTP/1.1\r\nHost: a.example\r\n", "HTTP/1.1 200"),
        ("GET /health/live HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("GET /health/live HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n", "HTTP/1.1 400"),
        ("GET /health/live HTTP/1.1\r\nHost: a b\r\n", "HTTP/1.1 400"),
        ("GET /health/live HTTP/1.0\r\n", "HTTP/1.0 200"),
    ] {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("connected");
        stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("sent");
        assert_eq!(status_of(&mut stream).await, status, "{head}");
    }
}
