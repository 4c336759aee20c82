//! Who may call what: every call of the OpenAPI document, with every kind of token. A call that is in the document
//! and not in the table fails the test, so that no new one can forget its checks.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::OPENAPI;
use crate::support::{Answer, Server};

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nothing.
    Public,
    /// A token of the organization that it names.
    OwnAdmin,
}

/// Method, path, what it needs, and the body with which it is about the organization `victim`.
fn table() -> Vec<(&'static str, &'static str, Access, Value)> {
    let victim = json!({ "organization_name": "victim" });
    vec![
        ("get", "/", Access::Public, Value::Null),
        ("get", "/health/live", Access::Public, Value::Null),
        ("get", "/health/ready", Access::Public, Value::Null),
        ("get", "/metrics", Access::Public, Value::Null),
        ("post", "/admin/login", Access::Public, json!({ "email": "a@example.com", "password": "x" })),
        ("post", "/org/create", Access::Public, json!({})),
        ("get", "/org/get", Access::Public, Value::Null),
        ("put", "/org/update", Access::OwnAdmin, victim.clone()),
        ("delete", "/org/delete", Access::OwnAdmin, victim),
        ("post", "/org/restore", Access::Public, json!({ "email": "a@example.com", "password": "x" })),
        ("get", "/org/{organization_name}/names", Access::OwnAdmin, Value::Null),
        ("delete", "/org/{organization_name}/names/{old_name}", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/changes/{id}", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/documents", Access::OwnAdmin, Value::Null),
        ("post", "/org/{organization_name}/documents", Access::OwnAdmin, json!({ "a": 1 })),
        ("get", "/org/{organization_name}/documents/{id}", Access::OwnAdmin, Value::Null),
        ("put", "/org/{organization_name}/documents/{id}", Access::OwnAdmin, json!({ "a": 1 })),
        ("patch", "/org/{organization_name}/documents/{id}", Access::OwnAdmin, json!({ "a": 1 })),
        ("delete", "/org/{organization_name}/documents/{id}", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/export", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/indexes", Access::OwnAdmin, Value::Null),
        ("post", "/org/{organization_name}/indexes", Access::OwnAdmin, json!({ "keys": { "a": 1 } })),
        ("delete", "/org/{organization_name}/indexes/{name}", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/schema", Access::OwnAdmin, Value::Null),
        ("put", "/org/{organization_name}/schema", Access::OwnAdmin, json!({ "maxProperties": 1 })),
        ("delete", "/org/{organization_name}/schema", Access::OwnAdmin, Value::Null),
        ("get", "/org/{organization_name}/stats", Access::OwnAdmin, Value::Null),
    ]
}

/// The path of a call about this organization; a document or an index in it does not exist.
fn about(path: &str, organization: &str) -> String {
    path.replace("{organization_name}", organization)
        .replace("{id}", "nothing")
        .replace("{name}", "nothing")
        .replace("{old_name}", "nothing")
}

async fn call(server: &Server, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
    call_about(server, method, &about(path, "Victim"), token, body).await
}

async fn call_about(server: &Server, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let mut call = server.call(&method.to_uppercase(), path);
    if let Some(token) = token {
        call = call.bearer(token);
    }
    if !body.is_null() {
        call = call.json(body);
    }
    call.send().await
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
    let tested: BTreeSet<(String, String, bool)> = table()
        .into_iter()
        .map(|(method, path, access, _)| (method.to_owned(), path.to_owned(), access == Access::OwnAdmin))
        .collect();
    assert_eq!(tested, documented);
}

#[tokio::test]
async fn a_protected_call_is_refused_without_a_token_and_with_any_but_its_own() {
    let server = Server::start().await;
    let (victim, foreign) = (server.tenant("victim").await, server.tenant("foreign").await);
    let deleted = server.tenant("deleted").await;
    server.delete(&deleted.token, "deleted").await.success(200);
    for (method, path, access, body) in table() {
        if access != Access::OwnAdmin {
            continue;
        }
        call(&server, method, path, None, &body).await.problem(401, "missing_token");
        call(&server, method, path, Some("malformed"), &body).await.problem(401, "invalid_token");
        call(&server, method, path, Some(&deleted.token), &body).await.problem(401, "invalid_token");
        call(&server, method, path, Some(&foreign.token), &body).await.problem(403, "forbidden");
        // 404 comes before 403: the same token, about an organization that does not exist.
        let nobody = if path.contains('{') { body } else { json!({ "organization_name": "nobody" }) };
        let absent = about(path, "nobody");
        let answer = call_about(&server, method, &absent, Some(&foreign.token), &nobody).await;
        answer.problem(404, "organization_not_found");
        // 401 comes before everything that is wrong with the body.
        call(&server, method, path, None, &json!({ "x": 1 })).await.problem(401, "missing_token");
    }
    assert_eq!(server.totals().await, (2, 2, 2));
    server.clock.advance(Duration::from_hours(1));
    for (method, path, _, body) in table().into_iter().filter(|(_, _, access, _)| *access == Access::OwnAdmin) {
        call(&server, method, path, Some(&victim.token), &body).await.problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn a_public_call_answers_the_same_whatever_token_comes_along() {
    let server = Server::start().await;
    let tenant = server.tenant("tenant").await;
    for (method, path, access, body) in table() {
        if access == Access::Public {
            let status = call(&server, method, path, None, &body).await.status;
            for token in ["malformed", &tenant.token] {
                assert_eq!(call(&server, method, path, Some(token), &body).await.status, status, "{method} {path}");
            }
        }
    }
}
