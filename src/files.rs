//! Divides the process's open files between clients and MongoDB. Each connection takes one, and if clients could take them
//! all, not even a health check would be answered.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{error, warn};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;

/// Connections for master data: this many concurrent short commands keep any MongoDB busy.
const MASTER_CONNECTIONS: u32 = 100;
/// Connections for index builds, which count neither as queries nor as streams.
const BUILD_CONNECTIONS: usize = 8;
/// Everything else: standard streams, the listener, the runtime, MongoDB's monitors (a few for each member), libraries.
const OTHER_FILES: usize = 32;
/// The least time between two log lines about connections that cannot be accepted.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    /// With clients.
    pub(crate) clients: usize,
    /// With each member of MongoDB, for master data.
    pub(crate) master: u32,
    /// With each member of MongoDB, for tenants' data.
    pub(crate) tenants: u32,
    /// Whether tenants' data gets fewer than the settings ask for.
    is_reduced: bool,
}

impl Files {
    /// What the settings ask for, cut to the limit of open files, which is first raised as far as the process may.
    pub(crate) fn of(config: &Config) -> Self {
        let tenants = config.max_running_queries + config.max_running_streams + BUILD_CONNECTIONS;
        let wanted = Self {
            clients: config.max_connections,
            master: MASTER_CONNECTIONS,
            tenants: u32::try_from(tenants).unwrap_or(u32::MAX),
            is_reduced: false,
        };
        let Some(limit) = raised_limit() else { return wanted };
        let fitting = wanted.within(limit);
        if fitting != wanted {
            let Self { clients, master, tenants, .. } = fitting;
            warn!(
                limit,
                clients,
                mongodb = master + tenants,
                "the process may open too few files (ulimit -n) for MAX_CONNECTIONS and MongoDB; there will be fewer connections"
            );
        }
        fitting
    }

    /// How many of `wanted` queries, or streams, can run without waiting for a connection.
    pub(crate) fn fitting(self, wanted: usize) -> usize {
        let half = usize::try_from(self.tenants / 2).unwrap_or(usize::MAX);
        if self.is_reduced { wanted.min(half) } else { wanted }
    }

    /// Cuts the numbers to a limit of open files. When it is too low, clients get half, and master data a third of the rest.
    fn within(self, limit: usize) -> Self {
        let Self { clients, master, tenants, .. } = self;
        let room = limit.saturating_sub(OTHER_FILES).max(12);
        let mongodb = usize::try_from(master.saturating_add(tenants)).unwrap_or(usize::MAX);
        let clients = clients.min(room.saturating_sub(mongodb).max(room / 2));
        let left = u32::try_from(room - clients).unwrap_or(u32::MAX);
        let master = master.min((left / 3).max(left.saturating_sub(tenants)));
        let fitting = tenants.min(left - master);
        Self { clients, master, tenants: fitting, is_reduced: fitting < tenants }
    }
}

/// Raises the limit of open files as far as the process may. `None` when there is no limit.
fn raised_limit() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.and_then(|limit| usize::try_from(limit).ok())
}

/// Logs that connections cannot be accepted, if the cause is this machine and not a client.
pub(crate) fn note_accept_error(error: &io::Error) {
    static LOGGED: AtomicU64 = AtomicU64::new(u64::MAX);
    let of_machine = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if !error.raw_os_error().is_some_and(|code| of_machine.iter().any(|errno| errno.raw_os_error() == code)) {
        return;
    }
    let now = SystemClock.elapsed().as_secs();
    let logged = LOGGED.load(Ordering::Relaxed);
    if (logged == u64::MAX || now.saturating_sub(logged) >= LOG_EVERY.as_secs())
        && LOGGED.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    {
        error!(%error, "no connection can be accepted: raise the limit of open files (ulimit -n), or lower MAX_CONNECTIONS");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_divided_and_never_used_up() {
        let wanted = Files { clients: 4_096, master: 100, tenants: 136, is_reduced: false };
        assert_eq!(wanted.within(65_536), wanted);
        assert_eq!(wanted.within(1_024), Files { clients: 756, ..wanted });
        for limit in [0, 64, 100, 256, 512, 1_024, 4_096, 5_000] {
            let Files { clients, master, tenants, .. } = wanted.within(limit);
            assert!(clients >= 2 && master >= 1 && tenants >= 2, "{limit}: {clients} {master} {tenants}");
            let all = clients + usize::try_from(master + tenants).expect("few") + OTHER_FILES;
            assert!(all <= limit.max(OTHER_FILES + 12), "{limit}: {all}");
        }
    }
}
