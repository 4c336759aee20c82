//! `DELETE /org/delete`

use bson::doc;
use serde_json::json;

use crate::support::server::by_name;
use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn the_organization_is_named_in_the_body_or_in_the_query_or_in_both_alike() {
    let server = Server::start().await;
    let bodies = [None, Some(json!({ "organization_name": "ACME" })), Some(json!({ "organization_name": null }))];
    for (query, body) in [("acme", &bodies[0]), ("", &bodies[1]), ("Acme", &bodies[1]), ("acme", &bodies[2])] {
        let acme = server.tenant("acme").await;
        let path = if query.is_empty() { "/org/delete".to_owned() } else { by_name("/org/delete", query) };
        let call = server.call("DELETE", &path).bearer(&acme.token);
        let call = if let Some(body) = body { call.json(body) } else { call };
        call.send().await.success(200);
        assert_eq!(server.totals().await, (0, 0, 0));
    }
}

#[tokio::test]
async fn a_call_that_names_none_or_two_deletes_nothing() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let delete = |path: &str| server.call("DELETE", path).bearer(&acme.token);
    delete("/org/delete").send().await.invalid(&["/organization_name required"]);
    delete("/org/delete").json(&json!({})).send().await.invalid(&["/organization_name required"]);
    let other = json!({ "organization_name": "other" });
    delete(&by_name("/org/delete", "acme")).json(&other).send().await.invalid(&["/organization_name contradiction"]);
    let unknown = json!({ "organization_name": "acme", "force": true });
    delete("/org/delete").json(&unknown).send().await.invalid(&["/force unknown_field"]);
    let wrong = delete(&by_name("/org/delete", "acme")).body("text/plain", "acme").send().await;
    wrong.problem(415, "unsupported_media_type");
    assert_eq!(server.totals().await, (1, 1, 1));
}

#[tokio::test]
async fn everything_of_the_organization_goes_and_nothing_of_others() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let other = server.tenant("acme inc").await;
    server.documents("org_acme").insert_one(doc! { "_id": 1 }).await.expect("stored");
    server.documents("org_acme_inc").insert_one(doc! { "_id": 1 }).await.expect("stored");
    server.delete(&acme.token, "acme").await.success(200);
    assert_eq!(server.totals().await, (1, 1, 1));
    assert_eq!(server.count("org_acme_inc").await, 1);
    assert!(server.knows(&other.token).await);
    server.log_in(&acme.email, PASSWORD).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_token_of_a_deleted_organization_is_dead_also_when_somebody_takes_its_name() {
    let server = Server::start().await;
    let old = server.tenant("acme").await;
    server.delete(&old.token, "acme").await.success(200);
    let new = server.tenant("acme").await;
    assert_eq!(new.email, old.email);
    server.delete(&old.token, "acme").await.problem(401, "invalid_token");
    server.rename(&old.token, "acme", "mine").await.problem(401, "invalid_token");
    let seen = server.get(&by_name("/org/get", "acme")).bearer(&old.token).send().await.success(200);
    assert!(seen.body["organization"].get("admin").is_none());
    assert_ne!(new.id, old.id);
    server.delete(&new.token, "acme").await.success(200);
}

#[tokio::test]
async fn deletes_of_one_organization_at_once_end_it_once() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let answers = futures_util::future::join_all((0..8).map(|_| server.delete(&acme.token, "acme"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 401 | 404 | 409)), "{answers:?}");
    assert_eq!(server.totals().await, (0, 0, 0));
}

#[tokio::test]
async fn a_collection_that_came_from_a_backup_goes_with_its_organization() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let collection = server.documents("org_acme");
    collection.drop().await.expect("dropped");
    // As restored from a backup: same name and tag, another UUID.
    let tag = doc! { "create": "org_acme", "validator": { "$comment": format!("owner:{}", acme.id) } };
    server.database.run_command(tag).await.expect("made");
    collection.insert_one(doc! { "_id": 1 }).await.expect("stored");
    server.delete(&acme.token, "acme").await.success(200);
    assert_eq!(server.totals().await, (0, 0, 0));
}
