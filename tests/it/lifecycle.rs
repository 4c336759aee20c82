//! The life of an organization: created, logged in to, renamed, deleted; and what must not happen on the way.

use std::time::Duration;

use bson::{Document, doc};
use tenantry::domain::{Email, NewPassword, OrgName};
use tenantry::service::org::UpdateOrg;
use tenantry::service::{AuthError, OrgError};

use crate::support::{PASSWORD, World, reference};

fn to_name(name: &str) -> UpdateOrg {
    UpdateOrg { new_name: OrgName::parse(name).ok(), ..UpdateOrg::default() }
}

#[tokio::test]
async fn the_demo_of_the_original_works_to_its_end() {
    let world = World::new().await;
    let created = world.create("amazon", "admin@amazon.example").await.expect("created");
    assert_eq!(created.collection_name, "org_amazon");
    let documents = world.database.collection::<Document>("org_amazon");
    documents.insert_one(doc! { "_id": "kept" }).await.expect("stored");
    let token = world.log_in("ADMIN@amazon.example", PASSWORD).await.expect("logged in");
    let caller = world.recognize(&token).await.expect("known");

    let updated = world.orgs.update(caller, &reference("Amazon"), to_name("amazon_global")).await.expect("renamed");
    assert_eq!(updated.caller.org.collection_name, "org_amazon_global");
    assert_eq!(updated.caller.org.collection_uuid, created.collection_uuid, "moved, not copied");
    assert_eq!(world.collections().await, ["org_amazon_global"]);
    assert_eq!(world.count("org_amazon_global").await, 1);
    assert!(matches!(world.orgs.get(&reference("amazon")).await, Err(OrgError::NotFound)));

    let caller = world.recognize(&token).await.expect("the token outlives a rename");
    world.orgs.delete(&caller, &reference("amazon_global")).await.expect("deleted");
    assert!(matches!(world.recognize(&token).await, Err(AuthError::InvalidToken)));
    assert!(world.collections().await.is_empty());
    assert_eq!((world.count("organizations").await, world.count("admins").await), (0, 0));
}

#[tokio::test]
async fn of_many_creates_of_one_name_exactly_one_succeeds_and_nothing_else_stays() {
    let world = std::sync::Arc::new(World::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let world = world.clone();
        tasks.spawn(async move { world.create("Acme Inc", &format!("admin{n}@acme.example")).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(OrgError::NameTaken))), "{answers:?}");
    assert_eq!(world.collections().await, ["org_acme_inc"]);
    assert_eq!((world.count("organizations").await, world.count("admins").await), (1, 1));
}

#[tokio::test]
async fn renaming_to_a_victims_name_in_another_spelling_touches_nothing() {
    let world = World::new().await;
    let victim = world.create("victim", "v@example.com").await.expect("created");
    world.create("evil", "e@example.com").await.expect("created");
    let caller = world.recognize(&world.log_in("e@example.com", PASSWORD).await.expect("in")).await.expect("known");
    let mut update = to_name("VICTIM");
    update.email = Email::parse("new@example.com").ok();
    let answer = world.orgs.update(caller.clone(), &reference("evil"), update).await;
    assert!(matches!(answer, Err(OrgError::NewNameTaken)), "{answer:?}");
    assert!(matches!(world.orgs.delete(&caller, &reference("VicTim")).await, Err(OrgError::Forbidden)));
    assert_eq!(world.orgs.get(&reference("victim")).await.expect("still there"), victim);
    assert_eq!(world.collections().await, ["org_evil", "org_victim"]);
    world.log_in("e@example.com", PASSWORD).await.expect("the email stayed too");
}

#[tokio::test]
async fn a_collection_that_nobody_owns_is_never_taken_or_dropped() {
    let world = World::new().await;
    world.database.collection("org_taken").insert_one(doc! { "of": "somebody" }).await.expect("stored");
    assert!(matches!(world.create("taken", "a@example.com").await, Err(OrgError::CollectionOccupied)));
    assert_eq!((world.count("organizations").await, world.count("admins").await), (0, 0));
    assert_eq!(world.count("org_taken").await, 1);
}

