//! Databases as the Python original left them.

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::Database;
use serde_json::json;

use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{Server, mongo};

/// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`, by Python's bcrypt.
const HASH: &str = "$2b$04$yuPD.ru7IfWBbnNP5s9Qz.RgMF4qQOQbGChd6rIuaagvY9x/i2JSm";

/// Stores an organization as the original did: dates as dates, ids as ObjectIds, no slug, no index, no tag.
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

/// Every document of every collection.
async fn everything(database: &Database) -> BTreeMap<String, Vec<Document>> {
    let mut all = BTreeMap::new();
    for name in database.list_collection_names().await.expect("names") {
        let mut cursor = database.collection::<Document>(&name).find(doc! {}).await.expect("found");
        let mut documents = Vec::new();
        while cursor.advance().await.expect("more") {
            documents.push(cursor.deserialize_current().expect("readable"));
        }
        all.insert(name, documents);
    }
    all
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
    // The original made a collection with its first document; this organization never had one.
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

    // Its name breaks today's rules: usable under it until it is renamed.
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
    assert!(error.contains("nothing was changed") && error.contains("updateOne"), "{error}");
    assert!(!error.contains("@example.com"), "{error}");
    assert_eq!(everything(&database).await, before);
}
