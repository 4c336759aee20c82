//! How often a client may create, change and look up organizations.

use std::time::Duration;

use serde_json::json;

use crate::support::server::by_name;
use crate::support::{Answer, PASSWORD, Server};

/// A server that trusts the tests' `X-Forwarded-For`.
async fn behind_a_proxy(settings: &[(&str, &str)]) -> Server {
    Server::with(&[&[("TRUSTED_PROXIES", "127.0.0.0/8")], settings].concat()).await
}

async fn create_from(server: &Server, address: &str, name: &str, password: &str) -> Answer {
    let body = json!({ "organization_name": name, "email": format!("{name}@example.com"), "password": password });
    server.call("POST", "/org/create").header("x-forwarded-for", address).json(&body).send().await
}

#[tokio::test]
async fn every_attempt_to_create_that_could_tell_something_counts_for_its_network() {
    let server = behind_a_proxy(&[("CREATIONS_PER_MINUTE", "4")]).await;
    for _ in 0..10 {
        create_from(&server, "192.0.2.1", "-", PASSWORD).await.problem(422, "validation_failed");
    }
    create_from(&server, "192.0.2.1", "acme", PASSWORD).await.success(201);
    create_from(&server, "192.0.2.1", "acme", PASSWORD).await.problem(409, "organization_exists");
    create_from(&server, "192.0.2.1", "acme", "short").await.problem(409, "organization_exists");
    create_from(&server, "192.0.2.1", "other", "short").await.problem(422, "validation_failed");
    let refused = create_from(&server, "192.0.2.1", "acme", PASSWORD).await.problem(429, "too_many_attempts");
    assert_eq!(refused.header("retry-after"), "16");
    create_from(&server, "192.0.2.2", "other", PASSWORD).await.success(201);
    server.clock.advance(Duration::from_secs(16));
    create_from(&server, "192.0.2.1", "third", PASSWORD).await.success(201);
}

#[tokio::test]
async fn a_repetition_counts_too_and_an_ipv6_site_is_limited_over_its_networks() {
    let server = behind_a_proxy(&[("CREATIONS_PER_MINUTE", "2")]).await;
    let body = json!({ "organization_name": "acme", "email": "admin@acme.example", "password": PASSWORD });
    let repeat = async |address: &str| {
        let call = server.call("POST", "/org/create").header("x-forwarded-for", address);
        call.header("idempotency-key", "mine").json(&body).send().await
    };
    repeat("2001:db8::1").await.success(201);
    assert_eq!(repeat("2001:db8::2").await.success(201).header("idempotency-replayed"), "true");
    repeat("2001:db8::3").await.problem(429, "too_many_attempts");
    for n in 1..7 {
        create_from(&server, &format!("2001:db8:0:{n}::1"), "acme", PASSWORD).await.problem(409, "organization_exists");
    }
    create_from(&server, "2001:db8:0:7::1", "acme", PASSWORD).await.problem(429, "too_many_attempts");
}

#[tokio::test]
async fn an_update_tries_no_more_passwords_than_a_login_and_locks_nobody_out() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "3")]).await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let with_password = |name: &str| json!({ "organization_name": name, "password": PASSWORD });
    for _ in 0..3 {
        server.update(&acme.token, &with_password("acme")).await.success(200);
    }
    let refused = server.update(&acme.token, &with_password("acme")).await.problem(429, "too_many_attempts");
    assert!(refused.body["detail"].as_str().expect("a text").contains("password"), "{}", refused.text);
    server.update(&other.token, &with_password("other")).await.success(200);
    server.rename(&acme.token, "acme", "acme two").await.success(200);
    server.log_in(&acme.email, PASSWORD).await.success(200);
    server.clock.advance(Duration::from_secs(20));
    server.update(&acme.token, &with_password("acme two")).await.success(200);
}

#[tokio::test]
async fn an_update_asks_for_so_many_emails_and_the_present_one_is_none() {
    let server = Server::with(&[("CREATIONS_PER_MINUTE", "3")]).await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let with_email = |email: &str| json!({ "organization_name": "acme", "email": email });
    for _ in 0..5 {
        server.update(&acme.token, &with_email(&acme.email)).await.success(200);
    }
    server.update(&acme.token, &with_email("new@acme.example")).await.success(200);
    for _ in 0..2 {
        server.update(&acme.token, &with_email(&other.email)).await.problem(409, "email_taken");
    }
    for email in [&other.email, "unknown@example.com"] {
        server.update(&acme.token, &with_email(email)).await.problem(429, "too_many_attempts");
    }
    server.rename(&acme.token, "acme", "acme two").await.success(200);
    server.clock.advance(Duration::from_secs(20));
    let body = json!({ "organization_name": "acme two", "email": "newer@acme.example" });
    server.update(&acme.token, &body).await.success(200);
}

#[tokio::test]
async fn whoever_asks_for_too_many_unknown_names_is_told_of_none_but_its_own() {
    let server = behind_a_proxy(&[("UNKNOWN_NAMES_PER_MINUTE", "3")]).await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let find = async |address: &str, name: &str, token: &str| {
        let call = server.get(&by_name("/org/get", name)).header("x-forwarded-for", address);
        call.bearer(token).send().await
    };
    for _ in 0..10 {
        find("192.0.2.1", "acme", "none").await.success(200);
    }
    for n in 0..3 {
        find("192.0.2.1", &format!("nobody {n}"), "none").await.problem(404, "organization_not_found");
    }
    // Applies to names that exist and names that do not, without a token and with another organization's.
    for (name, token) in [("nobody", "none"), ("acme", "none"), ("acme", &other.token)] {
        let refused = find("192.0.2.1", name, token).await.problem(429, "too_many_attempts");
        assert_eq!(refused.header("retry-after"), "21");
    }
    find("192.0.2.1", "ACME", &acme.token).await.success(200);
    find("192.0.2.2", "acme", "none").await.success(200);
    server.clock.advance(Duration::from_secs(20));
    find("192.0.2.1", "acme", "none").await.success(200);
}

#[tokio::test]
async fn a_token_of_another_organization_is_no_other_way_to_ask_for_names() {
    let server = Server::with(&[("UNKNOWN_NAMES_PER_MINUTE", "3")]).await;
    let (_acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let sizes = async |name: &str| server.get(&format!("/org/{name}/stats")).bearer(&other.token).send().await;
    sizes("acme").await.problem(403, "forbidden");
    sizes("nobody").await.problem(404, "organization_not_found");
    server.delete(&other.token, "nobody").await.problem(404, "organization_not_found");
    server.rename(&other.token, "nobody", "somebody").await.problem(404, "organization_not_found");
    for name in ["acme", "nobody"] {
        sizes(name).await.problem(429, "too_many_attempts");
        server.delete(&other.token, name).await.problem(429, "too_many_attempts");
        server.rename(&other.token, name, "somebody").await.problem(429, "too_many_attempts");
    }
    sizes("other").await.success(200);
    server.rename(&other.token, "other", "another").await.success(200);
}

#[tokio::test]
async fn an_update_asks_for_so_many_names() {
    let server = Server::with(&[("CREATIONS_PER_MINUTE", "3")]).await;
    let (acme, _other) = (server.tenant("acme").await, server.tenant("other").await);
    for _ in 0..3 {
        server.rename(&acme.token, "acme", "other").await.problem(409, "new_name_taken");
    }
    for name in ["other", "unknown"] {
        server.rename(&acme.token, "acme", name).await.problem(429, "too_many_attempts");
    }
    server.rename(&acme.token, "acme", "ACME").await.success(200);
}
