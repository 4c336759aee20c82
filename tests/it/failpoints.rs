//! What clients see and what is left behind when single MongoDB commands fail.

use bson::{Document, doc};
use serde_json::json;

use crate::support::mongo::Mongod;
use crate::support::server::{by_name, empty_database};
use crate::support::{PASSWORD, Server, eventually};

/// MongoDB's `Unauthorized`: a permanent refusal.
const UNAUTHORIZED: i32 = 13;
/// MongoDB's `NamespaceNotFound`.
const NAMESPACE_NOT_FOUND: i32 = 26;
/// MongoDB's `MaxTimeMSExpired`.
const MAX_TIME_MS_EXPIRED: i32 = 50;

async fn server_and_its_mongod() -> (Server, Mongod) {
    let mongod = Mongod::with_fail_points().await;
    let database = empty_database(&mongod).await;
    (Server::with_short_leases(&mongod, database, &[]).await, mongod)
}

/// What must not change when a change fails. Generations and history are left out: they count attempts too.
async fn present(server: &Server) -> (Vec<Document>, Vec<String>) {
    let mut all = Vec::new();
    for collection in ["organizations", "admins"] {
        let mut cursor = server.documents(collection).find(doc! {}).sort(doc! { "_id": 1 }).await.expect("found");
        while cursor.advance().await.expect("more") {
            let mut document = cursor.deserialize_current().expect("readable");
            document.remove("generation");
            document.remove("change_generation");
            document.remove("history");
            all.push(document);
        }
    }
    (all, server.tenant_collections().await)
}

#[tokio::test]
async fn a_read_that_takes_too_long_or_loses_its_connection_says_that_the_database_is_not_available() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    for how in [doc! { "errorCode": MAX_TIME_MS_EXPIRED }, doc! { "closeConnection": true }] {
        mongod.fail(&["find", "aggregate"], "alwaysOn", how).await;
        server.find("acme").await.problem(503, "database_unavailable");
        server.log_in(&acme.email, PASSWORD).await.problem(503, "database_unavailable");
        server.create("other", "other@example.com", PASSWORD).await.problem(503, "database_unavailable");
        server.delete(&acme.token, "acme").await.problem(503, "database_unavailable");
        // Only the look-up of the admin fails: the own admin gets an error, not the public view.
        mongod.fail(&["aggregate"], "alwaysOn", doc! { "errorCode": MAX_TIME_MS_EXPIRED }).await;
        let own = server.get(&by_name("/org/get", "acme")).bearer(&acme.token).send().await;
        own.problem(503, "database_unavailable");
        server.find("acme").await.success(200);
        mongod.fail(&["find"], "off", doc! {}).await;
    }
    assert!(server.knows(&acme.token).await);
}

#[tokio::test]
async fn one_broken_connection_is_not_noticed() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    let of_the_driver = ["find", "aggregate", "update", "insert", "listCollections"];
    let of_ours = ["create", "renameCollection", "drop", "delete"];
    for command in of_the_driver.into_iter().chain(of_ours) {
        let before = mongod.fail(&[command], doc! { "times": 1 }, doc! { "closeConnection": true }).await;
        let name = format!("{command} org");
        let other = server.tenant(&name).await;
        server.rename(&other.token, &name, &format!("{command} renamed")).await.success(200);
        server.delete(&other.token, &format!("{command} renamed")).await.success(200);
        assert_eq!(mongod.fail(&[command], "off", doc! {}).await, before + 1, "{command} did not fail");
    }
    assert!(server.knows(&acme.token).await);
    assert_eq!(server.totals().await, (1, 1, 1));
}

#[tokio::test]
async fn an_update_that_mongodb_refuses_changes_nothing() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    let before = present(&server).await;
    let body = json!({
        "organization_name": "acme", "new_organization_name": "globex", "email": "new@example.com",
        "password": "a finer password",
    });
    for (code, status, problem) in
        [(UNAUTHORIZED, 500, "internal_error"), (MAX_TIME_MS_EXPIRED, 503, "collection_held")]
    {
        mongod.fail(&["renameCollection"], "alwaysOn", doc! { "errorCode": code }).await;
        server.update(&acme.token, &body).await.problem(status, problem);
        assert_eq!(present(&server).await, before);
        mongod.fail(&["renameCollection"], "off", doc! {}).await;
    }
    server.update(&acme.token, &body).await.success(200);
}

