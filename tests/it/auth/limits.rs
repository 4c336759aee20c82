//! How often somebody may try to log in.

use serde_json::json;

use crate::support::{Answer, PASSWORD, Server};

async fn log_in_from(server: &Server, address: &str, email: &str, password: &str) -> Answer {
    let credentials = json!({ "email": email, "password": password });
    server.call("POST", "/admin/login").header("x-forwarded-for", address).json(&credentials).send().await
}

#[tokio::test]
async fn one_email_is_tried_so_often_and_another_one_is_not_blocked_by_it() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "5")]).await;
    // The first attempt of each is the helper's own.
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    for _ in 0..4 {
        server.log_in(&acme.email, "wrong password").await.problem(401, "invalid_credentials");
    }
    // Far more than the address could have, were refused attempts counted against it.
    for _ in 0..60 {
        let answer = server.log_in(&acme.email, PASSWORD).await.problem(429, "too_many_attempts");
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    server.log_in(&other.email, PASSWORD).await.success(200);
}

#[tokio::test]
async fn one_address_is_limited_over_all_emails_and_a_trusted_proxy_says_which_it_is() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "1"), ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let guess = async |n: u32, address: &str| log_in_from(&server, address, &format!("a{n}@example.com"), "x").await;
    for n in 0..10 {
        // What the client itself put into the header, to the left, is not believed.
        guess(n, &format!("198.51.100.{n}, 192.0.2.1")).await.problem(401, "invalid_credentials");
    }
    guess(10, "192.0.2.1").await.problem(429, "too_many_attempts");
    guess(11, "192.0.2.2").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn without_trusted_proxies_the_header_changes_nothing() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "1")]).await;
    let guess = async |n: u32| log_in_from(&server, &format!("192.0.2.{n}"), &format!("a{n}@example.com"), "x").await;
    for n in 0..10 {
        guess(n).await.problem(401, "invalid_credentials");
    }
    guess(10).await.problem(429, "too_many_attempts");
}

#[tokio::test]
async fn more_logins_at_once_than_can_wait_are_told_to_come_again() {
    // One of these takes so long that the queue cannot empty while the test fills it.
    let server = Server::with(&[("SALT_ROUNDS", "11"), ("REQUEST_TIMEOUT_SECONDS", "120")]).await;
    let guesses = (0..200).map(|n| {
        let server = &server;
        async move { server.log_in(&format!("a{n}@example.com"), "x").await }
    });
    let live = async {
        server.get("/health/live").send().await.success(200);
        server.find("nobody").await.problem(404, "organization_not_found");
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(guesses), live);
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert!((1..200).contains(&refused), "{refused}");
    for answer in answers {
        match answer.status {
            503 => drop(answer.problem(503, "password_queue_full")),
            _ => drop(answer.problem(401, "invalid_credentials")),
        }
    }
}
