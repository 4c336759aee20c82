//! Databases as the Python original left them.

use bson::{Document, doc, oid::ObjectId};
use tenantry::repo::indexes;
use tenantry::repo::takeover::{TakeoverError, take_over};

use crate::support::{World, reference};

/// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`, made by the hasher and stored as Python does.
async fn stored_by_the_original(world: &World, name: &str, collection: &str, email: &str) -> ObjectId {
    let (org, admin) = (ObjectId::new(), ObjectId::new());
    #[expect(clippy::disallowed_methods, reason = "the original's hash is made without our service")]
    let hash = bcrypt::hash("original password", 4).expect("hashed");
    let organization = doc! {
        "_id": org, "organization_name": name, "collection_name": collection, "admin_user_id": admin.to_hex(),
        "connection": { "db_name": world.database.name(), "collection_name": collection, "extra": {} },
    };
    let admin = doc! { "_id": admin, "organization_id": org, "email": email, "password_hash": hash, "role": "admin" };
    world.database.collection("organizations").insert_one(organization).await.expect("stored");
    world.database.collection("admins").insert_one(admin).await.expect("stored");
    world.database.collection(collection).insert_one(doc! { "_id": 1, "of": name }).await.expect("stored");
    org
}

#[tokio::test]
async fn a_database_of_the_original_is_taken_over_without_losing_anything() {
    let world = World::unprepared().await;
    stored_by_the_original(&world, "Amazon", "org_amazon", "Admin@Example.com").await;
    stored_by_the_original(&world, "Acme, Inc.!", "org_Acme, Inc.!", "acme@example.com").await;
    let done = take_over(&world.database).await.expect("taken over");
    assert_eq!((done.organizations, done.admins), (2, 2));
    indexes::ensure(&world.database).await.expect("indexes");
    assert_eq!(take_over(&world.database).await.expect("nothing to do").organizations, 0);

    let token = world.log_in("admin@example.com", "original password").await.expect("logged in");
    assert_eq!(world.recognize(&token).await.expect("known").org.name, "Amazon");
    let odd = world.orgs.get(&reference("acme, inc.!")).await.expect("usable under its odd name");
    assert_eq!(odd.collection_name, "org_Acme, Inc.!");
    assert_eq!(world.count("org_Acme, Inc.!").await, 1);
}

#[tokio::test]
async fn collisions_are_named_and_nothing_is_changed() {
    let world = World::unprepared().await;
    let one = stored_by_the_original(&world, "Amazon", "org_Amazon", "a@example.com").await;
    let two = stored_by_the_original(&world, "amazon", "org_amazon", "A@example.com").await;
    let Err(TakeoverError::Conflicts(conflicts)) = take_over(&world.database).await else {
        panic!("two organizations of one name were taken over")
    };
    let text = conflicts.join("\n");
    assert_eq!(conflicts.len(), 2, "{text}");
    assert!(text.contains(&one.to_hex()) && text.contains(&two.to_hex()));
    assert!(!text.contains("@example.com"), "no email in a message");
    let organizations = world.database.collection::<Document>("organizations");
    assert_eq!(organizations.count_documents(doc! { "slug": { "$exists": true } }).await.expect("a count"), 0);
}
