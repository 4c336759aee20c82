//! Databases as the Python original left them.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::Database;
use serde_json::json;

use crate::support::mongo::{Mongod, everything};
use crate::support::server::empty_database;
use crate::support::{Server, mongo};

/// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`, by Python's bcrypt.
const HASH: &str = "$2b$04$yuPD.ru7IfWBbnNP5s9Qz.RgMF4qQOQbGChd6rIuaagvY9x/i2JSm";

/// Stores an organization as the original did: BSON dates, ObjectIds, no slug, no index, no tag.
async fn store(database: &Database, name: &str, collection: &str, email: &str) -> ObjectId {
    let (org, admin) = (ObjectId::new(), ObjectId::new());
    let now = DateTime::from_millis(1_700_000_000_123);
    let organization = doc! {
        "_id": org, "organization_name": name, "collection_name": collection, "admin_user_id": admin,
        "connection": { "db_name": database.name(), "collection_name": collection, "extra": { "plan": "gold" } },
        "created_at": now, "updated_at": now,
    };
    let admin = doc! {
        "_id": admin, "organization_id": org, "email": email, "password_hash": HASH, "role": "admin",
        "created_at": now, "updated_at": now,
    };
    database.collection("organizations").insert_one(organization).await.expect("stored");
    database.collection("admins").insert_one(admin).await.expect("stored");
    database.collection(collection).insert_one(doc! { "_id": 1, "of": name }).await.expect("stored");
    org
}

/// Whether every field of `before` is still there with its value.
fn keeps(before: &Document, after: &Document) -> bool {
    before.iter().all(|(name, value)| match (value, after.get(name)) {
        (Bson::Document(before), Some(Bson::Document(after))) => keeps(before, after),
        (_, kept) => kept == Some(value),
    })
}

#[tokio::test]
async fn a_database_of_the_original_is_taken_over_and_nothing_of_it_is_lost() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    store(&database, "Amazon", "org_amazon", "admin@example.com").await;
    store(&database, "Acme, Inc.!", "org_Acme, Inc.!", "acme@example.com").await;
    // The original created a collection with its first document; this organization has none.
    let late = store(&database, "late", "org_late", "late@example.com").await;
    database.collection::<Document>("org_late").drop().await.expect("dropped");
    let before = everything(&database).await;

    let server = Server::over(mongod, database.clone(), &[]).await;
    let after = everything(&database).await;
    for (name, documents) in &before {
        for (document, kept) in documents.iter().zip(&after[name]) {
            assert!(keeps(document, kept), "{name}: {document} became {kept}");
        }
        assert_eq!(documents.len(), after[name].len());
    }
    assert_eq!(after["org_late"], [], "made, because every organization has one");
    let late = after["organizations"].iter().find(|org| org.get("_id") == Some(&Bson::ObjectId(late))).expect("there");
    assert!(late.get("collection_uuid").is_some() && late.get("slug") == Some(&Bson::from("late")));

    let token = server.token("Admin@Example.com", "original password").await;
    let found = server.get("/org/get?organization_name=AMAZON").bearer(&token).send().await.success(200);
    assert_eq!(found.body["organization"]["created_at"], "2023-11-14T22:13:20.123Z");
    assert_eq!(found.body["organization"]["connection"]["extra"], json!({ "plan": "gold" }));

    // Its name breaks today's rules, but works until it is renamed.
    let token = server.token("acme@example.com", "original password").await;
    server.find("acme, inc.!").await.success(200);
    let email = json!({ "organization_name": "Acme, Inc.!", "email": "new@example.com" });
    server.update(&token, &email).await.success(200);
    let renamed = server.rename(&token, "ACME, inc.!", "Acme Inc").await.success(200);
    assert_eq!(renamed.body["organization"]["collection_name"], "org_acme_inc");
    assert_eq!(server.count("org_acme_inc").await, 1);
    server.rename(&token, "acme inc", "Acme, Inc.!").await.invalid(&["/new_organization_name invalid_characters"]);
    assert_eq!(server.tenant_collections().await, ["org_acme_inc", "org_amazon", "org_late"]);

    let taken_over = everything(&database).await;
    server.stop().await.expect("stopped");
    let again = Server::over(mongod, database.clone(), &[]).await;
    assert_eq!(everything(&database).await, taken_over, "a second start changes nothing");
    drop(again);
}

