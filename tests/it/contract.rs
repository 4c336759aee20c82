//! What holds for every call: the shape of errors, ids, headers, sizes, and the API documents.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::support::client::OPENAPI;
use crate::support::{PASSWORD, Server};

#[test]
fn the_committed_document_is_the_one_that_the_code_makes() {
    let made = serde_json::to_value(tenantry::http::openapi_document()).expect("JSON");
    assert!(made == *OPENAPI, "run: cargo run -- openapi > openapi.json");
}

#[test]
fn every_call_has_an_id_a_summary_and_a_description_of_each_answer() {
    let mut ids = Vec::new();
    for (path, item) in OPENAPI["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
            assert!(is_text(&operation["summary"]), "{method} {path}");
            ids.push(operation["operationId"].as_str().expect("an id"));
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(is_text(&response["description"]), "{method} {path} {status}");
                let media_types: Vec<&String> =
                    response["content"].as_object().into_iter().flat_map(Map::keys).collect();
                let is_right = match status.as_str() {
                    "204" | "304" => media_types.is_empty(),
                    error if error.starts_with(['4', '5']) => media_types == ["application/problem+json"],
                    _ => !media_types.is_empty(),
                };
                assert!(is_right, "{method} {path} {status} {media_types:?}");
            }
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
}

#[tokio::test]
async fn the_root_answers_exactly_what_the_original_did() {
    let server = Server::start().await;
    let answer = server.get("/").send().await.success(200);
    assert_eq!(answer.text, r#"{"message":"Service is running"}"#);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = Server::start().await;
    for path in ["/nothing", "/org", "/org/create/", "/docs/nothing.js", "/redoc/other.js"] {
        server.get(path).send().await.problem(404, "route_not_found");
    }
    for (method, path, allowed) in [
        ("GET", "/org/create", "POST"),
        ("PATCH", "/org/update", "PUT"),
        ("POST", "/org/get", "GET,HEAD"),
        ("BREW", "/org/delete", "DELETE"),
    ] {
        let answer = server.call(method, path).send().await.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allowed);
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_objects_are_told_why() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    for (method, path) in
        [("POST", "/org/create"), ("POST", "/admin/login"), ("PUT", "/org/update"), ("DELETE", "/org/delete")]
    {
        let send = |content_type: &str, body: &'static str| {
            server.call(method, path).bearer(&acme.token).body(content_type, body).send()
        };
        send("text/plain", "{}").await.problem(415, "unsupported_media_type");
        send("nonsense", "{}").await.problem(415, "unsupported_media_type");
        let answer = send("application/json", "{\"password\": hunter2}").await.problem(400, "invalid_json");
        assert_eq!(answer.body["detail"], "The body is not JSON: line 1, column 14");
        assert!(!answer.text.contains("hunter2"));
        send("application/json", "{} {}").await.problem(400, "invalid_json");
        // Text that cannot be a JSON object is invalid JSON, not "something other than an object".
        send("application/json", "{\"organization_name\": 1e999}").await.problem(400, "invalid_json");
        send("application/json", " {\"organization_name\": \"\\ud800\"}").await.problem(400, "invalid_json");
        send("application/json", "\u{feff}{}").await.problem(400, "invalid_json");
        send("application/json", "[]").await.invalid(&[" wrong_type"]);
        send("application/json; charset=utf-8", "null").await.invalid(&[" wrong_type"]);
        send("application/merge-patch+json", "7").await.invalid(&[" wrong_type"]);
    }
    let no_type = server.call("POST", "/org/create").send().await;
    no_type.problem(415, "unsupported_media_type");
    server.create("other", "a@example.com", &"[".repeat(60_000)).await.invalid(&["/password too_long"]);
    let deep = format!("{{\"organization_name\": {}", "[".repeat(10_000));
    let answer = server.call("POST", "/org/create").body("application/json", deep).send().await;
    answer.problem(400, "invalid_json");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whatever_it_says_of_its_length() {
    let server = Server::with(&[("MAX_BODY_BYTES", "2000")]).await;
    let body = |length: usize| format!("{{\"organization_name\":\"{}\"}}", "x".repeat(length - 24));
    let send = |body: reqwest::Body| server.call("POST", "/org/create").body("application/json", body).send();
    let answer = send(body(2001).into()).await.problem(413, "body_too_large");
    assert!(answer.text.contains("2000 bytes"), "{}", answer.text);
    assert_eq!(send(body(2000).into()).await.status, 422, "at the limit");
    // Without a length: chunks are counted as they arrive.
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("connected");
    let answer = tokio::task::spawn_blocking(move || {
        let head = "POST /org/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(format!("{:x}\r\n{}\r\n0\r\n\r\n", 2001, body(2001)).as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer
    });
    assert!(answer.await.expect("no panic").starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_a_large_body_is_refused_before_it_does() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("connected");
    let answer = tokio::task::spawn_blocking(move || {
        let head = "POST /org/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
            Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).expect("read");
        String::from_utf8(answer.to_vec()).expect("text")
    });
    assert_eq!(answer.await.expect("no panic"), "HTTP/1.1 413 ");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("connected");
    let answer = tokio::task::spawn_blocking(move || {
        let head =
            "POST /org/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        answer
    });
    let answer = answer.await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
}

#[tokio::test]
async fn a_head_that_drips_is_not_waited_for() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).expect("connected");
    let closed = tokio::task::spawn_blocking(move || {
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
        // One byte a second, so that the connection is never idle, for longer than any limit.
        (0..40).any(|_| {
            let is_sent = stream.write_all(b"x").is_ok();
            let mut byte = [0];
            let read = stream.read(&mut byte);
            let still_open = matches!(&read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
            !(is_sent && still_open)
        })
    });
    assert!(closed.await.expect("no panic"), "the server still waits");
}

