//! `POST /org/create`

use bson::doc;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server};

/// Creates an organization; retries while its network's share of the password queue is used up.
async fn create_in_turn(server: &Server, name: &str, email: &str) -> Answer {
    loop {
        let answer = server.create(name, email, PASSWORD).await;
        if answer.status != 429 {
            return answer;
        }
        answer.problem(429, "share_used_up");
    }
}

#[tokio::test]
async fn the_answer_shows_the_organization_and_nothing_secret() {
    let server = Server::start().await;
    let answer = server.create("Acme Inc", "Admin@Acme.Example", PASSWORD).await.success(201);
    let org = &answer.body["organization"];
    assert_eq!(org["organization_name"], "Acme Inc", "kept as typed");
    assert_eq!(org["collection_name"], "org_acme_inc");
    let connection = json!({ "db_name": server.database.name(), "collection_name": "org_acme_inc", "extra": {} });
    assert_eq!(org["connection"], connection);
    for id in ["id", "admin_user_id"] {
        bson::oid::ObjectId::parse_str(org[id].as_str().expect("a text")).expect("24 hex digits");
    }
    assert_eq!(org["created_at"], org["updated_at"]);
    assert!(org["created_at"].as_str().expect("a text").ends_with('Z'), "UTC");
    let text = answer.text.to_lowercase();
    assert!(!text.contains("acme.example") && !text.contains("$2b$") && !text.contains("mongodb://"), "{text}");
}

#[tokio::test]
async fn the_collection_is_made_with_its_owners_tag_and_its_uuid_is_recorded() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let listed = server.database.list_collections().filter(doc! { "name": "org_acme" }).await;
    let mut listed = listed.expect("listed");
    assert!(listed.advance().await.expect("one"));
    let made = listed.deserialize_current().expect("readable");
    let validator = made.options.validator.expect("a validator");
    assert_eq!(validator, doc! { "$comment": format!("owner:{}", acme.id) });
    let stored = server.documents("organizations").find_one(doc! {}).await.expect("asked").expect("there");
    assert_eq!(stored.get("collection_uuid").expect("recorded"), &bson::Bson::Binary(made.info.uuid.expect("one")));
    assert_eq!(stored.get_str("state").expect("a state"), "active");
    assert!(stored.get("change").is_none());
}

#[tokio::test]
async fn of_fifty_creates_of_one_name_exactly_one_succeeds() {
    let server = Server::start().await;
    let spellings = ["Acme Inc", "acme_inc", "ACME   INC", "acme inc"];
    let calls = (0..50).map(|n| {
        let server = &server;
        async move { create_in_turn(server, spellings[n % 4], &format!("admin{n}@acme.example")).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (1, 49));
    for answer in refused {
        assert_eq!(answer.problem(409, "organization_exists").body["detail"], "Organization already exists");
    }
    assert_eq!(server.totals().await, (1, 1, 1));
    assert_eq!(server.tenant_collections().await, ["org_acme_inc"]);
}

#[tokio::test]
async fn of_twenty_creates_with_one_email_exactly_one_succeeds_and_the_other_names_stay_free() {
    let server = Server::start().await;
    let calls = (0..20).map(|n| {
        let server = &server;
        async move { create_in_turn(server, &format!("org {n}"), "one@example.com").await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let (created, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((created.len(), refused.len()), (1, 19));
    for answer in refused {
        answer.problem(409, "email_taken");
    }
    assert_eq!(server.totals().await, (1, 1, 1));
    let name = created[0].body["organization"]["organization_name"].as_str().expect("a name").to_owned();
    let free = (0..20).map(|n| format!("org {n}")).find(|other| *other != name).expect("nineteen");
    server.create(&free, "two@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn a_taken_name_is_reported_before_a_bad_password() {
    let server = Server::start().await;
    server.tenant("acme").await;
    server.create("ACME", "new@example.com", "short").await.problem(409, "organization_exists");
    server.create("other", "new@example.com", "short").await.invalid(&["/password too_short"]);
    assert_eq!(server.totals().await, (1, 1, 1));
}

#[tokio::test]
async fn everything_that_is_wrong_is_reported_together_and_nothing_is_made() {
    let server = Server::start().await;
    let send =
        async |body: &str| server.call("POST", "/org/create").body("application/json", body.to_owned()).send().await;
    send("{}").await.invalid(&["/email required", "/organization_name required", "/password required"]);
    send(r#"{"organization_name":"_x","email":"nobody","password":"short","role":"admin","a/b~":1}"#).await.invalid(&[
        "/a~1b~0 unknown_field",
        "/email invalid_email",
        "/organization_name invalid_edges",
        "/password too_short",
        "/role unknown_field",
    ]);
    send(r#"{"organization_name":null,"email":7,"password":["a fine password"]}"#).await.invalid(&[
        "/email wrong_type",
        "/organization_name wrong_type",
        "/password wrong_type",
    ]);
    send(r#"{"organization_name":"a","organization_name":"b","email":"a@b.example","password":"a fine password"}"#)
        .await
        .invalid(&["/organization_name repeated"]);
    assert_eq!(server.totals().await, (0, 0, 0));
}

#[tokio::test]
async fn a_password_of_72_bytes_is_taken_whole_and_one_of_73_is_refused() {
    let server = Server::start().await;
    let longest = "x".repeat(71) + "y";
    server.create("acme", "a@example.com", &longest).await.success(201);
    server.log_in("a@example.com", &longest).await.success(200);
    server.log_in("a@example.com", &("x".repeat(71) + "z")).await.problem(401, "invalid_credentials");
    server.log_in("a@example.com", &(longest.clone() + "!")).await.problem(401, "invalid_credentials");
    server.create("other", "b@example.com", &(longest + "!")).await.invalid(&["/password too_long"]);
    server.create("other", "b@example.com", &"é".repeat(37)).await.invalid(&["/password too_long"]);
}

#[tokio::test]
async fn a_collection_that_nobody_owns_is_neither_taken_nor_dropped() {
    let server = Server::start().await;
    server.documents("org_taken").insert_one(doc! { "of": "somebody" }).await.expect("stored");
    server.create("taken", "a@example.com", PASSWORD).await.problem(409, "collection_occupied");
    assert_eq!(server.totals().await, (0, 0, 1));
    assert_eq!(server.count("org_taken").await, 1);
    server.create("free", "a@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn a_full_server_creates_no_more_and_serves_on() {
    let server = Server::with(&[("MAX_ORGANIZATIONS", "2")]).await;
    let one = server.tenant("one").await;
    server.tenant("two").await;
    server.create("three", "three@example.com", PASSWORD).await.problem(503, "capacity_reached");
    server.delete(&one.token, "one").await.success(200);
    server.tenant("three").await;
}

#[tokio::test]
async fn any_name_that_the_rules_allow_is_created_found_and_shown_as_typed() {
    let server = Server::start().await;
    let longest = "Z".repeat(64);
    for (n, name) in ["7", "a b  c", "A-b_C-9", longest.as_str()].into_iter().enumerate() {
        server.create(name, &format!("admin{n}@example.com"), PASSWORD).await.success(201);
        let found = server.find(&name.to_uppercase()).await.success(200);
        assert_eq!(found.body["organization"]["organization_name"], Value::from(name));
    }
}
