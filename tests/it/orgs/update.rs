//! `PUT /org/update`

use bson::{Document, doc};
use mongodb::IndexModel;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Server};

/// The stored organizations and admins, to check that nothing changed.
async fn master_data(server: &Server) -> Vec<Document> {
    let mut all = Vec::new();
    for collection in ["organizations", "admins"] {
        let mut cursor = server.documents(collection).find(doc! {}).sort(doc! { "_id": 1 }).await.expect("found");
        while cursor.advance().await.expect("more") {
            all.push(cursor.deserialize_current().expect("readable"));
        }
    }
    all
}

#[tokio::test]
async fn a_rename_moves_documents_indexes_and_validator_and_keeps_the_uuid() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let documents = server.documents("org_acme");
    documents.insert_many((0..500).map(|n| doc! { "_id": n, "n": n % 7 })).await.expect("stored");
    documents.create_index(IndexModel::builder().keys(doc! { "n": 1 }).build()).await.expect("an index");
    let uuid = async |name: &str| {
        let mut listed = server.database.list_collections().filter(doc! { "name": name }).await.expect("listed");
        assert!(listed.advance().await.expect("one"));
        let found = listed.deserialize_current().expect("readable");
        (found.info.uuid.expect("one"), found.options.validator)
    };
    let before = uuid("org_acme").await;
    let answer = server.rename(&acme.token, "acme", "Globex Corp").await.success(200);
    assert_eq!(answer.body["organization"]["collection_name"], "org_globex_corp");
    assert_eq!(answer.body["organization"]["connection"]["collection_name"], "org_globex_corp");
    assert_eq!(uuid("org_globex_corp").await, before);
    assert_eq!(server.count("org_globex_corp").await, 500);
    let indexes = server.documents("org_globex_corp").list_index_names().await.expect("names");
    assert_eq!(indexes, ["_id_", "n_1"]);
    assert_eq!(server.tenant_collections().await, ["org_globex_corp"]);
    assert!(server.knows(&acme.token).await, "the token outlives a rename");
    server.create("acme", "new@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn another_spelling_of_the_same_name_changes_the_name_and_moves_nothing() {
    let server = Server::start().await;
    let acme = server.tenant("acme inc").await;
    let answer = server.rename(&acme.token, "acme inc", "ACME_Inc").await.success(200);
    assert_eq!(answer.body["organization"]["organization_name"], "ACME_Inc");
    assert_eq!(server.tenant_collections().await, ["org_acme_inc"]);
}

#[tokio::test]
async fn an_update_to_what_is_there_already_changes_nothing() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let before = master_data(&server).await;
    server.rename(&acme.token, "acme", "acme").await.success(200);
    server.update(&acme.token, &json!({ "organization_name": "acme" })).await.success(200);
    let same = json!({ "organization_name": "acme", "email": "ADMIN@acme.example", "password": PASSWORD });
    let answer = server.update(&acme.token, &same).await.success(200);
    assert!(answer.body.get("access_token").is_none());
    assert_eq!(master_data(&server).await, before);
}

#[tokio::test]
async fn evil_that_takes_victims_name_touches_nothing_of_the_victims() {
    let server = Server::start().await;
    let (evil, victim) = (server.tenant("evil").await, server.tenant("victim").await);
    server.documents("org_victim").insert_one(doc! { "_id": "precious" }).await.expect("stored");
    let before = master_data(&server).await;
    for spelling in ["VICTIM", "victim", "Victim"] {
        let answer = server.rename(&evil.token, "evil", spelling).await.problem(409, "new_name_taken");
        assert_eq!(answer.body["detail"], "New organization name already exists");
    }
    server.delete(&evil.token, "VICTIM").await.problem(403, "forbidden");
    server.rename(&evil.token, "VICTIM", "mine").await.problem(403, "forbidden");
    assert_eq!(master_data(&server).await, before);
    assert_eq!(server.tenant_collections().await, ["org_evil", "org_victim"]);
    assert_eq!(server.count("org_victim").await, 1);
    assert!(server.knows(&victim.token).await);
}