#[tokio::test]
async fn names_are_told_also_when_their_uses_cannot_be_written_down() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    let kept = json!({ "organization_name": "acme", "new_organization_name": "globex", "keep_old_name_days": 9 });
    server.update(&acme.token, &kept).await.success(200);
    mongod.fail(&["update"], "alwaysOn", doc! { "errorCode": UNAUTHORIZED }).await;
    server.find("acme").await.success(200);
    let names = server.get("/org/globex/names").bearer(&acme.token).send().await.success(200);
    assert_eq!(names.body["names"][1]["use_count"], 0, "{}", names.text);
    mongod.fail(&["update"], "off", doc! {}).await;
    let names = server.get("/org/globex/names").bearer(&acme.token).send().await.success(200);
    assert_eq!(names.body["names"][1]["use_count"], 1, "{}", names.text);
}

#[tokio::test]
async fn a_create_that_mongodb_refuses_at_any_command_leaves_nothing_behind() {
    let (server, mongod) = server_and_its_mongod().await;
    // The document's insert and each step are updates; the admin is an insert.
    for (command, skipped) in [("insert", 0), ("create", 0), ("listCollections", 0), ("update", 1), ("update", 2)] {
        let mode = doc! { "skip": skipped };
        mongod.fail(&[command], mode, doc! { "errorCode": UNAUTHORIZED }).await;
        let answer = server.create("acme", "a@example.com", PASSWORD).await;
        mongod.fail(&[command], "off", doc! {}).await;
        assert!(matches!(answer.status, 500 | 503), "{command}: {}", answer.text);
        if answer.status == 500 {
            assert_eq!(server.totals().await, (0, 0, 0), "{command}");
        }
        // What could not be undone at once is undone after its lease expires.
        eventually("the name is free again", async || server.totals().await == (0, 0, 0)).await;
    }
    server.create("acme", "a@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn a_rename_whose_answer_was_lost_is_finished_by_the_server_itself() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    server.documents("org_acme").insert_one(doc! { "_id": 1 }).await.expect("stored");
    // The second time, too: a single failure is retried unnoticed.
    mongod.fail(&["renameCollection"], doc! { "times": 2 }, doc! { "closeConnection": true }).await;
    let body = json!({
        "organization_name": "acme", "new_organization_name": "globex", "password": "a finer password",
    });
    let update =
        || server.call("PUT", "/org/update").bearer(&acme.token).header("idempotency-key", "k").json(&body).send();
    let lost = update().await.problem(503, "outcome_unknown");
    // Whoever repeats it waits for the server to finish it.
    let done = update().await.success(200);
    assert_eq!((&done.body["change_id"], done.header("idempotency-replayed")), (&lost.body["change_id"], "true"));
    assert_eq!(server.tenant_collections().await, ["org_globex"]);
    assert_eq!(server.count("org_globex").await, 1);
    server.log_in(&acme.email, "a finer password").await.success(200);
    assert!(!server.knows(&acme.token).await);
    server.find("acme").await.problem(404, "organization_not_found");
}

#[tokio::test]
async fn statistics_of_a_collection_that_moves_meanwhile_are_asked_for_again() {
    let (server, mongod) = server_and_its_mongod().await;
    let acme = server.tenant("acme").await;
    // MongoDB 6.0.5 answers this even though it knows the UUID.
    let namespace = format!("{}.org_acme", server.database.name());
    for path in ["/org/acme/stats", "/org/acme/export"] {
        let how = doc! { "errorCode": NAMESPACE_NOT_FOUND, "namespace": &namespace };
        let before = mongod.fail(&["aggregate"], doc! { "times": 1 }, how).await;
        server.get(path).bearer(&acme.token).send().await.success(200);
        assert_eq!(mongod.fail(&["aggregate"], "off", doc! {}).await, before + 1, "{path} did not fail");
    }
}
