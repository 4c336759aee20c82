//! `GET /org/{organization_name}/changes/{id}`

use bson::{DateTime, doc};
use serde_json::{Value, json};

use super::time;
use crate::support::{Answer, PASSWORD, Server, Tenant, eventually};

async fn change(server: &Server, tenant: &Tenant, name: &str, id: &Value) -> Answer {
    let id = id.as_str().expect("an id");
    server.get(&format!("/org/{name}/changes/{id}")).bearer(&tenant.token).send().await
}

#[tokio::test]
async fn every_change_can_be_looked_at_by_the_id_that_its_answer_names() {
    let server = Server::with(&[("DELETE_GRACE_DAYS", "1")]).await;
    let email = "a@example.com";
    let created = server.create("acme", email, PASSWORD).await.success(201);
    let id = created.body["organization"]["id"].as_str().expect("an id").to_owned();
    let token = server.token(email, PASSWORD).await;
    let mut acme = Tenant { id, email: email.to_owned(), token };
    let renamed = server.rename(&acme.token, "acme", "globex").await.success(200);
    let deleted = server.delete(&acme.token, "globex").await.success(200);
    let body = json!({ "email": email, "password": PASSWORD });
    let restored = server.call("POST", "/org/restore").json(&body).send().await.success(200);
    acme.token = server.token(email, PASSWORD).await;
    for (answer, kind) in [(created, "create"), (renamed, "update"), (deleted, "delete"), (restored, "restore")] {
        let found = change(&server, &acme, "globex", &answer.body["change_id"]).await.success(200);
        let found = &found.body["change"];
        assert_eq!((&found["id"], &found["kind"]), (&answer.body["change_id"], &json!(kind)));
        assert_eq!((&found["state"], &found["attempts"]), (&json!("finished"), &json!(1)));
        assert_eq!((&found["step"], &found["error"]), (&Value::Null, &Value::Null));
        assert!(time(&found["started"]) <= time(&found["finished"]));
    }
    let nothing = server.update(&acme.token, &json!({ "organization_name": "globex" })).await.success(200);
    assert!(nothing.body.get("change_id").is_none());
}

#[tokio::test]
async fn a_change_is_watched_while_it_runs_and_after_it_was_undone() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let mut session = server.database.client().start_session().await.expect("a session");
    session.start_transaction().await.expect("a transaction");
    server.documents("org_acme").insert_one(doc! { "_id": 1 }).session(&mut session).await.expect("written");
    let organizations = server.documents("organizations");
    let watched = async {
        let moving = doc! { "change.step": "move-collection" };
        eventually("it is waiting for the collection", async || {
            organizations.count_documents(moving.clone()).await.expect("MongoDB") == 1
        })
        .await;
        let org = organizations.find_one(moving.clone()).await.expect("MongoDB").expect("it waits");
        let id = json!(org.get_document("change").expect("one").get_object_id("id").expect("an id").to_hex());
        let running = change(&server, &acme, "acme", &id).await.success(200);
        assert_eq!(running.body["change"]["state"], "running");
        assert_eq!(running.body["change"]["step"], "move-collection");
        assert_eq!(running.body["change"]["finished"], Value::Null);
        id
    };
    let (answer, id) = tokio::join!(server.rename(&acme.token, "acme", "globex"), watched);
    answer.problem(503, "collection_held");
    session.abort_transaction().await.expect("aborted");
    let undone = change(&server, &acme, "acme", &id).await.success(200);
    assert_eq!(
        (&undone.body["change"]["state"], &undone.body["change"]["error"]),
        (&json!("undone"), &json!("collection_held"))
    );
}

#[tokio::test]
async fn a_change_is_its_organizations_own() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let id = server.rename(&acme.token, "acme", "globex").await.success(200).body["change_id"].clone();
    change(&server, &acme, "globex", &id).await.success(200);
    change(&server, &other, "globex", &id).await.problem(403, "forbidden");
    change(&server, &other, "other", &id).await.problem(404, "change_not_found");
    for none in ["691f2a3b4c5d6e7f80910a1d", "nothing"] {
        change(&server, &acme, "globex", &json!(none)).await.problem(404, "change_not_found");
    }
}

#[tokio::test]
async fn old_changes_are_forgotten_and_none_holds_personal_data() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let body = json!({ "organization_name": "acme", "email": "new@example.com", "password": "a finer password" });
    let id = server.update(&acme.token, &body).await.success(200).body["change_id"].clone();
    let organizations = server.documents("organizations");
    let history = async || {
        let stored = organizations.find_one(doc! {}).await.expect("MongoDB").expect("there");
        stored.get_array("history").expect("a list").clone()
    };
    let text = format!("{:?}", history().await);
    assert!(!text.contains('@') && !text.contains("$2b$"), "{text}");
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 91 * 24 * 60 * 60 * 1_000);
    let aged = doc! { "$set": { "history.$[].finished_at": long_ago } };
    organizations.update_one(doc! {}, aged).await.expect("MongoDB");
    let token = server.token("new@example.com", "a finer password").await;
    let acme = Tenant { token, ..acme };
    change(&server, &acme, "acme", &id).await.problem(404, "change_not_found");
    server.rename(&acme.token, "acme", "globex").await.success(200);
    assert_eq!(history().await.len(), 1);
}
