//! The time. Whatever issues, expires or stamps asks a [`Clock`], so that tests move time instead of waiting. Leases use the
//! database's clock instead.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use time::OffsetDateTime;

/// Tells the time, UTC.
pub trait Clock: std::fmt::Debug + Send + Sync + 'static {
    /// Now, in whole milliseconds, as MongoDB stores it.
    fn now(&self) -> OffsetDateTime;

    /// The time since a fixed moment. Measure durations with it: unlike [`Clock::now`] it never goes back.
    fn elapsed(&self) -> Duration;
}

/// The clock that all parts of a server share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        now.replace_millisecond(now.millisecond()).unwrap_or(now)
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
    /// Starts at the machine's time.
    pub fn at_present() -> Self {
        Self { start: SystemClock.now(), moved_by: Mutex::new(Duration::ZERO) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.moved_by.lock() += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        self.start + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.moved_by.lock()
    }
}
