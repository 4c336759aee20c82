//! What a token allows, and for how long.

use std::time::Duration;

use bson::{doc, oid::ObjectId};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tenantry::clock::Clock;

use crate::support::server::SECRET;
use crate::support::{PASSWORD, Server, Tenant};

fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("signed")
}

/// The claims of the original's tokens: no `jti`, no version.
async fn claims_of_the_original(server: &Server, tenant: &Tenant) -> Value {
    let admin = server.documents("admins").find_one(doc! { "email": &tenant.email }).await.expect("asked");
    let admin_id = admin.expect("there").get_object_id("_id").expect("an id").to_hex();
    let expires = server.clock.now().unix_timestamp() + 600;
    json!({ "sub": admin_id, "email": tenant.email, "org_id": tenant.id, "role": "admin", "exp": expires })
}

#[tokio::test]
async fn a_token_of_the_original_is_accepted_until_it_expires_or_the_password_changes() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    // The take-over marks admins like this when the original set their password.
    let mark = doc! { "$set": { "credential_version": 0_i64 } };
    server.documents("admins").update_one(doc! {}, mark).await.expect("marked");
    let token = signed(Algorithm::HS256, &claims_of_the_original(&server, &acme).await, SECRET);
    assert!(server.knows(&token).await);
    let change = json!({ "organization_name": "acme", "password": "a finer password" });
    server.update(&token, &change).await.success(200);
    assert!(!server.knows(&token).await);
}

#[tokio::test]
async fn tokens_of_every_broken_kind_are_refused() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let good = claims_of_the_original(&server, &acme).await;
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims["ver"] = if name == "ver" { claims["ver"].clone() } else { json!(1) };
        claims
    };
    let without = |name: &str| {
        let mut claims = with("ver", json!(1));
        claims.as_object_mut().expect("an object").remove(name);
        claims
    };
    let now = server.clock.now().unix_timestamp();
    let hs256 = |claims: &Value| signed(Algorithm::HS256, claims, SECRET);
    let right = hs256(&with("ver", json!(1)));
    assert!(server.knows(&right).await, "all but one thing is right in what follows");

    let [header, payload, signature] = right.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"; // {"alg":"none","typ":"JWT"}
    let broken = [
        ("another key", signed(Algorithm::HS256, &with("ver", json!(1)), "another secret of 32 bytes or more!")),
        ("another algorithm", signed(Algorithm::HS512, &with("ver", json!(1)), SECRET)),
        ("no algorithm, no signature", format!("{unsigned}.{payload}.")),
        ("no algorithm", format!("{unsigned}.{payload}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("another payload", format!("{header}.{}.{signature}", payload.replace('e', "f"))),
        ("expired", hs256(&with("exp", json!(now)))),
        ("expires as a text", hs256(&with("exp", json!("never")))),
        ("never expires", hs256(&without("exp"))),
        ("not valid yet", hs256(&with("nbf", json!(now + 60)))),
        ("no admin", hs256(&without("sub"))),
        ("no organization", hs256(&without("org_id"))),
        ("an admin that is no id", hs256(&with("sub", json!("admin")))),
        ("an admin that does not exist", hs256(&with("sub", json!(ObjectId::new().to_hex())))),
        ("another organization", hs256(&with("org_id", json!(ObjectId::new().to_hex())))),
        ("an older password", hs256(&with("ver", json!(0)))),
        ("garbage", "garbage".to_owned()),
        ("three words", "a.b.c".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, token) in broken {
        let answer = server.delete(&token, "acme").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        let answer = answer.problem(401, if token.is_empty() { "missing_token" } else { "invalid_token" });
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for authorization in ["", "Bearer", "Basic YTpi", right.as_str(), "Token x"] {
        let call = server.call("DELETE", "/org/delete?organization_name=acme").header("authorization", authorization);
        call.send().await.problem(401, "missing_token");
    }
    let call = server.call("DELETE", "/org/delete?organization_name=x");
    call.header("authorization", &format!("bEARER  {right}")).send().await.problem(404, "organization_not_found");
    assert_eq!(server.totals().await, (1, 1, 1));
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let server = Server::with(&[("JWT_EXPIRES_MINUTES", "5")]).await;
    server.create("acme", "a@example.com", PASSWORD).await.success(201);
    let answer = server.log_in("a@example.com", PASSWORD).await.success(200);
    assert_eq!(answer.body["expires_in"], 300);
    let token = answer.body["access_token"].as_str().expect("a token");
    server.clock.advance(Duration::from_secs(299));
    assert!(server.knows(token).await);
    server.clock.advance(Duration::from_secs(1));
    assert!(!server.knows(token).await);
}

#[tokio::test]
async fn a_token_says_what_the_contract_says_and_is_like_no_other() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let again = server.token(&acme.email, PASSWORD).await;
    let claims = |token: &str| {
        let payload = token.split('.').nth(1).expect("a payload").to_owned();
        let token = jsonwebtoken::dangerous::insecure_decode::<Value>(token).expect("readable");
        assert!(!payload.is_empty());
        token.claims
    };
    let (one, two) = (claims(&acme.token), claims(&again));
    assert_eq!(one["org_id"], acme.id.as_str());
    assert_eq!(one["email"], acme.email.as_str());
    assert_eq!(one["role"], "admin");
    assert_eq!(one["exp"].as_i64().expect("a time") - one["iat"].as_i64().expect("a time"), 3600);
    assert_ne!(one["jti"], two["jti"]);
}

#[tokio::test]
async fn who_somebody_is_costs_one_command_whatever_is_asked() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let documents = "/org/acme/documents";
    server.call("POST", documents).bearer(&acme.token).json(&json!({ "_id": "a" })).send().await.success(201);
    server.database.run_command(doc! { "profile": 2 }).await.expect("profiled");
    server.get(&format!("{documents}/a")).bearer(&acme.token).send().await.success(200);
    server.database.run_command(doc! { "profile": 0 }).await.expect("not any more");
    // Queries that the server makes in the background filter by state.
    let of_request = doc! { "appName": "tenantry", "command.filter.state": { "$exists": false } };
    let mut cursor = server.documents("system.profile").find(of_request).await.expect("found");
    let mut asked = Vec::new();
    while cursor.advance().await.expect("more") {
        let command = cursor.deserialize_current().expect("readable");
        asked.push(command.get_str("ns").expect("a namespace").split_once('.').expect("a dot").1.to_owned());
    }
    asked.sort();
    assert_eq!(asked, ["admins", "org_acme"], "its admin with its organization, and the document");
}
