//! How often who may attempt what: all limits of that kind, in one table.
//!
//! A network is an IPv4 address, or the /64 of an IPv6 address; a site is an IPv4 address, or the /48 ([`Network`]).
//!
//! | attempt | counted for | a minute |
//! | --- | --- | --- |
//! | a login, a restoration | the email at this network | `LOGIN_ATTEMPTS_PER_MINUTE` |
//! | | the network, over emails that have not lately logged in there | 10 times as many |
//! | | the network, over emails that have | 10 times as many |
//! | | the site, over emails that have not lately logged in at this network | 40 times as many |
//! | | the email, over networks from which it has not lately logged in | 10 times as many |
//! | the present password in an update | the admin | `LOGIN_ATTEMPTS_PER_MINUTE` |
//! | a creation | the network | `CREATIONS_PER_MINUTE` |
//! | | the site | 4 times as many |
//! | a new email in an update, another name in one | the organization, for each | `CREATIONS_PER_MINUTE` |
//! | a name that no organization has | the network of whoever is not its admin | `UNKNOWN_NAMES_PER_MINUTE` |
//! | | the site | 4 times as many |
//! | | the organization whose token came along where one must | `UNKNOWN_NAMES_PER_MINUTE` |
//!
//! **Nobody locks out somebody else.** What strangers elsewhere can fill, the row of an email over all networks and that of a
//! site, does not count where the email has lately logged in (`familiar`); there, only whoever shares the network can use up
//! what the email has. Checks in an update are counted apart from logins, per admin: a stolen token is no way to try more
//! passwords than a login, and no way to keep the admin from logging in.
//!
//! **Hammering makes it no better.** Whatever a network is refused counts for it all the same, so that one which goes on is
//! let in only when it pauses. What it is refused counts for nobody else.
//!
//! Each row is bounded in memory (`meter` says what is forgotten then). The limits are each server's own.

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

/// How many times more logins a network has than one email there: many people share an address. Also how many times more
/// an email has over all networks that it does not know.
const MANY: u64 = 10;
/// How many times more a site has than one of its networks.
const SITE: u64 = 4;

/// How often a minute, as an operator decided.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// Logins of one email at one network.
    pub logins: NonZeroU32,
    /// Creations from one network, and new emails and names of one organization.
    pub creations: NonZeroU32,
    /// Names that no organization has, from one network.
    pub unknown_names: NonZeroU32,
}

/// Something was attempted more often than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts: {what:?}")]
pub struct TooMany {
    /// What was.
    pub what: Attempt,
    /// After what time there is room for the next one.
    pub retry_after: Duration,
}

/// What is attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// To log in, or to restore an organization.
    LogIn,
    /// To send the present password in an update.
    CheckPassword,
    /// To create an organization.
    Create,
    /// To take another email, or another name.
    Change,
    /// To find an organization by a name that none has.
    FindUnknown,
}

/// Who looks for an organization that is not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seeker {
    /// Anybody, from this network.
    Visitor(Network),
    /// An organization's admin.
    Organization(OrgId),
}

/// All limits: one for each row of the table above.
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
    /// Nobody has attempted anything yet.
    #[must_use]
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
                // For the strangers there: who hammers one email must not use up what the others have who are at home.
                let _full = self.login_by_network.count_anyway(network, now);
            });
            counted.and_then(|()| self.login_by_familiar_network.count(network, now))
        } else {
            // From the narrowest to the widest: what is refused on the way fills nothing that others need.
            (self.login_by_network.count_anyway(network, now))
                .and_then(|()| self.login_by_email_here.count(here, now))
                .and_then(|()| self.login_by_site.count(site, now))
                .and_then(|()| self.login_by_email.count(email, now))
        };
        refused(Attempt::LogIn, counted)
    }

    /// Remembers that an email has logged in from there.
    pub fn logged_in(&self, email: &Email, from: Network) {
        self.familiar.remember(self.key(email.as_str()), self.key(from), self.clock.elapsed());
    }

    /// Counts a comparison with the password of an admin who has shown a token.
    pub fn check_password(&self, admin: AdminId) -> Result<(), TooMany> {
        refused(Attempt::CheckPassword, self.password_by_admin.count(self.key(admin), self.clock.elapsed()))
    }

    /// Counts an attempt to create an organization.
    pub fn create(&self, from: Network) -> Result<(), TooMany> {
        let now = self.clock.elapsed();
        let counted = self.creation_by_network.count_anyway(self.key(from), now);
        refused(Attempt::Create, counted.and_then(|()| self.creation_by_site.count(self.key(from.site()), now)))
    }

    /// Counts an attempt of an organization to give its admin another email: whether it is taken tells whether somebody has it.
    pub fn change_email(&self, org: OrgId) -> Result<(), TooMany> {
        refused(Attempt::Change, self.email_by_organization.count(self.key(org), self.clock.elapsed()))
    }

    /// Counts an attempt of an organization to get another name, likewise.
    pub fn change_name(&self, org: OrgId) -> Result<(), TooMany> {
        refused(Attempt::Change, self.name_by_organization.count(self.key(org), self.clock.elapsed()))
    }

    /// Whether somebody may look for an organization that is not its own. Who asked for too many that do not exist is not
    /// told of those either that do: the difference would be the answer.
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

    /// Counts that somebody was told that no organization has a name.
    pub fn found_nothing(&self, seeker: Seeker) {
        let now = self.clock.elapsed();
        // Those who asked at the same moment may fill it together.
        let _full = self.unknown_name_by_seeker.count_anyway(self.key(seeker), now);
        if let Seeker::Visitor(network) = seeker {
            let _full = self.unknown_name_by_site.count_anyway(self.key(network.site()), now);
        }
    }

    /// A key that says nothing of what it is the key of.
    fn key(&self, of: impl Hash) -> u64 {
        self.hash.hash_one(of)
    }
}

/// The one error, counted for those who watch the server.
fn refused(what: Attempt, counted: Result<(), Duration>) -> Result<(), TooMany> {
    counted.map_err(|retry_after| {
        counter!("attempts_refused_total", "attempt" => what.name()).increment(1);
        TooMany { what, retry_after }
    })
}

impl Attempt {
    /// Its name in the metrics.
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
