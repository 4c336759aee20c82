//! Rate limits, all in one table.
//!
//! A network is an IPv4 address or an IPv6 /64; a site is an IPv4 address or an IPv6 /48 ([`Network`]).
//!
//! | attempt | counted for | per minute |
//! | --- | --- | --- |
//! | a login, a restoration | the email at this network | `LOGIN_ATTEMPTS_PER_MINUTE` |
//! | | the network, all emails that have not recently logged in there | 10 times as many |
//! | | the network, all emails that have | 10 times as many |
//! | | the site, all emails that have not recently logged in at this network | 40 times as many |
//! | | the email, all networks from which it has not recently logged in | 10 times as many |
//! | the current password in an update | the admin | `LOGIN_ATTEMPTS_PER_MINUTE` |
//! | a creation | the network | `CREATIONS_PER_MINUTE` |
//! | | the site | 4 times as many |
//! | a new email or a new name in an update | the organization, each counted on its own | `CREATIONS_PER_MINUTE` |
//! | a name that no organization has | the network, without a token | `UNKNOWN_NAMES_PER_MINUTE` |
//! | | the site | 4 times as many |
//! | | the organization, where a token is required | `UNKNOWN_NAMES_PER_MINUTE` |
//!
//! **Nobody locks out anyone else.** Strangers elsewhere can exhaust the rows of an email over all networks and of a site, so
//! neither applies where the email has recently logged in (`familiar`). There, only clients of the same network can use up an
//! email's attempts. Password checks in updates are counted separately, per admin: a stolen token allows no more guesses than
//! a login does, and cannot keep the admin from logging in.
//!
//! **Hammering does not help.** A network's refused attempts count against it, so it gets in only after a pause. They count
//! against nobody else.
//!
//! Each row's memory is bounded (`meter` says what is forgotten). Each server counts for itself.

mod familiar;
mod meter;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use metrics::counter;

use crate::clock::SharedClock;
use crate::domain::{AdminId, Email, Network, OrgId};

use familiar::Familiar;
use meter::Meter;

/// A network gets this many times the logins of one email there, because many people share an address. So does an email over
/// all networks it has not used.
const MANY: u64 = 10;
/// A site gets this many times as much as one of its networks.
const SITE: u64 = 4;

/// Attempts per minute, from the settings.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Logins of one email at one network.
    pub logins: NonZeroU32,
    /// Creations from one network, and new emails and names of one organization.
    pub creations: NonZeroU32,
    /// Names that no organization has, from one network.
    pub unknown_names: NonZeroU32,
}

/// The limit of an attempt was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: {what:?}")]
pub struct TooMany {
    /// Which one.
    pub what: Attempt,
    /// How long to wait for the next one.
    pub retry_after: Duration,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Logging in, or restoring an organization.
    LogIn,
    /// Sending the current password in an update.
    CheckPassword,
    /// Creating an organization.
    Create,
    /// Taking another email or name.
    Change,
    /// Looking up a name that no organization has.
    FindUnknown,
}

/// Who looks up an organization other than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seeker {
    /// Anyone in this network.
    Visitor(Network),
    /// An organization's admin.
    Organization(OrgId),
}

/// All limits: a meter for each row of the table above.
#[derive(Debug)]
pub struct Attempts {
    login_by_email_here: Meter,
    login_by_network: Meter,
    login_by_familiar_network: Meter,
    login_by_site: Meter,
    login_by_email: Meter,
    password_by_admin: Meter,
    creation_by_network: Meter,
    creation_by_site: Meter,
    email_by_organization: Meter,
    name_by_organization: Meter,
    unknown_name_by_seeker: Meter,
    unknown_name_by_site: Meter,
    familiar: Familiar,
    clock: SharedClock,
    hash: RandomState,
}

impl Attempts {
    /// Starts with nothing counted.
    pub fn new(rates: Rates, clock: SharedClock) -> Self {
        let meter = |rate: NonZeroU32, times: u64| Meter::per_minute(u64::from(rate.get()) * times);
        Self {
            login_by_email_here: meter(rates.logins, 1),
            login_by_network: meter(rates.logins, MANY),
            login_by_familiar_network: meter(rates.logins, MANY),
            login_by_site: meter(rates.logins, MANY * SITE),
            login_by_email: meter(rates.logins, MANY),
            password_by_admin: meter(rates.logins, 1),
            creation_by_network: meter(rates.creations, 1),
            creation_by_site: meter(rates.creations, SITE),
            email_by_organization: meter(rates.creations, 1),
            name_by_organization: meter(rates.creations, 1),
            unknown_name_by_seeker: meter(rates.unknown_names, 1),
            unknown_name_by_site: meter(rates.unknown_names, SITE),
            familiar: Familiar::default(),
            clock,
            hash: RandomState::new(),
        }
    }

