//! Each row of the table, and attacks on them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;

const MINUTE: Duration = Duration::from_mins(1);

/// Limits of `logins`, twice as many creations and three times as many unknown names per minute.
fn attempts(logins: u32) -> (Attempts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_present());
    let rate = |times: u32| NonZeroU32::new(logins * times).expect("positive");
    let rates = Rates { logins: rate(1), creations: rate(2), unknown_names: rate(3) };
    (Attempts::new(rates, clock.clone()), clock)
}

fn at(address: &str) -> Network {
    Network::of(address.parse().expect("an address"))
}

/// One of many IPv4 addresses.
fn elsewhere(number: u32) -> Network {
    Network::of(Ipv4Addr::from_bits(0x0a00_0000 + number).into())
}

/// A /64 in one of a provider's sites (/48).
fn subscriber(site: u32, network: u32) -> Network {
    let provider = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).to_bits();
    Network::of(Ipv6Addr::from_bits(provider + (u128::from(site) << 80) + (u128::from(network) << 64)).into())
}

fn email(name: impl std::fmt::Display) -> Email {
    Email::from_stored(&format!("{name}@example.com"))
}

/// How many of `number` attempts are allowed.
fn allowed<T>(number: u32, attempt: impl FnMut(u32) -> Result<(), T>) -> usize {
    (0..number).flat_map(attempt).count()
}

#[test]
fn an_email_at_a_network_is_limited_until_it_waits_and_another_email_is_not() {
    let (attempts, clock) = attempts(3);
    let here = at("192.0.2.1");
    assert_eq!(allowed(3, |_| attempts.log_in(&email("a"), here)), 3);
    let refused = TooMany { what: Attempt::LogIn, retry_after: Duration::from_secs(20) };
    assert_eq!(attempts.log_in(&email("a"), here), Err(refused));
    assert_eq!(attempts.log_in(&email("b"), here), Ok(()));
    assert_eq!(attempts.log_in(&email("a"), at("192.0.2.2")), Ok(()));
    clock.advance(Duration::from_secs(20));
    assert_eq!(attempts.log_in(&email("a"), here), Ok(()));
    assert!(attempts.log_in(&email("a"), here).is_err());
}

#[test]
fn a_network_is_limited_over_all_emails_and_is_a_64_of_ipv6() {
    let (attempts, _clock) = attempts(1);
    assert_eq!(allowed(20, |n| attempts.log_in(&email(n), at("2001:db8:1:1::1"))), 10);
    assert!(attempts.log_in(&email("a"), at("2001:db8:1:1:ffff::2")).is_err(), "the same /64");
    assert!(attempts.log_in(&email("a"), at("2001:db8:1:2::1")).is_ok(), "another /64");
    assert_eq!(allowed(20, |n| attempts.log_in(&email(n), at("192.0.2.1"))), 10);
}

#[test]
fn a_site_is_limited_over_all_its_networks() {
    let (attempts, _clock) = attempts(1);
    assert_eq!(allowed(1_000, |n| attempts.log_in(&email(n), subscriber(1, n % 500))), 40);
    assert_eq!(attempts.log_in(&email("a"), subscriber(2, 0)), Ok(()), "another /48");
}

#[test]
fn refused_attempts_count_for_their_network() {
    let (attempts, clock) = attempts(1);
    let here = at("192.0.2.1");
    // One is allowed, and the email's limit refuses nine.
    assert_eq!(allowed(10, |_| attempts.log_in(&email("a"), here)), 1);
    assert!(attempts.log_in(&email("b"), here).is_err());
    // Hammering does not help.
    for _ in 0..100 {
        clock.advance(Duration::from_secs(5));
        assert!(attempts.log_in(&email("c"), here).is_err());
    }
    let wait = attempts.log_in(&email("c"), here).expect_err("refused").retry_after;
    clock.advance(wait);
    assert_eq!(attempts.log_in(&email("c"), here), Ok(()), "let in after waiting as told");
}

#[test]
fn nobody_is_locked_out_of_its_usual_network_by_one_attacker_or_a_thousand() {
    for networks in [1, 1_000] {
        let (attempts, clock) = attempts(10);
        let (victim, home) = (email("victim"), subscriber(1, 7));
        assert_eq!(attempts.log_in(&victim, home), Ok(()));
        attempts.logged_in(&victim, home);
        for _ in 0..5 {
            clock.advance(MINUTE);
            for n in 0..networks * 20 {
                // Strangers far away, and in every network of the victim's site.
                let _refused = attempts.log_in(&victim, elsewhere(n % networks));
                let _refused = attempts.log_in(&victim, subscriber(1, 100 + n % networks));
            }
            assert_eq!(attempts.log_in(&victim, home), Ok(()), "{networks}");
        }
    }
}

