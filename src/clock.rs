//! What time it is. Everything that issues, expires or stamps asks a [`Clock`], so that tests move the time
//! instead of waiting. Leases do not: they go by the database's clock.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// Tells the time, UTC.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Now, in whole milliseconds: the precision that MongoDB stores.
    fn now(&self) -> OffsetDateTime;

    /// The time since a fixed moment; unlike [`Clock::now`] it never goes back, so waiting times are taken from it.
    fn elapsed(&self) -> Duration;
}

/// A clock that is shared by everything in one server.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> OffsetDateTime {
        whole_milliseconds(OffsetDateTime::now_utc())
    }

    fn elapsed(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    start: OffsetDateTime,
    moved_by: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that stands at the machine's present time.
    #[must_use]
    pub fn at_present() -> Self {
        Self { start: SystemClock.now(), moved_by: Mutex::new(Duration::ZERO) }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        *self.moved_by.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        self.start + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.moved_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole_milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_millisecond(time.millisecond()).unwrap_or(time)
}