#[tokio::test]
async fn an_update_of_which_one_part_is_refused_changes_no_part() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let other = server.tenant("other").await;
    server.documents("org_foreign").insert_one(doc! {}).await.expect("stored");
    let before = master_data(&server).await;
    let update = async |name: &str, email: &str| {
        let body = json!({
            "organization_name": "acme", "new_organization_name": name, "email": email, "password": "a finer password",
        });
        server.update(&acme.token, &body).await
    };
    update("OTHER", "new@example.com").await.problem(409, "new_name_taken");
    update("new", &other.email).await.problem(409, "email_taken");
    update("foreign", "new@example.com").await.problem(409, "collection_occupied");
    update("new!", "new@example.com").await.invalid(&["/new_organization_name invalid_characters"]);
    assert_eq!(master_data(&server).await, before);
    assert_eq!(server.tenant_collections().await, ["org_acme", "org_foreign", "org_other"]);
    server.log_in(&acme.email, PASSWORD).await.success(200);
    server.create("new", "new@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn an_update_of_all_parts_happens_whole() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let body = json!({
        "organization_name": "Acme", "new_organization_name": "globex", "email": "New@Globex.example",
        "password": "a finer password",
    });
    let answer = server.update(&acme.token, &body).await.success(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.body["organization"]["admin"]["email"], "new@globex.example");
    assert_eq!(answer.body["token_type"], "bearer");
    assert!(server.knows(answer.body["access_token"].as_str().expect("a fresh token")).await);
    assert!(!server.knows(&acme.token).await);
    server.log_in("new@globex.example", "a finer password").await.success(200);
    server.log_in(&acme.email, PASSWORD).await.problem(401, "invalid_credentials");
    // The old email is free again.
    server.create("acme", &acme.email, PASSWORD).await.success(201);
}

#[tokio::test]
async fn a_new_email_ends_no_token() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let body = json!({ "organization_name": "acme", "email": "new@example.com" });
    let answer = server.update(&acme.token, &body).await.success(200);
    assert!(answer.body.get("access_token").is_none());
    assert!(server.knows(&acme.token).await);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_reported_together() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let update = async |body: Value| server.update(&acme.token, &body).await;
    update(json!({})).await.invalid(&["/organization_name required"]);
    update(json!({ "organization_name": "acme", "email": "x", "password": "x".repeat(73), "name": "y" }))
        .await
        .invalid(&["/email invalid_email", "/name unknown_field", "/password too_long"]);
    update(json!({ "organization_name": "acme", "email": null, "password": null })).await.success(200);
    update(json!("acme")).await.invalid(&[" wrong_type"]);
}

#[tokio::test]
async fn of_many_renames_onto_one_name_exactly_one_succeeds() {
    let server = Server::start().await;
    let mut tenants = Vec::new();
    for n in 0..12 {
        tenants.push((format!("org {n}"), server.tenant(&format!("org {n}")).await));
    }
    let renames = tenants.iter().map(|(name, tenant)| server.rename(&tenant.token, name, "Prize"));
    let answers = futures_util::future::join_all(renames).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.problem(409, "new_name_taken");
    }
    assert_eq!(server.totals().await, (12, 12, 12));
    for (_, tenant) in &tenants {
        assert!(server.knows(&tenant.token).await);
    }
}

#[tokio::test]
async fn renames_of_one_organization_at_once_leave_it_whole() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let names: Vec<String> = (0..12).map(|n| format!("name {n}")).collect();
    let renames = names.iter().map(|name| server.rename(&acme.token, "acme", name));
    let answers = futures_util::future::join_all(renames).await;
    let mut succeeded = 0;
    for answer in answers {
        match answer.status {
            200 => succeeded += 1,
            // Another call renamed it before this one looked.
            404 => drop(answer.problem(404, "organization_not_found")),
            _ => assert!(answer.problem(409, "organization_busy").headers.contains_key("retry-after")),
        }
    }
    assert!(succeeded >= 1);
    let stored = server.documents("organizations").find_one(doc! {}).await.expect("asked").expect("there");
    assert_eq!(stored.get_str("state").expect("a state"), "active");
    assert_eq!(server.tenant_collections().await, [stored.get_str("collection_name").expect("a name")]);
    assert_eq!(stored.get_array("names").expect("a list").len(), 1, "no claimed name is left over");
}

#[tokio::test]
async fn writers_lose_nothing_while_their_collection_moves() {
    let server = Server::start().await;
    let acme = server.tenant("name 0").await;
    let stored = server.documents("organizations").find_one(doc! {}).await.expect("asked").expect("there");
    let uuid = stored.get("collection_uuid").expect("recorded").clone();
    let writer = async {
        // With the UUID, and again with the name that the refusal gives.
        let (mut name, mut written) = ("org_name_0".to_owned(), 0);
        while written < 300 {
            let insert = doc! { "insert": &name, "documents": [{ "_id": written }], "collectionUUID": &uuid };
            let reply = server.database.run_command(insert).await.expect("answered");
            match reply.get_array("writeErrors").ok().and_then(|errors| errors[0].as_document()) {
                None => written += 1,
                Some(error) => error.get_str("actualCollection").expect("a name").clone_into(&mut name),
            }
        }
    };
    let renames = async {
        for n in 0..20 {
            server.rename(&acme.token, &format!("name {n}"), &format!("name {}", n + 1)).await.success(200);
        }
    };
    tokio::join!(writer, renames);
    assert_eq!(server.tenant_collections().await, ["org_name_20"], "no stray collection");
    assert_eq!(server.count("org_name_20").await, 300);
}
