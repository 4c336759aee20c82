//! Clients' mistakes raise no alarm: a refused request leaves no log line that an operator must read.

use bson::doc;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::command_line::settings;
use crate::support::mongo::Mongod;
use crate::support::process::{Running, Tenantry};
use crate::support::server::{PASSWORD, empty_database};
use crate::support::{eventually, is_ready};

/// An organization's admin, as a client of a process.
struct Noisy<'s> {
    server: &'s Running,
    client: Client,
    url: String,
    token: String,
}

impl Noisy<'_> {
    /// A call that must get this status and log nothing above INFO.
    async fn call(&self, method: &str, path: &str, content_type: &str, body: &str, status: u16) -> Value {
        let logged = self.server.log().len();
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.client.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = request.header("content-type", content_type).body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        let id = answer.headers()["x-request-id"].to_str().expect("an id").to_owned();
        let told = answer.status().as_u16();
        let text = answer.text().await.expect("its end");
        assert_eq!(told, status, "{method} {path} {body:.100}: {text}");
        let new = || self.server.log().get(logged..).unwrap_or_default().to_owned();
        let is_answered = || new().lines().any(|line| line.contains(&id) && line.contains("\"answered\""));
        eventually("the request is logged", async || is_answered()).await;
        for line in new().lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            let level = line["level"].as_str().expect("a level");
            assert!(!matches!(level, "WARN" | "ERROR"), "{method} {path} {body:.100} {told}: {line}");
        }
        serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default()
    }

    async fn json(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        self.call(method, &format!("/org/acme/{path}"), "application/json", &body.to_string(), status).await
    }

    async fn list(&self, parameters: &[(&str, &str)], status: u16) {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.json("GET", &format!("documents?{query}"), &Value::Null, status).await;
        if let [("filter", _)] = parameters {
            self.json("GET", &format!("documents?{query}&count=true"), &Value::Null, status).await;
        }
    }

    async fn import(&self, lines: &str) -> Value {
        self.call("POST", "/org/acme/documents", "application/x-ndjson", lines, 200).await
    }
}

/// A server that logs JSON at a level, once it is ready, and a client for it.
pub(crate) async fn with_json_log(mongod: &Mongod, database: &str, level: &str) -> (Running, Client, String) {
    let uri = mongod.uri();
    let log = [("LOG_FORMAT", "json"), ("RUST_LOG", level)];
    let server = Tenantry::new(&["serve"], &[&settings(&uri, database), log.as_slice()].concat()).start();
    let url = || {
        let log = server.log();
        let line: Value = serde_json::from_str(log.lines().find(|line| line.contains("listening"))?).ok()?;
        Some(format!("http://{}", line["address"].as_str()?))
    };
    eventually("it listens", async || url().is_some()).await;
    let (client, url) = (Client::new(), url().expect("an address"));
    eventually("it is ready", || is_ready(&client, &url)).await;
    (server, client, url)
}

#[tokio::test]
async fn requests_refused_by_the_clients_own_fault_log_no_warning() {
    let mongod = Mongod::with_fail_points().await;
    let database = empty_database(&mongod).await;
    let (server, client, url) = with_json_log(&mongod, database.name(), "info").await;
    let mut noisy = Noisy { server: &server, client, url, token: String::new() };
    let admin = json!({ "email": "a@example.com", "password": PASSWORD });
    let mut create = admin.clone();
    create["organization_name"] = json!("acme");
    noisy.call("POST", "/org/create", "application/json", &create.to_string(), 201).await;
    let login = noisy.call("POST", "/admin/login", "application/json", &admin.to_string(), 200).await;
    noisy.token = login["access_token"].as_str().expect("a token").to_owned();

    // Documents, and refused ones.
    noisy.json("POST", "documents", &json!({ "_id": 1, "a": [1, 2], "b": [1, 2], "u": 1 }), 201).await;
    noisy.json("POST", "documents", &json!({ "_id": 2, "u": 1 }), 201).await;
    noisy.json("POST", "documents", &json!({ "_id": 1 }), 409).await;
    noisy.json("PUT", "documents/3", &json!({}), 404).await;

    // Filters and orders that only MongoDB can judge.
    for pattern in ["(", "(?<=a*)b", "[b-a]", "(?R)", "\\p{Foo}", "a{70000}"] {
        noisy.list(&[("filter", &json!({ "s": { "$regex": pattern } }).to_string())], 422).await;
    }
    noisy.list(&[("sort", "a,b")], 422).await;
    noisy.list(&[("cursor", "none of ours")], 422).await;
    let too_slow = doc! { "errorCode": 50, "namespace": format!("{}.org_acme", database.name()) };
    for command in ["find", "aggregate"] {
        mongod.fail(&[command], "alwaysOn", too_slow.clone()).await;
        noisy.json("GET", "documents?count=true", &Value::Null, 503).await;
        mongod.fail(&[command], "off", doc! {}).await;
    }
    mongod.fail(&["insert"], "alwaysOn", too_slow).await;
    noisy.json("POST", "documents", &json!({}), 503).await;
    mongod.fail(&["insert"], "off", doc! {}).await;

    // Impossible indexes.
    noisy.json("POST", "indexes", &json!({ "keys": { "u": 1 }, "unique": true }), 409).await;
    noisy.json("POST", "indexes", &json!({ "keys": { "a": 1, "b": 1 } }), 422).await;
    noisy.json("POST", "indexes", &json!({ "keys": { "c": 1, "d": 1 }, "name": "cd" }), 201).await;
    noisy.json("POST", "indexes", &json!({ "keys": { "c": 1 }, "name": "cd" }), 409).await;
    noisy.json("DELETE", "indexes/none", &Value::Null, 404).await;
    noisy.json("POST", "documents", &json!({ "c": [1], "d": [1] }), 422).await;
    let told = noisy.import(&"{\"c\":[1],\"d\":[1]}\n".repeat(20)).await;
    assert_eq!(told["failed"], 20);

    // Schemas, and more refusals than fit into MongoDB's reply.
    noisy.json("PUT", "schema", &json!({ "properties": { "a": { "pattern": "(" } } }), 422).await;
    let rules: Vec<Value> = (1..80).map(|n| json!({ "properties": { "t": { "maxLength": n } } })).collect();
    noisy.json("PUT", "schema", &json!({ "allOf": rules }), 200).await;
    noisy.json("POST", "documents", &json!({ "t": "x".repeat(1_000) }), 422).await;
    let told = noisy.import(&(json!({ "t": "x".repeat(1_800) }).to_string() + "\n").repeat(1_000)).await;
    assert_eq!((&told["failed"], told.get("error")), (&json!(1_000), None));
}
