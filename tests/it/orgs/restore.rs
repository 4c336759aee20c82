//! Deletion that can be undone: `DELETE_GRACE_DAYS` and `POST /org/restore`.

use bson::{DateTime, doc, oid::ObjectId};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::time;
use crate::support::{Answer, PASSWORD, Server, Tenant, eventually};

async fn server() -> Server {
    Server::with(&[("DELETE_GRACE_DAYS", "7")]).await
}

async fn restore(server: &Server, body: &Value) -> Answer {
    server.call("POST", "/org/restore").json(body).send().await
}

fn credentials(tenant: &Tenant) -> Value {
    json!({ "email": tenant.email, "password": PASSWORD })
}

#[tokio::test]
async fn a_deleted_organization_is_gone_for_everybody_and_comes_back_whole() {
    let server = server().await;
    let acme = server.tenant("Acme").await;
    let documents = "/org/acme/documents";
    server.call("POST", documents).bearer(&acme.token).json(&json!({ "_id": "a" })).send().await.success(201);
    let index = json!({ "keys": { "a": 1 }, "name": "by_a" });
    server.call("POST", "/org/acme/indexes").bearer(&acme.token).json(&index).send().await.success(201);
    let old = json!({ "organization_name": "acme", "new_organization_name": "Globex", "keep_old_name_days": 9 });
    server.update(&acme.token, &old).await.success(200);

    let deleted = server.delete(&acme.token, "globex").await.success(200);
    let in_days = (time(&deleted.body["restorable_until"]) - OffsetDateTime::now_utc()).as_seconds_f64()
        / Duration::DAY.as_seconds_f64();
    assert!((6.9..=7.1).contains(&in_days), "{in_days}");
    for name in ["globex", "acme"] {
        server.find(name).await.problem(404, "organization_not_found");
    }
    server.get("/org/globex/documents").bearer(&acme.token).send().await.problem(401, "invalid_token");
    server.log_in(&acme.email, PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(server.tenant_collections().await, [""; 0]);
    assert_eq!(server.count(&format!("deleted_{}", acme.id)).await, 1);
    // Its names are free; its admin's email is not.
    server.create("other", &acme.email, PASSWORD).await.problem(409, "email_taken");
    server.create("acme", "new@example.com", PASSWORD).await.success(201);
    let other = server.token("new@example.com", PASSWORD).await;
    server.delete(&other, "acme").await.success(200);

    let restored = restore(&server, &credentials(&acme)).await.success(200);
    assert_eq!(restored.body["organization"]["id"], acme.id.as_str());
    assert_eq!(restored.body["organization"]["organization_name"], "Globex");
    assert!(restored.body["change_id"].is_string());
    assert!(!server.knows(&acme.token).await, "tokens of the former life stay dead");
    let token = server.token(&acme.email, PASSWORD).await;
    server.get("/org/globex/documents/a").bearer(&token).send().await.success(200);
    let indexes = server.get("/org/globex/indexes").bearer(&token).send().await.success(200);
    assert!(indexes.text.contains("by_a"));
    server.find("acme").await.problem(404, "organization_not_found");
    restore(&server, &credentials(&acme)).await.problem(409, "not_deleted");
    // It can be deleted and restored again.
    server.delete(&token, "globex").await.success(200);
    restore(&server, &credentials(&acme)).await.success(200);
    assert_eq!(server.count("org_globex").await, 1);
}

#[tokio::test]
async fn a_restoration_ends_every_token_and_no_password() {
    let server = server().await;
    // As the original left it: with passwords cut at 72 bytes, and tokens without versions.
    let password = "p".repeat(72);
    let email = "admin@acme.example";
    server.create("acme", email, &password).await.success(201);
    let admins = server.documents("admins");
    let original = doc! { "$set": { "credential_version": 0_i64 } };
    admins.update_one(doc! { "email": email }, original).await.expect("MongoDB");
    // A second admin, made by hand.
    let mut other = admins.find_one(doc! { "email": email }).await.expect("MongoDB").expect("an admin");
    other.extend(doc! { "_id": ObjectId::new(), "email": "other@acme.example", "emails": ["other@acme.example"] });
    admins.insert_one(other).await.expect("MongoDB");
    let long = format!("{password} and what was cut off");
    let tokens = [server.token(email, &long).await, server.token("other@acme.example", &long).await];

    for life in 1..=2 {
        let token = server.token(email, &long).await;
        server.delete(&token, "acme").await.success(200);
        restore(&server, &json!({ "email": email, "password": long })).await.success(200);
        for token in tokens.iter().chain([&token]) {
            assert!(!server.knows(token).await, "a token lives again in life {life}");
        }
        let token = server.token("other@acme.example", &long).await;
        assert!(server.knows(&token).await);
    }
}

#[tokio::test]
async fn an_organization_whose_name_was_taken_comes_back_under_another() {
    let server = server().await;
    let acme = server.tenant("acme").await;
    server.delete(&acme.token, "acme").await.success(200);
    server.create("ACME", "new@example.com", PASSWORD).await.success(201);
    server.create("second", "second@example.com", PASSWORD).await.success(201);
    restore(&server, &credentials(&acme)).await.problem(409, "organization_exists");
    let mut body = credentials(&acme);
    body["organization_name"] = json!("second");
    restore(&server, &body).await.problem(409, "organization_exists");
    body["organization_name"] = json!("x!");
    restore(&server, &body).await.invalid(&["/organization_name invalid_characters"]);
    body["organization_name"] = json!("Acme Reborn");
    let restored = restore(&server, &body).await.success(200);
    assert_eq!(restored.body["organization"]["collection_name"], "org_acme_reborn");
    assert_eq!(server.totals().await, (3, 3, 3));
}

#[tokio::test]
async fn only_its_admin_brings_an_organization_back() {
    let server = server().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    server.delete(&acme.token, "acme").await.success(200);
    restore(&server, &json!({})).await.invalid(&["/email required", "/password required"]);
    for (email, password) in [(&acme.email, "a wrong password"), (&"nobody@example.com".to_owned(), PASSWORD)] {
        let body = json!({ "email": email, "password": password });
        restore(&server, &body).await.problem(401, "invalid_credentials");
    }
    restore(&server, &credentials(&other)).await.problem(409, "not_deleted");
    assert_eq!(server.totals().await.2, 1);
}

#[tokio::test]
async fn what_nobody_wanted_back_in_time_is_gone() {
    let server = server().await;
    let acme = server.tenant("acme").await;
    server.delete(&acme.token, "acme").await.success(200);
    let over = doc! { "$set": { "deletion.until": DateTime::from_millis(1_000) } };
    server.documents("organizations").update_one(doc! { "state": "deleted" }, over).await.expect("MongoDB");
    let answer = restore(&server, &credentials(&acme)).await;
    assert!(matches!(answer.status, 401 | 404), "{}", answer.text);
    let collection = format!("deleted_{}", acme.id);
    eventually("it is purged", async || {
        let names = server.database.list_collection_names().await.expect("names");
        server.totals().await == (0, 0, 0) && !names.contains(&collection)
    })
    .await;
    server.create("acme", &acme.email, PASSWORD).await.success(201);
}

#[tokio::test]
async fn without_grace_nothing_is_kept() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let deleted = server.delete(&acme.token, "acme").await.success(200);
    assert!(deleted.body.get("restorable_until").is_none());
    restore(&server, &credentials(&acme)).await.problem(401, "invalid_credentials");
    assert_eq!(server.totals().await, (0, 0, 0));
}

