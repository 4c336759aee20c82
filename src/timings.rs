//! How long servers wait for each other: one value, given when the repositories and services are made. It is the same on all
//! servers of a database, so no setting of theirs; only tests make it shorter.

use std::time::Duration;

/// How long servers wait for each other.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// How long a server may work on a change without renewing its right to it. Longer than any single command of a change
    /// can live: [`Self::catalog_command`] and the time-out of the write concern.
    pub lease: Duration,
    /// How long a command that changes the catalog may run inside MongoDB. Well below the lease, so that it cannot outlive
    /// its sender's right to send it.
    pub catalog_command: Duration,
    /// How long a name stays reserved that a change gave up which another server resumed, or a command of which was never answered.
    /// Longer than a server can be thought to stall between renewing its lease and sending a command, plus the longest that
    /// such a command can live: one that arrives later could move the collection of a name that was taken again.
    pub cooling: Duration,
    /// How often abandoned changes, and deletions whose time is over, are looked for.
    pub reconcile_every: Duration,
    /// How often leftovers are looked for: it takes a look at every admin and every collection.
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