#[tokio::test]
async fn a_request_keeps_a_plain_id_and_gets_one_otherwise() {
    let server = Server::start().await;
    let with_id = |id: &str| server.get("/nothing").header("x-request-id", id).send();
    let answer = with_id("abc-123_X").await.problem(404, "route_not_found");
    assert_eq!(answer.header("x-request-id"), "abc-123_X");
    let long = "x".repeat(65);
    for id in ["a b", "", "a\"b", "ä", long.as_str()] {
        let answer = with_id(id).await.problem(404, "route_not_found");
        uuid::Uuid::parse_str(answer.header("x-request-id")).expect("one of ours");
    }
    let (one, two) = (server.get("/").send().await, server.get("/").send().await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_it() {
    let server = Server::start().await;
    for path in ["/", "/org/get", "/nothing", "/redoc", "/docs/", "/openapi.json", "/metrics"] {
        let answer = server.get(path).send().await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe-eval") && !policy.contains("script-src 'unsafe-inline'"), "{path}");
    }
}

#[tokio::test]
async fn only_pages_of_the_origins_that_are_set_may_read_answers() {
    let allowed = "https://app.example.com";
    let closed = Server::start().await;
    let open = Server::with(&[("CORS_ALLOWED_ORIGINS", allowed)]).await;
    let origin_of = |answer: crate::support::Answer| answer.header("access-control-allow-origin").to_owned();
    for path in ["/", "/nothing"] {
        let from = |server: &Server, origin: &str| server.get(path).header("origin", origin).send();
        assert_eq!(origin_of(from(&closed, allowed).await), "");
        assert_eq!(origin_of(from(&open, allowed).await), allowed, "errors can be read as well");
        assert_eq!(origin_of(from(&open, "https://evil.example").await), "");
    }
    let preflight = open
        .call("OPTIONS", "/org/update")
        .header("origin", allowed)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "authorization,content-type")
        .send()
        .await
        .success(200);
    assert!(preflight.header("access-control-allow-methods").contains("PUT"));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    assert_eq!(preflight.header("access-control-allow-credentials"), "");
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask_and_short_ones_are_not() {
    let server = Server::start().await;
    let client = reqwest::Client::builder().no_gzip().build().expect("a client");
    let encoding = async |path: &str, accepted: &str| {
        let request = client.get(format!("{}{path}", server.url)).header("accept-encoding", accepted);
        let response = request.send().await.expect("an answer");
        response.headers().get("content-encoding").map(|value| value.to_str().expect("a text").to_owned())
    };
    assert_eq!(encoding("/openapi.json", "gzip").await.as_deref(), Some("gzip"));
    assert_eq!(encoding("/openapi.json", "identity").await, None);
    assert_eq!(encoding("/", "gzip").await, None);
    let answer = server.get("/openapi.json").send().await.success(200);
    assert!(answer.body == *OPENAPI, "it is not read back whole");
}

#[tokio::test]
async fn head_answers_as_get_does_without_a_body() {
    let server = Server::start().await;
    server.create("acme", "a@example.com", PASSWORD).await.success(201);
    let answer = server.call("HEAD", "/org/get?organization_name=acme").send().await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn the_metrics_count_requests_by_route_and_name_nobody() {
    let server = Server::start().await;
    server.tenant("acme").await;
    server.find("a name that is nobody's").await.problem(404, "organization_not_found");
    server.call("BREW", "/org/get").send().await.problem(405, "method_not_allowed");
    let answer = server.get("/metrics").send().await.success(200);
    for line in [
        r#"http_requests_total{method="POST",route="/org/create",status="201"}"#,
        r#"http_requests_total{method="GET",route="/org/get",status="404"}"#,
        r#"http_requests_total{method="other",route="/org/get",status="405"}"#,
        r#"http_request_duration_seconds_bucket{method="POST",route="/admin/login",le="0.25"}"#,
        "http_requests_running ",
        "bcrypt_queue_length ",
        "mongodb_pool_connections ",
        "mongodb_pool_connections_in_use ",
    ] {
        assert!(answer.text.contains(line), "{line}\n{}", answer.text);
    }
    assert!(!answer.text.contains("acme") && !answer.text.contains('@') && !answer.text.contains("nobody"));
}

#[tokio::test]
async fn what_fails_inside_says_nothing_of_it_outside() {
    let server = Server::start().await;
    server.tenant("acme").await;
    // An unreadable document, which no program of ours writes.
    let broken = bson::doc! { "$set": { "created_at": "some inner text" } };
    server.documents("organizations").update_one(bson::doc! {}, broken).await.expect("broken");
    let answer = server.find("acme").await.problem(500, "internal_error");
    assert_eq!(answer.body["detail"], "The server failed; its log has more under this request_id");
    assert!(!answer.text.contains("created_at") && !answer.text.contains("inner text"));
    assert_eq!(answer.body.as_object().expect("an object").len(), 6);
    assert_eq!(json!(answer.status), answer.body["status"]);
}
