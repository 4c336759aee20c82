//! Who may call what: every call in the OpenAPI document, by every kind of actor. A documented call that is missing
//! from the table fails the test, so that no new call can forget its checks.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::OPENAPI;
use crate::support::{Answer, PASSWORD, Server};

/// Who gets a call's actual answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Everybody, and the same one.
    Public,
    /// Everybody, but only the organization's own admin sees `admin`.
    MoreForOwnAdmin,
    /// Only the organization's own admin.
    OwnAdmin,
}

use Access::{MoreForOwnAdmin, OwnAdmin, Public};

/// Method, path, who gets the answer, body, and the answer: its status, and its code if it is a problem. In paths and
/// bodies, `{actor}` stands for the caller, so that each can create something.
const TABLE: &[(&str, &str, Access, &str, &str)] = &[
    ("get", "/", Public, "", "200"),
    ("get", "/health/live", Public, "", "200"),
    ("get", "/health/ready", Public, "", "200"),
    ("get", "/metrics", Public, "", "200"),
    ("post", "/admin/login", Public, r#"{"email": "a@example.com", "password": "x"}"#, "401 invalid_credentials"),
    ("post", "/admin/login", Public, r#"{"email": "admin@foreign.example", "password": "a fine password"}"#, "200"),
    ("post", "/org/create", Public, "{}", "422 validation_failed"),
    (
        "post",
        "/org/create",
        Public,
        r#"{"organization_name": "by {actor}", "email": "{actor}@example.com", "password": "a fine password"}"#,
        "201",
    ),
    ("get", "/org/get", Public, "", "422 validation_failed"),
    ("get", "/org/get?organization_name=nobody", Public, "", "404 organization_not_found"),
    ("get", "/org/get?organization_name=Victim", MoreForOwnAdmin, "", "200"),
    ("post", "/org/restore", Public, r#"{"email": "a@example.com", "password": "x"}"#, "401 invalid_credentials"),
    (
        "post",
        "/org/restore",
        Public,
        r#"{"email": "admin@gone-{actor}.example", "password": "a fine password"}"#,
        "200",
    ),
    ("put", "/org/update", OwnAdmin, r#"{"organization_name": "{organization_name}"}"#, "200"),
    ("get", "/org/{organization_name}/names", OwnAdmin, "", "200"),
    ("delete", "/org/{organization_name}/names/{old_name}", OwnAdmin, "", "404 name_not_found"),
    ("get", "/org/{organization_name}/changes/{id}", OwnAdmin, "", "404 change_not_found"),
    ("get", "/org/{organization_name}/documents", OwnAdmin, "", "200"),
    ("post", "/org/{organization_name}/documents", OwnAdmin, r#"{"a": 1}"#, "201"),
    ("get", "/org/{organization_name}/documents/{id}", OwnAdmin, "", "404 document_not_found"),
    ("put", "/org/{organization_name}/documents/{id}", OwnAdmin, r#"{"a": 1}"#, "404 document_not_found"),
    ("patch", "/org/{organization_name}/documents/{id}", OwnAdmin, r#"{"a": 1}"#, "404 document_not_found"),
    ("delete", "/org/{organization_name}/documents/{id}", OwnAdmin, "", "404 document_not_found"),
    ("get", "/org/{organization_name}/export", OwnAdmin, "", "200"),
    ("get", "/org/{organization_name}/indexes", OwnAdmin, "", "200"),
    ("post", "/org/{organization_name}/indexes", OwnAdmin, r#"{"keys": {"a": 1}}"#, "201"),
    ("delete", "/org/{organization_name}/indexes/{name}", OwnAdmin, "", "404 index_not_found"),
    ("get", "/org/{organization_name}/schema", OwnAdmin, "", "404 schema_not_found"),
    ("put", "/org/{organization_name}/schema", OwnAdmin, r#"{"maxProperties": 9}"#, "200"),
    ("delete", "/org/{organization_name}/schema", OwnAdmin, "", "204"),
    ("get", "/org/{organization_name}/stats", OwnAdmin, "", "200"),
    // Last, because it deletes the organization.
    ("delete", "/org/delete", OwnAdmin, r#"{"organization_name": "{organization_name}"}"#, "200"),
];

/// A caller: a name, a token, and how a call that is not public answers it.
struct Actor {
    name: &'static str,
    token: Option<String>,
    refusal: Option<&'static str>,
}

/// Makes a call of the table about this organization; its document and its index do not exist.
async fn call(server: &Server, row: usize, organization: &str, actor: &Actor) -> Answer {
    let (method, path, _, body, _) = TABLE[row];
    let fill = |text: &str| {
        let about = text.replace("{organization_name}", organization).replace("{actor}", actor.name);
        about.replace("{id}", "nothing").replace("{name}", "nothing").replace("{old_name}", "nothing")
    };
    let mut call = server.call(&method.to_uppercase(), &fill(path));
    if let Some(token) = &actor.token {
        call = call.bearer(token);
    }
    if !body.is_empty() {
        call = call.body("application/json", fill(body));
    }
    call.send().await
}

/// An answer in the table's form.
fn sight(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.code()).trim_end().to_owned()
}

/// The JSON Pointers of all members of a value.
fn places(value: &Value, above: &str) -> BTreeSet<String> {
    let members = value.as_object().into_iter().flatten();
    let mut found = BTreeSet::new();
    for (name, value) in members {
        let place = format!("{above}/{name}");
        found.extend(places(value, &place));
        found.insert(place);
    }
    found
}

/// Every kind of actor; `victim`'s own admin is last.
async fn actors(server: &Server) -> Vec<Actor> {
    let early = server.tenant("victim").await;
    server.tenant("foreign").await;
    server.tenant("deleted").await;
    server.clock.advance(Duration::from_hours(1));
    let (foreign, deleted) = ("admin@foreign.example", "admin@deleted.example");
    let (foreign, deleted) = (server.token(foreign, PASSWORD).await, server.token(deleted, PASSWORD).await);
    server.delete(&deleted, "deleted").await.success(200);
    let ended = server.token(&early.email, PASSWORD).await;
    let change = json!({ "organization_name": "victim", "password": "a finer password" });
    server.update(&ended, &change).await.success(200);
    let own = server.token(&early.email, "a finer password").await;
    let actor = |name, token: Option<&str>, refusal| Actor { name, token: token.map(str::to_owned), refusal };
    vec![
        actor("nobody", None, Some("401 missing_token")),
        actor("malformed", Some("malformed"), Some("401 invalid_token")),
        actor("expired", Some(&early.token), Some("401 invalid_token")),
        actor("ended", Some(&ended), Some("401 invalid_token")),
        actor("deleted", Some(&deleted), Some("401 invalid_token")),
        actor("foreign", Some(&foreign), Some("403 forbidden")),
        actor("own", Some(&own), None),
    ]
}

#[test]
fn the_table_names_every_call_of_the_document_and_the_document_says_who_needs_a_token() {
    let paths = OPENAPI["paths"].as_object().expect("paths");
    let documented: BTreeSet<(String, String, bool)> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().expect("methods").iter().map(move |call| (path, call)))
        .map(|(path, (method, operation))| {
            let security = operation["security"].as_array();
            // An empty alternative means that the token is optional.
            let needs_token = security.is_some_and(|alternatives| !alternatives.contains(&json!({})));
            (method.clone(), path.clone(), needs_token)
        })
        .collect();
    let path = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
    let tested: BTreeSet<(String, String, bool)> =
        TABLE.iter().map(|row| (row.0.to_owned(), path(row.1), row.2 == OwnAdmin)).collect();
    assert_eq!(tested, documented);
}

#[tokio::test]
async fn every_call_answers_every_actor_as_the_table_says() {
    let server = Server::with(&[("DELETE_GRACE_DAYS", "1")]).await;
    let actors = actors(&server).await;
    for actor in &actors {
        let gone = format!("gone-{}", actor.name);
        let tenant = server.tenant(&gone).await;
        server.delete(&tenant.token, &gone).await.success(200);
    }
    let before = server.totals().await;
    for (row, (method, path, ..)) in TABLE.iter().enumerate().filter(|(_, row)| row.2 == OwnAdmin) {
        for actor in actors.iter().filter(|actor| actor.refusal.is_some()) {
            let answer = call(&server, row, "Victim", actor).await;
            assert_eq!(Some(&*sight(&answer)), actor.refusal, "{method} {path} by {}", actor.name);
            // 404 takes precedence over 403: the same token, for an organization that does not exist.
            let absent =
                if actor.name == "foreign" { "404 organization_not_found" } else { actor.refusal.unwrap_or_default() };
            let answer = call(&server, row, "Nobody", actor).await;
            assert_eq!(sight(&answer), absent, "{method} {path} by {} about nobody's", actor.name);
        }
        // 401 takes precedence over everything that is wrong with the body.
        let broken = server.call(&method.to_uppercase(), &path.replace(['{', '}'], "")).json(&json!({ "x": 1 }));
        broken.send().await.problem(401, "missing_token");
    }
    assert_eq!(server.totals().await, before, "whoever is refused changes nothing");
    for (row, (method, path, access, _, expected)) in TABLE.iter().enumerate() {
        let mut alike = BTreeSet::new();
        for actor in actors.iter().filter(|actor| *access != OwnAdmin || actor.refusal.is_none()) {
            let answer = call(&server, row, "Victim", actor).await;
            assert_eq!(sight(&answer), *expected, "{method} {path} by {}: {}", actor.name, answer.text);
            let mut shown = places(&answer.body, "");
            if *access == MoreForOwnAdmin {
                let shows_admin = shown.contains("/organization/admin");
                assert_eq!(shows_admin, actor.refusal.is_none(), "{method} {path} by {}", actor.name);
                shown.retain(|place| !place.starts_with("/organization/admin/") && place != "/organization/admin");
            }
            alike.insert(shown);
        }
        assert_eq!(alike.len(), 1, "{method} {path} shows some more than others: {alike:?}");
    }
}
