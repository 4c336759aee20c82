//! What the log says about a request, and what it must never say.

use serde_json::Value;

use crate::noise::with_json_log;
use crate::support::mongo;
use crate::support::server::{SECRET, empty_database};

#[tokio::test]
async fn the_log_has_a_line_for_each_request_and_no_secrets() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let (server, client, url) = with_json_log(mongod, database.name(), "trace").await;

    let post = async |path: &str, body: String| {
        let request = client.post(format!("{url}{path}")).header("content-type", "application/json").body(body);
        let response = request.send().await.expect("an answer");
        (response.headers()["x-request-id"].to_str().expect("an id").to_owned(), response.text().await.expect("a body"))
    };
    let admin = r#""email":"private.person@secret.example","password":"a very private password""#;
    let (_, created) = post("/org/create", format!(r#"{{"organization_name":"acme",{admin}}}"#)).await;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let organization_id = created["organization"]["id"].as_str().expect("an id");
    // The same email again provokes MongoDB's own error, which quotes it.
    let again = (0..8).map(|n| post("/org/create", format!(r#"{{"organization_name":"other {n}",{admin}}}"#)));
    futures_util::future::join_all(again).await;
    let (login_id, logged_in) = post("/admin/login", format!("{{{admin}}}")).await;
    let logged_in: Value = serde_json::from_str(&logged_in).expect("JSON");
    let token = logged_in["access_token"].as_str().expect("a token").to_owned();
    post("/admin/login", admin.to_owned()).await;
    post("/admin/login", format!(r#"{{{admin},"x":1}}"#)).await;
    let document = r#"{"_id":"private-id","text":"private content"}"#;
    let schema = r#"{"properties":{"text":{"maxLength":3}}}"#;
    for (method, path, content_type, body) in [
        ("POST", "documents", "application/json", document),
        // MongoDB's own errors quote duplicates and documents that a schema refuses.
        ("POST", "documents", "application/json", document),
        ("POST", "documents", "application/x-ndjson", document),
        ("PUT", "schema", "application/json", schema),
        ("PUT", "documents/private-id", "application/json", r#"{"text":"private content"}"#),
        ("PATCH", "documents/private-id", "application/json", r#"{"broken private content"#),
        ("GET", "documents?filter=%7B%22text%22:%22private%20content%22%7D", "application/json", ""),
        ("GET", "export", "application/json", ""),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = client.request(method, format!("{url}/org/acme/{path}")).bearer_auth(&token).body(body);
        let answer = request.header("content-type", content_type).send().await.expect("an answer");
        answer.text().await.expect("its end");
    }
    let update = format!(
        r#"{{"organization_name":"acme","new_organization_name":"globex","email":"other.person@secret.example",
        "password":"another private password","x":"{token}"}}"#
    );
    for body in [update.clone(), update.replace(&format!(r#","x":"{token}""#), "")] {
        let request = client.put(format!("{url}/org/update")).bearer_auth(&token).body(body);
        request.header("content-type", "application/json").send().await.expect("an answer");
    }
    server.signal(rustix::process::Signal::TERM);
    let (code, log) = server.end();
    assert_eq!(code, Some(0), "{log}");

    let mut requests = 0;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("every line is JSON");
        if line["message"] == "answered" {
            requests += 1;
            let span = &line["span"];
            assert!(span["request_id"].is_string() && line["status"].is_u64() && line["route"].is_string(), "{line}");
            assert!(line["duration_ms"].is_f64() && line["method"].is_string(), "{line}");
            if span["request_id"] == login_id.as_str() {
                assert_eq!(span["organization_id"], organization_id);
                assert_eq!(line["route"], "/admin/login");
            }
        }
    }
    assert!(requests >= 22, "{requests}");
    let documents = ["private-id", "private content", "private%20content"];
    assert!(documents.iter().all(|secret| !log.contains(secret)), "a document is in the log");
    for secret in ["private.person", "other.person", "secret.example", "private password", "$2b$", &token, SECRET] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
