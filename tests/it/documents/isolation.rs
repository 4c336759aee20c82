//! Whatever one organization sends, it never reaches another's data.

use bson::{Document, doc};
use futures_util::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Org;
use crate::support::{Answer, Server};

/// The contents of the victim's documents, which no answer may contain.
const SECRET: &str = "the victim's own";

/// A call by the attacker, with its own token.
#[derive(Debug, Clone)]
struct Attack {
    method: &'static str,
    /// Percent-encoded, without the leading `/`.
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Names of the attacker, of the victim, and ones that try to be both.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("attacker".to_owned()),
        prop::sample::select(vec![
            "victim",
            "VICTIM",
            "attacker/../victim",
            "attacker/documents/../../victim",
            "org_victim",
            "victim\0",
            "$victim",
            "attacker.victim",
            "../org/victim",
            "*",
            "",
            " attacker",
            "attacker ",
            "admins",
            "organizations",
        ])
        .prop_map(ToOwned::to_owned),
        any::<String>(),
    ]
}

/// Ids of the victim's documents, and ids that could be misread as more than an id.
fn ids() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "secret-1",
            "1",
            "{\"$gt\":\"\"}",
            "{\"$ne\":null}",
            "{\"$in\":[1]}",
            "{\"$regularExpression\":{\"pattern\":\".\",\"options\":\"\"}}",
            "{\"$oid\":\"691f2a3b4c5d6e7f80910a1b\"}",
            "{\"$where\":\"1\"}",
            "\"secret-1\"",
            "..",
            "../../victim/documents/secret-1",
        ])
        .prop_map(ToOwned::to_owned),
        any::<String>(),
    ]
}

/// Filters that try to reach other data.
fn filters() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{}",
            "{\"$where\":\"db.org_victim.find()\"}",
            "{\"$expr\":{\"$eq\":[1,1]}}",
            "{\"$or\":[{},{\"_id\":\"secret-1\"}]}",
            "{\"_id\":{\"$ne\":null}}",
            "{\"$jsonSchema\":{}}",
            "{\"a\":{\"$regex\":\".*\"}}",
            "{\"$nor\":[{\"x\":1}]}",
            "{\"$lookup\":{\"from\":\"org_victim\"}}",
            "{\"$comment\":\"owner\"}",
            "{\"_id\":{\"$elemMatch\":{\"$exists\":true}}}",
        ])
        .prop_map(ToOwned::to_owned),
        any::<String>(),
    ]
}

fn attacks(victims_cursor: String) -> impl Strategy<Value = Attack> {
    let cursors = prop_oneof![Just(victims_cursor), any::<String>(), "[A-Za-z0-9_-]{1,80}"];
    let bodies = prop_oneof![
        ids().prop_map(|id| json!({ "_id": id, "x": 1 }).to_string()),
        Just("{\"_id\":\"secret-1\",\"stolen\":true}".to_owned()),
        Just("{\"keys\":{\"a\":1},\"name\":\"org_victim\"}".to_owned()),
        Just("{\"additionalProperties\":true}".to_owned()),
        any::<String>(),
    ];
    (names(), ids(), filters(), cursors, bodies, 0..14_u8).prop_map(|(name, id, filter, cursor, body, which)| {
        let (name, id) = (encoded(&name), encoded(&id));
        let json = ("application/json", body);
        let call = |method, path: String| Attack { method, path, query: Vec::new(), body: None };
        match which {
            0 => Attack {
                query: vec![("filter", filter), ("limit", "1000".to_owned())],
                ..call("GET", format!("org/{name}/documents"))
            },
            1 => Attack {
                query: vec![("cursor", cursor), ("limit", "1".to_owned())],
                ..call("GET", format!("org/{name}/documents"))
            },
            2 => call("GET", format!("org/{name}/documents/{id}")),
            3 => Attack { body: Some(json), ..call("POST", format!("org/{name}/documents")) },
            4 => {
                Attack { body: Some(("application/x-ndjson", json.1)), ..call("POST", format!("org/{name}/documents")) }
            }
            5 => Attack { body: Some(json), ..call("PUT", format!("org/{name}/documents/{id}")) },
            6 => Attack { body: Some(json), ..call("PATCH", format!("org/{name}/documents/{id}")) },
            7 => call("DELETE", format!("org/{name}/documents/{id}")),
            8 => Attack { query: vec![("filter", filter)], ..call("GET", format!("org/{name}/export")) },
            9 => Attack { body: Some(json), ..call("POST", format!("org/{name}/indexes")) },
            10 => call("DELETE", format!("org/{name}/indexes/{id}")),
            11 => Attack { body: Some(json), ..call("PUT", format!("org/{name}/schema")) },
            12 => call("DELETE", format!("org/{name}/schema")),
            _ => call("GET", format!("org/{name}/stats")),
        }
    })
}

impl Attack {
    async fn run(&self, attacker: &Org<'_>) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let call = attacker.server.call(self.method, &format!("/{}?{query}", self.path)).bearer(&attacker.token);
        match &self.body {
            Some((content_type, body)) => call.body(content_type, body.clone()).send().await,
            None => call.send().await,
        }
    }
}

/// All of the victim's data: documents, indexes, validator.
async fn state_of(victim: &Org<'_>) -> (Vec<Document>, Value, Document, Vec<String>, u64) {
    let documents = victim.stored().find(doc! {}).sort(doc! { "_id": 1 }).await.expect("MongoDB");
    let documents: Vec<Document> = documents.try_collect().await.expect("MongoDB");
    let indexes = victim.get("indexes").await.success(200).body;
    let (validator, collections) = (victim.validator().await, victim.server.tenant_collections().await);
    (documents, indexes, validator, collections, victim.server.count("organizations").await)
}

#[test]
fn nothing_that_an_organization_sends_reaches_anothers_data() {
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::start());
    let (victim, attacker) =
        runtime.block_on(async { (Org::new(&server, "victim").await, Org::new(&server, "attacker").await) });
    let (before, cursor) = runtime.block_on(async {
        for n in 0..3 {
            victim.insert(&json!({ "_id": format!("secret-{n}"), "text": SECRET })).await.success(201);
        }
        victim.call("PUT", "schema").json(&json!({ "required": ["text"] })).send().await.success(200);
        victim.create_index(&json!({ "keys": { "text": 1 }, "name": "a" })).await.success(201);
        attacker.insert(&json!({ "_id": "own", "text": "the attacker's" })).await.success(201);
        let page = victim.list(&[("limit", "1")]).await.success(200);
        (state_of(&victim).await, page.body["next"].as_str().expect("a cursor").to_owned())
    });
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&attacks(cursor), |attack| {
        let answer = runtime.block_on(attack.run(&attacker));
        prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text);
        prop_assert!(!answer.text.contains(SECRET), "{}", answer.text);
        Ok(())
    });
    outcome.expect("every attack failed");
    assert_eq!(runtime.block_on(state_of(&victim)), before);
}
