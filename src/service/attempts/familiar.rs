//! From where each email has lately logged in: there it is not locked out by what strangers try elsewhere.
//!
//! Only whoever knew the password gets anything in here, so no stranger makes the server forget a network. What is not there
//! is only less well protected; so when it is full, what is there stays, and what is new is left out. It is each server's
//! own, and gone when that ends: everybody logs in once more, under the limits for strangers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For how long a login is remembered.
const LATELY: Duration = Duration::from_hours(30 * 24);
/// How many networks are remembered of one email; then the one goes where it logged in the longest ago.
const MAX_NETWORKS: usize = 8;
/// Of how many emails, at about a hundred bytes each. An organization has one.
const MAX_EMAILS: usize = 100_000;

/// From where each email has lately logged in. Keys are hashes.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    seen: Mutex<HashMap<u64, Vec<Seen>>>,
}

/// A network, and when the last login from there was.
#[derive(Debug, Clone, Copy)]
struct Seen {
    network: u64,
    at: Duration,
}

impl Seen {
    fn is_lately(&self, now: Duration) -> bool {
        now < self.at + LATELY
    }
}

impl Familiar {
    /// Whether an email has lately logged in from a network.
    pub(super) fn knows(&self, email: u64, network: u64, now: Duration) -> bool {
        let seen = self.lock();
        seen.get(&email).is_some_and(|seen| seen.iter().any(|seen| seen.network == network && seen.is_lately(now)))
    }

    /// Remembers a login.
    pub(super) fn remember(&self, email: u64, network: u64, now: Duration) {
        let mut all = self.lock();
        if all.len() >= MAX_EMAILS && !all.contains_key(&email) {
            all.retain(|_, seen| seen.iter().any(|seen| seen.is_lately(now)));
            if all.len() >= MAX_EMAILS {
                return;
            }
        }
        let seen = all.entry(email).or_default();
        seen.retain(|seen| seen.network != network && seen.is_lately(now));
        // The latest is the last.
        if seen.len() >= MAX_NETWORKS {
            seen.remove(0);
        }
        seen.push(Seen { network, at: now });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Vec<Seen>>> {
        // Nothing that is done while it is locked can panic in the middle.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_login_is_remembered_for_so_long_after_the_last_one() {
        let familiar = Familiar::default();
        familiar.remember(1, 10, START);
        assert!(familiar.knows(1, 10, START) && !familiar.knows(1, 11, START) && !familiar.knows(2, 10, START));
        familiar.remember(1, 10, START + LATELY / 2);
        assert!(familiar.knows(1, 10, START + LATELY));
        assert!(!familiar.knows(1, 10, START + LATELY / 2 + LATELY));
    }

    #[test]
    fn of_one_email_the_latest_networks_are_remembered() {
        let familiar = Familiar::default();
        for network in 0..20 {
            familiar.remember(1, network, START);
            // Where it is always is the latest again and again.
            familiar.remember(1, 0, START);
        }
        let known: Vec<u64> = (0..20).filter(|network| familiar.knows(1, *network, START)).collect();
        assert_eq!(known, [0, 13, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn however_many_come_those_that_are_known_stay_known_until_their_time_is_over() {
        let familiar = Familiar::default();
        for email in 0..MAX_EMAILS as u64 + 10 {
            familiar.remember(email, 10, START);
        }
        assert_eq!(familiar.lock().len(), MAX_EMAILS);
        assert!(familiar.knows(0, 10, START) && !familiar.knows(MAX_EMAILS as u64, 10, START));
        familiar.remember(0, 11, START);
        assert!(familiar.knows(0, 11, START), "one that is there already moves on");
        familiar.remember(u64::MAX, 10, START + LATELY);
        assert_eq!(familiar.lock().len(), 1);
    }
}