#[tokio::test]
async fn attempts_to_restore_are_limited_as_logins_are() {
    let server = Server::with(&[("DELETE_GRACE_DAYS", "7"), ("LOGIN_ATTEMPTS_PER_MINUTE", "3")]).await;
    let body = json!({ "email": "a@example.com", "password": "guess" });
    for _ in 0..2 {
        restore(&server, &body).await.problem(401, "invalid_credentials");
    }
    server.log_in("a@example.com", "guess").await.problem(401, "invalid_credentials");
    restore(&server, &body).await.problem(429, "too_many_attempts");
}

#[tokio::test]
async fn of_a_restoration_and_a_creation_of_the_same_name_one_succeeds() {
    let server = server().await;
    for n in 0..8 {
        let name = format!("org {n}");
        let tenant = server.tenant(&name).await;
        server.delete(&tenant.token, &name).await.success(200);
        let email = format!("new{n}@example.com");
        let wanted = credentials(&tenant);
        let (restored, created) = tokio::join!(restore(&server, &wanted), server.create(&name, &email, PASSWORD));
        assert_eq!(u8::from(restored.status == 200) + u8::from(created.status == 201), 1, "{restored:?} {created:?}");
    }
}

#[tokio::test]
async fn of_restorations_at_once_one_succeeds_and_the_others_hear_of_it() {
    let server = server().await;
    let acme = server.tenant("acme").await;
    server.delete(&acme.token, "acme").await.success(200);
    let wanted = credentials(&acme);
    let answers = futures_util::future::join_all((0..6).map(|_| restore(&server, &wanted))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
        assert!(matches!(code.as_str(), "organization_busy" | "not_deleted"), "{}", answer.text);
        answer.problem(409, &code);
    }
}

#[tokio::test]
async fn a_restoration_can_be_repeated_with_its_key() {
    let server = server().await;
    let acme = server.tenant("acme").await;
    server.delete(&acme.token, "acme").await.success(200);
    let restore = |body: &Value| server.call("POST", "/org/restore").header("idempotency-key", "k").json(body);
    let first = restore(&credentials(&acme)).send().await.success(200);
    let again = restore(&credentials(&acme)).send().await.success(200);
    assert_eq!((first.text, again.header("idempotency-replayed")), (again.text.clone(), "true"));
    // A client that knows the key but not the password learns nothing.
    let wrong = json!({ "email": acme.email, "password": "a wrong password" });
    restore(&wrong).send().await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn what_should_be_kept_and_cannot_be_put_away_is_not_deleted() {
    let server = server().await;
    for (name, tag) in [("tagged", true), ("untagged", false)] {
        let tenant = server.tenant(name).await;
        let collection = server.documents(&format!("org_{name}"));
        collection.drop().await.expect("dropped");
        // As restored from a backup: with another UUID.
        let mut create = doc! { "create": format!("org_{name}") };
        if tag {
            create.insert("validator", doc! { "$comment": format!("owner:{}", tenant.id) });
        }
        server.database.run_command(create).await.expect("made");
        collection.insert_one(doc! { "_id": 1 }).await.expect("stored");
        server.delete(&tenant.token, name).await.problem(503, "tenant_collection_replaced");
        assert!(server.knows(&tenant.token).await);
        assert_eq!(server.count(&format!("org_{name}")).await, 1);
    }
    let gone = server.tenant("gone").await;
    server.documents("org_gone").drop().await.expect("dropped");
    let deleted = server.delete(&gone.token, "gone").await.success(200);
    assert!(deleted.body.get("restorable_until").is_none(), "there was nothing to keep");
    server.create("gone", &gone.email, PASSWORD).await.success(201);
}
