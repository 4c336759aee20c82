//! How many logins are allowed per minute, and how many at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Server};

/// A server that trusts the tests' `X-Forwarded-For`.
async fn behind_a_proxy(settings: &[(&str, &str)]) -> Server {
    Server::with(&[&[("TRUSTED_PROXIES", "127.0.0.0/8")], settings].concat()).await
}

async fn log_in_from(server: &Server, address: &str, email: &str, password: &str) -> Answer {
    let credentials = json!({ "email": email, "password": password });
    server.call("POST", "/admin/login").header("x-forwarded-for", address).json(&credentials).send().await
}

#[tokio::test]
async fn one_email_is_tried_so_often_and_hammering_it_blocks_strangers_there_and_nobody_who_is_at_home() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "5")]).await;
    // The test helper made each admin's first attempt.
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    for _ in 0..4 {
        server.log_in(&acme.email, "wrong password").await.problem(401, "invalid_credentials");
    }
    for _ in 0..50 {
        let answer = server.log_in(&acme.email, PASSWORD).await.problem(429, "too_many_attempts");
        let wait: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&wait), "{wait}");
    }
    server.log_in("nobody@example.com", "x").await.problem(429, "too_many_attempts");
    server.log_in(&other.email, PASSWORD).await.success(200);
    server.clock.advance(Duration::from_mins(1));
    server.log_in(&acme.email, PASSWORD).await.success(200);
    server.log_in("nobody@example.com", "x").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn one_address_is_limited_over_all_emails_and_a_trusted_proxy_says_which_it_is() {
    let server = behind_a_proxy(&[("LOGIN_ATTEMPTS_PER_MINUTE", "1")]).await;
    let guess = async |n: u32, address: &str| log_in_from(&server, address, &format!("a{n}@example.com"), "x").await;
    for n in 0..10 {
        // Values that the client itself put into the header, further left, are not trusted.
        guess(n, &format!("198.51.100.{n}, 192.0.2.1")).await.problem(401, "invalid_credentials");
    }
    guess(10, "192.0.2.1").await.problem(429, "too_many_attempts");
    guess(11, "192.0.2.2").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn of_ipv6_a_64_is_limited_as_one_address_and_a_48_over_all_of_them() {
    let server = behind_a_proxy(&[("LOGIN_ATTEMPTS_PER_MINUTE", "1")]).await;
    let guess = async |n: u32, address: &str| log_in_from(&server, address, &format!("a{n}@example.com"), "x").await;
    for n in 0..10 {
        guess(n, &format!("2001:db8:1:1::{n}")).await.problem(401, "invalid_credentials");
    }
    guess(10, "2001:db8:1:1:ffff::1").await.problem(429, "too_many_attempts");
    for n in 10..40 {
        guess(n, &format!("2001:db8:1:{n}::1")).await.problem(401, "invalid_credentials");
    }
    guess(40, "2001:db8:1:ffff::1").await.problem(429, "too_many_attempts");
    guess(40, "2001:db8:2::1").await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn strangers_everywhere_neither_lock_somebody_out_at_home_nor_guess_on() {
    let server = behind_a_proxy(&[("LOGIN_ATTEMPTS_PER_MINUTE", "2"), ("DELETE_GRACE_DAYS", "7")]).await;
    let victim = server.tenant("victim").await;
    log_in_from(&server, "192.0.2.1", &victim.email, PASSWORD).await.success(200);
    server.clock.advance(Duration::from_mins(1));
    let mut guesses = 0;
    for n in 0..60 {
        let answer = log_in_from(&server, &format!("198.51.100.{n}"), &victim.email, "a wrong guess").await;
        match answer.status {
            401 => guesses += 1,
            _ => drop(answer.problem(429, "too_many_attempts")),
        }
    }
    assert_eq!(guesses, 20, "ten times as many as from one place");
    log_in_from(&server, "192.0.2.1", &victim.email, PASSWORD).await.success(200);
    // Restoring an organization offers no extra guesses.
    let credentials = json!({ "email": victim.email, "password": PASSWORD });
    let restore = |address: &str| {
        server.call("POST", "/org/restore").header("x-forwarded-for", address).json(&credentials).send()
    };
    restore("203.0.113.1").await.problem(429, "too_many_attempts");
    server.clock.advance(Duration::from_mins(1));
    restore("192.0.2.1").await.problem(409, "not_deleted");
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

/// More logins at once than can wait, however many threads there are.
fn too_many() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores * 80).expect("not as many")
}

/// A server whose queue cannot drain while a test fills it.
async fn slow_server() -> Server {
    behind_a_proxy(&[("SALT_ROUNDS", "11"), ("REQUEST_TIMEOUT_SECONDS", "120")]).await
}

/// Logs in from all these addresses at once, and counts the refusals, all of this status and code.
async fn refused(server: &Server, addresses: impl Iterator<Item = String>, status: u16, code: &str) -> usize {
    let guesses = addresses.enumerate().map(|(n, address)| async move {
        let answer = log_in_from(server, &address, &format!("a{n}@example.com"), "x").await;
        let is_refused = answer.status == status;
        let _as_it_should =
            if is_refused { answer.problem(status, code) } else { answer.problem(401, "invalid_credentials") };
        is_refused
    });
    join_all(guesses).await.into_iter().filter(|is_refused| *is_refused).count()
}

#[tokio::test]
async fn one_network_has_its_share_of_the_hashing_and_the_others_go_on() {
    let server = slow_server().await;
    let flood = refused(&server, (0..too_many()).map(|_| "192.0.2.1".to_owned()), 429, "share_used_up");
    let others = async {
        for n in 2..6 {
            log_in_from(&server, &format!("192.0.2.{n}"), "b@example.com", "x")
                .await
                .problem(401, "invalid_credentials");
        }
        // Nor does it block creating an organization, or calls without a password.
        server.create("acme", "admin@acme.example", PASSWORD).await.success(201);
        server.get("/health/live").send().await.success(200);
    };
    let (flood, ()) = tokio::join!(flood, others);
    assert!(flood > 0);
}

#[tokio::test]
async fn more_logins_at_once_than_can_wait_are_told_to_come_again() {
    let server = slow_server().await;
    let everywhere = (0..too_many()).map(|n| format!("10.0.{}.{}", n / 250, n % 250));
    assert!(refused(&server, everywhere, 503, "password_queue_full").await > 0);
}
