//! How long servers wait for each other: passed to the repositories and services when they are created. All servers of
//! a database must agree on it, so it is not a setting; only tests shorten it.

use std::time::Duration;

/// How long servers wait for each other.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// How long a server may work on a change without renewing its lease. Longer than any single command of a change
    /// can live: [`Self::catalog_command`] and the time-out of the write concern.
    pub lease: Duration,
    /// How long a command that changes the catalog may run inside MongoDB. Well below the lease, so that it cannot
    /// outlive its sender's lease.
    pub catalog_command: Duration,
    /// How long a name stays reserved after a change released it, if another server resumed the change or one of its
    /// commands was never answered. Longer than a server can plausibly stall between renewing its lease and sending a
    /// command, plus the longest life of that command: a later one could move the collection of the name's next owner.
    pub cooling: Duration,
    /// How often servers look for abandoned changes and for deletions whose time is over.
    pub reconcile_every: Duration,
    /// How often servers look for leftovers, which means reading every admin and every collection.
    pub scrub_every: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            catalog_command: Duration::from_secs(3),
            cooling: Duration::from_mins(1),
            reconcile_every: Duration::from_secs(5),
            scrub_every: Duration::from_hours(1),
        }
    }
}