#[tokio::test]
async fn a_new_password_ends_older_tokens_and_the_present_one_does_not() {
    let world = World::new().await;
    world.create("acme", "a@example.com").await.expect("created");
    let token = world.log_in("a@example.com", PASSWORD).await.expect("in");
    for (password, is_new) in [(PASSWORD, false), ("another password", true)] {
        let caller = world.recognize(&token).await.expect("known");
        let update = UpdateOrg { password: NewPassword::parse(password).ok(), ..to_name("Acme") };
        let updated = world.orgs.update(caller, &reference("acme"), update).await.expect("updated");
        assert_eq!(updated.access_token.is_some(), is_new);
        if let Some(fresh) = updated.access_token {
            world.recognize(&fresh).await.expect("the fresh token works");
        }
    }
    assert!(matches!(world.recognize(&token).await, Err(AuthError::InvalidToken)));
    assert!(matches!(world.log_in("a@example.com", PASSWORD).await, Err(AuthError::InvalidCredentials)));
    world.log_in("a@example.com", "another password").await.expect("in");
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let world = World::new().await;
    world.create("acme", "a@example.com").await.expect("created");
    let token = world.log_in("a@example.com", PASSWORD).await.expect("in");
    world.clock.advance(Duration::from_mins(59));
    world.recognize(&token).await.expect("still valid");
    world.clock.advance(Duration::from_mins(1));
    assert!(matches!(world.recognize(&token).await, Err(AuthError::InvalidToken)));
}

#[tokio::test]
async fn interrupted_changes_are_finished_or_undone_once_their_lease_ran_out() {
    let world = World::new().await;
    for name in ["half-made", "half-renamed", "half-deleted", "busy"] {
        world.create(name, &format!("{name}@example.com")).await.expect("created");
    }
    let past = bson::DateTime::from_millis(0);
    let change = |kind: &str, lease: bson::DateTime| {
        doc! { "id": bson::oid::ObjectId::new(), "kind": kind, "holder": "gone", "fence": 1_i64, "lease_until": lease }
    };
    let names = |name: &str| doc! { "organization_name": name, "slug": name, "collection_name": format!("org_{name}") };
    let mut rename = change("rename", past);
    rename.insert("from", names("half-renamed"));
    rename.insert("to", names("renamed"));
    let organizations = world.database.collection::<Document>("organizations");
    for (name, state, change) in [
        ("half-made", "provisioning", change("create", past)),
        ("half-renamed", "renaming", rename),
        ("half-deleted", "deleting", change("delete", past)),
        ("busy", "deleting", change("delete", bson::DateTime::from_millis(i64::from(u32::MAX) * 1_000))),
    ] {
        let set = doc! { "$set": { "state": state, "change": change } };
        organizations.update_one(doc! { "slug": name }, set).await.expect("interrupted");
    }
    let unreadable = doc! { "_id": bson::oid::ObjectId::from_bytes([0; 12]), "slug": "unreadable", "names": ["unreadable"],
    "collection_name": "org_unreadable", "state": "deleting", "change": { "fence": 1_i64, "lease_until": past } };
    organizations.insert_one(&unreadable).await.expect("stored");
    assert_eq!(world.migration.resume_abandoned().await.expect("resumed"), 3, "the unreadable one stops nothing");
    organizations.delete_one(doc! { "slug": "unreadable" }).await.expect("removed");
    assert_eq!(world.collections().await, ["org_busy", "org_renamed"]);
    let renamed = world.orgs.get(&reference("renamed")).await.expect("finished");
    assert!(world.repos.orgs.find_document(renamed.id).await.expect("read").expect("there").change.is_none());
    assert!(!world.repos.orgs.is_name_taken(reference("half-renamed").slug()).await.expect("asked"));
    assert_eq!((world.count("organizations").await, world.count("admins").await), (2, 2));
}
