//! The networks from which each email has recently logged in. There, strangers elsewhere cannot lock it out.
//!
//! Only a login with the right password adds an entry, so no stranger can make the server forget a network. An email without
//! one is merely less well protected; so a full table keeps its entries and takes no new ones. It lives in one server's
//! memory: after a restart everybody logs in once under the limits for strangers.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

/// How long a login is remembered.
const RECENTLY: Duration = Duration::from_hours(30 * 24);
/// Networks for each email. The one with the oldest login makes room for a new one.
const MAX_NETWORKS: usize = 8;
/// Emails in the table, at about a hundred bytes each. An organization has one.
const MAX_EMAILS: usize = 100_000;

/// The table. Keys are hashes.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    seen: Mutex<HashMap<u64, Vec<Seen>>>,
}

/// A network and its last login.
#[derive(Debug, Clone, Copy)]
struct Seen {
    network: u64,
    at: Duration,
}

impl Seen {
    fn is_recent(&self, now: Duration) -> bool {
        now < self.at + RECENTLY
    }
}

impl Familiar {
    /// Whether an email has recently logged in from a network.
    pub(super) fn knows(&self, email: u64, network: u64, now: Duration) -> bool {
        let seen = self.seen.lock();
        seen.get(&email).is_some_and(|seen| seen.iter().any(|seen| seen.network == network && seen.is_recent(now)))
    }

    /// Remembers a login.
    pub(super) fn remember(&self, email: u64, network: u64, now: Duration) {
        let mut all = self.seen.lock();
        if all.len() >= MAX_EMAILS && !all.contains_key(&email) {
            all.retain(|_, seen| seen.iter().any(|seen| seen.is_recent(now)));
            if all.len() >= MAX_EMAILS {
                return;
            }
        }
        let seen = all.entry(email).or_default();
        seen.retain(|seen| seen.network != network && seen.is_recent(now));
        // Sorted by login, the oldest first.
        if seen.len() >= MAX_NETWORKS {
            seen.remove(0);
        }
        seen.push(Seen { network, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_login_is_remembered_until_a_month_after_the_last_one() {
        let familiar = Familiar::default();
        familiar.remember(1, 10, START);
        assert!(familiar.knows(1, 10, START) && !familiar.knows(1, 11, START) && !familiar.knows(2, 10, START));
        familiar.remember(1, 10, START + RECENTLY / 2);
        assert!(familiar.knows(1, 10, START + RECENTLY));
        assert!(!familiar.knows(1, 10, START + RECENTLY / 2 + RECENTLY));
    }

    #[test]
    fn an_emails_latest_networks_are_remembered() {
        let familiar = Familiar::default();
        for network in 0..20 {
            familiar.remember(1, network, START);
            // Its usual network is the latest every time.
            familiar.remember(1, 0, START);
        }
        let known: Vec<u64> = (0..20).filter(|network| familiar.knows(1, *network, START)).collect();
        assert_eq!(known, [0, 13, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn a_full_table_keeps_its_emails_until_they_expire() {
        let familiar = Familiar::default();
        for email in 0..MAX_EMAILS as u64 + 10 {
            familiar.remember(email, 10, START);
        }
        assert_eq!(familiar.seen.lock().len(), MAX_EMAILS);
        assert!(familiar.knows(0, 10, START) && !familiar.knows(MAX_EMAILS as u64, 10, START));
        familiar.remember(0, 11, START);
        assert!(familiar.knows(0, 11, START), "a known email can change its network");
        familiar.remember(u64::MAX, 10, START + RECENTLY);
        assert_eq!(familiar.seen.lock().len(), 1);
    }
}