    /// Counts an attempt to log in.
    pub fn log_in(&self, email: &Email, from: Network) -> Result<(), TooMany> {
        let (now, network, site) = (self.clock.elapsed(), self.key(from), self.key(from.site()));
        let email = self.key(email.as_str());
        let here = self.key((email, network));
        let counted = if self.familiar.knows(email, network, now) {
            let counted = self.login_by_email_here.count(here, now).inspect_err(|_| {
                // Charged to the strangers' budget: hammering one email must not use up that of the others known here.
                let _full = self.login_by_network.count_anyway(network, now);
            });
            counted.and_then(|()| self.login_by_familiar_network.count(network, now))
        } else {
            // From the narrowest to the widest, so that a refusal uses up nothing that others need.
            (self.login_by_network.count_anyway(network, now))
                .and_then(|()| self.login_by_email_here.count(here, now))
                .and_then(|()| self.login_by_site.count(site, now))
                .and_then(|()| self.login_by_email.count(email, now))
        };
        refused(Attempt::LogIn, counted)
    }

    /// Remembers that an email has logged in from a network.
    pub fn logged_in(&self, email: &Email, from: Network) {
        self.familiar.remember(self.key(email.as_str()), self.key(from), self.clock.elapsed());
    }

    /// Counts a check of the password of an admin who has a token.
    pub fn check_password(&self, admin: AdminId) -> Result<(), TooMany> {
        refused(Attempt::CheckPassword, self.password_by_admin.count(self.key(admin), self.clock.elapsed()))
    }

    /// Counts an attempt to create an organization.
    pub fn create(&self, from: Network) -> Result<(), TooMany> {
        let now = self.clock.elapsed();
        let counted = self.creation_by_network.count_anyway(self.key(from), now);
        refused(Attempt::Create, counted.and_then(|()| self.creation_by_site.count(self.key(from.site()), now)))
    }

    /// Counts a change of an admin's email: the answer shows whether somebody has that email.
    pub fn change_email(&self, org: OrgId) -> Result<(), TooMany> {
        refused(Attempt::Change, self.email_by_organization.count(self.key(org), self.clock.elapsed()))
    }

    /// Counts a change of an organization's name, for the same reason.
    pub fn change_name(&self, org: OrgId) -> Result<(), TooMany> {
        refused(Attempt::Change, self.name_by_organization.count(self.key(org), self.clock.elapsed()))
    }

    /// Whether a seeker may look up another organization. After too many unknown names, existing ones are refused too: the
    /// difference would give them away.
    pub fn may_seek(&self, seeker: Seeker) -> Result<(), TooMany> {
        let now = self.clock.elapsed();
        let by_seeker = self.unknown_name_by_seeker.look(self.key(seeker), now);
        refused(
            Attempt::FindUnknown,
            by_seeker.and_then(|()| match seeker {
                Seeker::Visitor(network) => self.unknown_name_by_site.look(self.key(network.site()), now),
                Seeker::Organization(_) => Ok(()),
            }),
        )
    }

    /// Counts a lookup of a name that no organization has.
    pub fn found_nothing(&self, seeker: Seeker) {
        let now = self.clock.elapsed();
        // Concurrent lookups may overfill it.
        let _full = self.unknown_name_by_seeker.count_anyway(self.key(seeker), now);
        if let Seeker::Visitor(network) = seeker {
            let _full = self.unknown_name_by_site.count_anyway(self.key(network.site()), now);
        }
    }

    /// A key that does not reveal what it stands for.
    fn key(&self, of: impl Hash) -> u64 {
        self.hash.hash_one(of)
    }
}

/// Makes the error, and counts it for the metrics.
fn refused(what: Attempt, counted: Result<(), Duration>) -> Result<(), TooMany> {
    counted.map_err(|retry_after| {
        counter!("attempts_refused_total", "attempt" => what.name()).increment(1);
        TooMany { what, retry_after }
    })
}

impl Attempt {
    /// The name in the metrics.
    fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::CheckPassword => "check_password",
            Self::Create => "create",
            Self::Change => "change",
            Self::FindUnknown => "find_unknown",
        }
    }
}