#[test]
fn strangers_in_a_network_do_not_lock_out_those_known_there() {
    let (attempts, _clock) = attempts(10);
    let office = at("192.0.2.1");
    attempts.logged_in(&email("a"), office);
    attempts.logged_in(&email("b"), office);
    // A stranger there tries many emails, and one of the known ones over and over.
    for n in 0..1_000 {
        let _refused = attempts.log_in(&email(n), office);
        let _refused = attempts.log_in(&email("a"), office);
    }
    assert!(attempts.log_in(&email("c"), office).is_err());
    assert_eq!(attempts.log_in(&email("b"), office), Ok(()));
}

#[test]
fn guesses_from_many_networks_are_bounded() {
    let (attempts, clock) = attempts(10);
    let victim = email("victim");
    attempts.logged_in(&victim, at("192.0.2.1"));
    let mut guesses = 0;
    for _ in 0..10 {
        guesses += allowed(20_000, |n| attempts.log_in(&victim, elsewhere(n)));
        clock.advance(MINUTE);
    }
    assert_eq!(guesses, 10 * 100);
}

#[test]
fn a_flood_of_networks_makes_the_server_forget_nobody() {
    let (attempts, _clock) = attempts(10);
    let (victim, home) = (email("victim"), at("192.0.2.1"));
    attempts.logged_in(&victim, home);
    assert_eq!(allowed(20, |_| attempts.log_in(&email("guessed"), at("192.0.2.2"))), 10);
    for n in 0..120_000 {
        let _mostly_allowed = attempts.log_in(&email(n), elsewhere(n));
    }
    assert_eq!(allowed(200, |n| attempts.log_in(&victim, elsewhere(n))), 100);
    assert_eq!(attempts.log_in(&victim, home), Ok(()), "its network is still remembered");
    assert!(attempts.log_in(&email("guessed"), at("192.0.2.2")).is_err(), "a full bucket is still full");
}

#[test]
fn checks_in_updates_are_limited_per_admin_and_lock_nobody_out() {
    let (attempts, clock) = attempts(3);
    let (admin, other) = (AdminId::generate(), AdminId::generate());
    assert_eq!(allowed(10, |_| attempts.check_password(admin)), 3);
    assert_eq!(attempts.check_password(admin).map_err(|refused| refused.what), Err(Attempt::CheckPassword));
    assert_eq!(attempts.check_password(other), Ok(()));
    assert_eq!(attempts.log_in(&email("a"), at("192.0.2.1")), Ok(()));
    clock.advance(MINUTE);
    assert_eq!(attempts.check_password(admin), Ok(()));
}

#[test]
fn creations_are_limited_per_network_and_site() {
    let (attempts, clock) = attempts(10);
    assert_eq!(allowed(50, |_| attempts.create(at("192.0.2.1"))), 20);
    assert_eq!(attempts.create(at("192.0.2.2")), Ok(()));
    assert_eq!(allowed(500, |n| attempts.create(subscriber(1, n))), 80);
    assert_eq!(attempts.create(subscriber(2, 0)), Ok(()));
    assert!(attempts.create(subscriber(1, 0)).is_err());
    clock.advance(MINUTE);
    assert_eq!(attempts.create(subscriber(1, 0)), Ok(()));
}

#[test]
fn new_emails_are_limited_per_organization() {
    let (attempts, _clock) = attempts(10);
    let (org, other) = (OrgId::generate(), OrgId::generate());
    assert_eq!(allowed(50, |_| attempts.change_email(org)), 20);
    assert_eq!(attempts.change_email(other), Ok(()));
}

#[test]
fn unknown_names_are_limited_for_each_seeker_and_known_ones_are_free() {
    let (attempts, clock) = attempts(10);
    let here = Seeker::Visitor(at("192.0.2.1"));
    let miss = |seeker| attempts.may_seek(seeker).map(|()| attempts.found_nothing(seeker));
    assert_eq!(allowed(1_000, |_| attempts.may_seek(here)), 1_000, "found, all of them");
    assert_eq!(allowed(50, |_| miss(here)), 30);
    assert_eq!(attempts.may_seek(here).map_err(|refused| refused.what), Err(Attempt::FindUnknown));
    assert_eq!(attempts.may_seek(Seeker::Visitor(at("192.0.2.2"))), Ok(()));
    assert_eq!(allowed(500, |n| miss(Seeker::Visitor(subscriber(1, n)))), 120);
    let (org, other) = (OrgId::generate(), OrgId::generate());
    assert_eq!(allowed(50, |_| miss(Seeker::Organization(org))), 30);
    assert_eq!(attempts.may_seek(Seeker::Organization(other)), Ok(()));
    clock.advance(MINUTE);
    assert_eq!(attempts.may_seek(here), Ok(()));
}
