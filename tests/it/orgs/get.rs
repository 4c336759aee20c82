//! `GET /org/get`

use bson::doc;
use serde_json::json;

use crate::support::server::by_name;
use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn any_spelling_finds_the_organization() {
    let server = Server::start().await;
    let created = server.create("Acme Inc", "a@example.com", PASSWORD).await.success(201);
    for spelling in ["Acme Inc", "acme_inc", "ACME   inc", "Acme_Inc"] {
        let found = server.find(spelling).await.success(200);
        assert_eq!(found.body, json!({ "ok": true, "organization": created.body["organization"] }));
    }
    for other in ["acme-inc", "acmeinc", "acme  _inc", " acme inc"] {
        server.find(other).await.problem(404, "organization_not_found");
    }
}

#[tokio::test]
async fn only_its_own_admin_sees_the_admin_and_what_else_was_kept() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let kept = doc! { "$set": { "connection.extra": { "region": "eu", "rank": 1_i64 } } };
    server.documents("organizations").update_one(doc! { "slug": "acme" }, kept).await.expect("kept");
    let path = by_name("/org/get", "acme");

    let own = server.get(&path).bearer(&acme.token).send().await.success(200);
    assert_eq!(own.body["organization"]["admin"]["email"], acme.email.as_str());
    assert_eq!(own.body["organization"]["admin"]["id"], own.body["organization"]["admin_user_id"]);
    assert_eq!(own.body["organization"]["connection"]["extra"], json!({ "region": "eu", "rank": 1 }));

    let public = server.get(&path).send().await.success(200);
    for token in [&other.token, "broken", ""] {
        let answer = server.get(&path).bearer(token).send().await.success(200);
        assert_eq!(answer.body, public.body);
    }
    assert!(public.body["organization"].get("admin").is_none());
    assert_eq!(public.body["organization"]["connection"]["extra"], json!({}));
    assert!(!public.text.contains('@'));
}

#[tokio::test]
async fn a_query_that_names_none_or_two_is_refused() {
    let server = Server::start().await;
    let get = async |path: &str| server.get(path).send().await;
    get("/org/get").await.invalid(&["?organization_name required"]);
    get("/org/get?organization_name=").await.invalid(&["?organization_name too_short"]);
    get("/org/get?organization_name=a&organization_name=b").await.invalid(&["?organization_name repeated"]);
    get("/org/get?organization_name=a%00b").await.invalid(&["?organization_name invalid_characters"]);
    let long = format!("/org/get?organization_name={}", "a".repeat(241));
    get(&long).await.invalid(&["?organization_name too_long"]);
    get("/org/get?organization_name=a&utm=1").await.problem(404, "organization_not_found");
}