#[tokio::test]
async fn what_was_stored_in_other_forms_is_read_and_what_else_was_kept_stays() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let org = store(&database, "Amazon", "org_amazon", "a@example.com").await;
    let organizations = database.collection::<Document>("organizations");
    let forms = doc! {
        "created_at": "2023-11-14 22:13:20.123000", "updated_at": "2023-11-14T22:13:21.123000+00:00",
        "connection.uri": "mongodb://kept", "settings": { "theme": "dark" },
    };
    organizations.update_one(doc! { "_id": org }, doc! { "$set": forms }).await.expect("changed");
    let admins = database.collection::<Document>("admins");
    let admin = admins.find_one(doc! {}).await.expect("asked").expect("there");
    let admin_id = admin.get_object_id("_id").expect("an id").to_hex();
    let as_text = doc! { "$set": { "admin_user_id": &admin_id } };
    organizations.update_one(doc! { "_id": org }, as_text).await.expect("changed");
    let as_text = doc! { "$set": { "organization_id": org.to_hex(), "phone": "1" }, "$unset": { "role": "" } };
    admins.update_one(doc! {}, as_text).await.expect("changed");

    let server = Server::over(mongod, database.clone(), &[]).await;
    let token = server.token("a@example.com", "original password").await;
    let found = server.get("/org/get?organization_name=amazon").bearer(&token).send().await.success(200);
    assert_eq!(found.body["organization"]["created_at"], "2023-11-14T22:13:20.123Z");
    assert_eq!(found.body["organization"]["updated_at"], "2023-11-14T22:13:21.123Z");
    assert_eq!(found.body["organization"]["admin_user_id"], admin_id.as_str());
    let kept = organizations.find_one(doc! {}).await.expect("asked").expect("there");
    assert_eq!(kept.get_document("connection").expect("kept").get_str("uri").expect("kept"), "mongodb://kept");
    assert_eq!(kept.get_document("settings").expect("kept"), &doc! { "theme": "dark" });
    let kept = admins.find_one(doc! {}).await.expect("asked").expect("there");
    assert_eq!(kept.get_str("phone").expect("kept"), "1");
    assert_eq!(kept.get_object_id("organization_id").expect("an id"), org);
}

#[tokio::test]
async fn of_two_names_for_one_collection_the_one_that_exists_counts() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let org = store(&database, "acme", "org_acme_data", "a@example.com").await;
    let set = doc! { "$set": { "collection_name": "org_acme" } };
    database.collection::<Document>("organizations").update_one(doc! { "_id": org }, set).await.expect("changed");
    let server = Server::over(mongod, database, &[]).await;
    let found = server.find("acme").await.success(200);
    assert_eq!(found.body["organization"]["collection_name"], "org_acme_data");
    assert_eq!(server.tenant_collections().await, ["org_acme_data"]);
}

#[tokio::test]
async fn every_record_that_cannot_be_taken_over_is_named_with_what_is_wrong_with_it() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let organizations = database.collection::<Document>("organizations");
    let admins = database.collection::<Document>("admins");
    let mut expected = Vec::new();
    for (n, (set, reason)) in [
        (doc! { "created_at": "yesterday" }, "its created_at is neither"),
        (doc! { "connection": "mongodb://x" }, "its connection is not an object"),
        (doc! { "connection.extra": ["a"] }, "its connection.extra is not an object"),
        (doc! { "organization_name": "  " }, "its organization_name is empty"),
        (doc! { "organization_name": 7 }, "its organization_name is not a text"),
        (doc! { "collection_name": "org_a$b", "connection.collection_name": "org_a$b" }, "MongoDB lets none be made"),
        (
            doc! { "collection_name": "org_away", "connection.collection_name": "org_away", "connection.db_name": "elsewhere" },
            "in the database \"elsewhere\"",
        ),
        (doc! { "collection_name": "org_view", "connection.collection_name": "org_view" }, "is a view"),
        (doc! { "collection_name": "admins" }, "make them one"),
    ]
    .into_iter()
    .enumerate()
    {
        let org = store(&database, &format!("org {n}"), &format!("org_{n}"), &format!("{n}@example.com")).await;
        organizations.update_one(doc! { "_id": org }, doc! { "$set": set }).await.expect("broken");
        expected.push((org, reason));
    }
    database.create_collection("org_view").view_on("organizations".to_owned()).await.expect("a view");
    for (email, change, reason) in [
        ("role@example.com", doc! { "$set": { "role": 1 } }, "its role is not a text"),
        ("hash@example.com", doc! { "$unset": { "password_hash": "" } }, "it has no password_hash"),
        ("email@example.com", doc! { "$set": { "email": null } }, "its email is not a text"),
    ] {
        store(&database, email, &format!("org_{email}"), email).await;
        let admin = admins.find_one_and_update(doc! { "email": email }, change).await.expect("asked").expect("there");
        expected.push((admin.get_object_id("_id").expect("an id"), reason));
    }
    let before = everything(&database).await;
    let mut server = Server::unready(mongod, database.clone(), &[]);
    let error = format!("{:#}", server.ended().await.expect_err("it must not start"));
    for (id, reason) in &expected {
        let is_named = error.lines().any(|line| line.contains(&id.to_hex()) && line.contains(reason));
        assert!(is_named, "{id} {reason}\n{error}");
    }
    assert_eq!(error.lines().count(), expected.len() + 1, "{error}");
    assert_eq!(everything(&database).await, before);
}

