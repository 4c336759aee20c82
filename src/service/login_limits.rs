//! How often somebody may try to log in: per email, and more loosely per address.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::SharedClock;
use crate::domain::Email;

/// How many times more attempts one address has than one email: many people share an address, and somebody who
/// hammers one email must not lock the others out.
const ADDRESS_FACTOR: u32 = 10;

/// After how many attempts the keys that have recovered are forgotten.
const SWEEP_EVERY: u32 = 1_000;

/// Our clock, as the library asks it.
#[derive(Debug, Clone)]
struct LimiterClock(SharedClock);

impl governor::clock::Clock for LimiterClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

type Limiter = RateLimiter<u64, DashMapStateStore<u64>, LimiterClock, NoOpMiddleware<Duration>>;

/// The two limits. A key is the hash of an email or of an address, so that no email stays in memory.
pub struct LoginLimits {
    by_email: Limiter,
    by_address: Limiter,
    /// Until when an address that its limit refused is refused without another look.
    blocked_until: DashMap<u64, Duration>,
    clock: SharedClock,
    hash: RandomState,
    attempts: AtomicU32,
}

impl std::fmt::Debug for LoginLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginLimits")
    }
}

impl LoginLimits {
    /// Allows this many attempts a minute for one email, and ten times as many for one address.
    #[must_use]
    pub fn new(attempts_per_minute: NonZeroU32, clock: SharedClock) -> Self {
        let factor = NonZeroU32::new(ADDRESS_FACTOR).unwrap_or(NonZeroU32::MIN);
        let limiter = |quota| RateLimiter::dashmap_with_clock(Quota::per_minute(quota), LimiterClock(clock.clone()));
        Self {
            by_email: limiter(attempts_per_minute),
            by_address: limiter(attempts_per_minute.saturating_mul(factor)),
            blocked_until: DashMap::new(),
            hash: RandomState::new(),
            attempts: AtomicU32::new(0),
            clock,
        }
    }

    /// Counts one attempt, so that neither limit can be turned against others: an attempt that its email's limit
    /// refuses does not count against the address (whoever hammers one email blocks no other from there), and one from
    /// an address that is blocked does not count against the email (a blocked address can lock nobody out).
    ///
    /// # Errors
    /// There were too many; the value says after what time the next one is allowed.
    pub fn count(&self, email: &Email, address: IpAddr) -> Result<(), Duration> {
        if self.attempts.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.by_email.retain_recent();
            self.by_address.retain_recent();
            self.blocked_until.retain(|_, until| self.clock.elapsed() < *until);
        }
        let now = self.clock.elapsed();
        let address = self.hash.hash_one(network_of(address));
        let blocked_for = self.blocked_until.get(&address).map(|until| until.saturating_sub(now));
        if let Some(wait) = blocked_for.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        let email = self.hash.hash_one(email.as_str());
        self.by_email.check_key(&email).map_err(|until| until.wait_time_from(now))?;
        self.by_address.check_key(&address).map_err(|until| {
            let wait = until.wait_time_from(now);
            self.blocked_until.insert(address, now + wait);
            wait
        })
    }
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 subscriber has.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    fn limits(attempts_per_minute: u32) -> (LoginLimits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at_present());
        (LoginLimits::new(NonZeroU32::new(attempts_per_minute).expect("positive"), clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_email_is_limited_until_it_has_waited_and_another_is_not() {
        let (limits, clock) = limits(3);
        let (one, other) = (Email::from_stored("a@example.com"), Email::from_stored("b@example.com"));
        let here = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(limits.count(&one, here), Ok(()));
        }
        assert_eq!(limits.count(&one, here), Err(Duration::from_secs(20)));
        assert_eq!(limits.count(&other, here), Ok(()));
        clock.advance(Duration::from_secs(20));
        assert_eq!(limits.count(&one, here), Ok(()));
        assert!(limits.count(&one, here).is_err());
    }

    #[test]
    fn one_address_is_limited_over_all_emails() {
        let (limits, _clock) = limits(1);
        let try_from = |n: u32, at: &str| limits.count(&Email::from_stored(&format!("{n}@example.com")), address(at));
        for n in 0..10 {
            assert!(try_from(n, "2001:db8::1").is_ok());
        }
        assert!(try_from(10, "2001:db8::2").is_err(), "the same /64");
        assert!(try_from(11, "2001:db8:0:1::2").is_ok(), "another /64");
    }

    #[test]
    fn an_address_that_is_blocked_locks_nobody_out() {
        let (limits, clock) = limits(2);
        let (here, elsewhere) = (address("192.0.2.1"), address("192.0.2.2"));
        for n in 0..=20 {
            let _last_refused = limits.count(&Email::from_stored(&format!("{n}@example.com")), here);
        }
        let victim = Email::from_stored("victim@example.com");
        for _ in 0..10 {
            assert!(limits.count(&victim, here).is_err());
        }
        assert_eq!(limits.count(&victim, elsewhere), Ok(()));
        clock.advance(Duration::from_mins(1));
        assert_eq!(limits.count(&victim, here), Ok(()), "it is not blocked for ever");
    }

    #[test]
    fn attempts_that_an_emails_limit_refused_do_not_count_against_the_address() {
        let (limits, _clock) = limits(1);
        let here = address("192.0.2.1");
        for _ in 0..100 {
            let _refused_but_once = limits.count(&Email::from_stored("a@example.com"), here);
        }
        assert_eq!(limits.count(&Email::from_stored("b@example.com"), here), Ok(()));
    }
}