#[tokio::test]
async fn an_index_of_the_originals_own_that_stands_in_the_way_is_named_with_the_way_out() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    store(&database, "amazon", "org_amazon", "a@example.com").await;
    let index = mongodb::IndexModel::builder().keys(doc! { "email": 1 }).build();
    database.collection::<Document>("admins").create_index(index).await.expect("an index");
    let mut server = Server::unready(mongod, database.clone(), &[]);
    let error = format!("{:#}", server.ended().await.expect_err("it must not start"));
    assert!(error.contains(r#"db.admins.dropIndex("email_1")"#), "{error}");
    database.collection::<Document>("admins").drop_index("email_1").await.expect("dropped");
    let server = Server::over(mongod, database, &[]).await;
    server.log_in("a@example.com", "original password").await.success(200);
}

#[tokio::test]
async fn a_user_that_may_only_read_and_write_is_enough_for_a_takeover() {
    let (mongod, root) = Mongod::with_users(&[("plain", "original")]).await;
    let database = root.database("original");
    store(&database, "amazon", "org_amazon", "admin@example.com").await;
    let server = Server::over(&mongod, database, &[("MONGO_URI", &mongod.uri_of("plain"))]).await;
    let token = server.token("admin@example.com", "original password").await;
    server.rename(&token, "amazon", "amazon_global").await.success(200);
    assert_eq!(server.count("org_amazon_global").await, 1);
    server.delete(&token, "amazon_global").await.success(200);
    assert_eq!(server.totals().await, (0, 0, 0));
    server.tenant("amazon").await;
}

#[tokio::test]
async fn emails_that_the_original_stored_in_capitals_still_log_in() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    store(&database, "amazon", "org_amazon", "Admin@Example.COM").await;
    let server = Server::over(mongod, database, &[]).await;
    server.log_in("admin@example.com", "original password").await.success(200);
    server.log_in("Admin@Example.COM", "original password").await.success(200);
    server.create("other", "ADMIN@example.com", "a fine password").await.problem(409, "email_taken");
}

#[tokio::test]
async fn collisions_are_all_named_and_nothing_is_changed_and_the_server_does_not_start() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let one = store(&database, "Amazon", "org_Amazon", "a@example.com").await;
    let two = store(&database, "amazon", "org_amazon", "A@example.com").await;
    let three = store(&database, "Acme Inc", "org_shared", "c@example.com").await;
    let four = store(&database, "acme", "org_other", "d@example.com").await;
    let share = doc! { "$set": { "collection_name": "org_shared" } };
    database.collection::<Document>("organizations").update_one(doc! { "_id": four }, share).await.expect("shared");
    let before = everything(&database).await;
    let mut server = Server::unready(mongod, database.clone(), &[]);
    let error = format!("{:#}", server.ended().await.expect_err("it must not start"));
    for id in [one, two, three, four] {
        assert!(error.contains(&id.to_hex()), "{error}");
    }
    assert_eq!(error.lines().filter(|line| line.contains("the same")).count(), 2, "{error}");
    assert!(error.contains("nothing was changed") && error.contains("updateOne"), "{error}");
    assert!(!error.contains("@example.com"), "{error}");
    assert_eq!(everything(&database).await, before);
}
