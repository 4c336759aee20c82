//! Fault injection for `make chaos`: the server dies or stops at a given point, shortens its leases, or disables one of
//! its protections to show that the checks notice.
//!
//! Only the feature `chaos` compiles it in. Without it, every function here does nothing, no variable is read, and the
//! timings are the default.

#[cfg(feature = "chaos")]
mod faults {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use mongodb::event::command::CommandEvent;
    use parking_lot::Mutex;
    use rustix::process::{Signal, getpid, kill_process};

    use crate::timings::Timings;

    /// `CHAOS_KILL_AT=<point>` or `<point>#<n>`: dies there, the n-th time. `CHAOS_STOP_AT`: stops there (SIGSTOP)
    /// until continued. Several points are separated by commas.
    static ORDERS: LazyLock<Vec<(String, u32, Signal)>> = LazyLock::new(|| {
        let orders = |name, signal| {
            let texts = variable(name).unwrap_or_default();
            let order = |text: &str| {
                let (point, nth) = text.split_once('#').unwrap_or((text, "1"));
                (point.to_owned(), nth.parse().unwrap_or(1), signal)
            };
            texts.split(',').map(order).collect::<Vec<_>>()
        };
        [orders("CHAOS_KILL_AT", Signal::KILL), orders("CHAOS_STOP_AT", Signal::STOP)].concat()
    });
    /// How long SIGSTOP may take to reach every thread: until then, the sending thread would continue.
    const SIGNAL_TIME: Duration = Duration::from_millis(100);
    /// How many times each point was passed.
    static PASSED: LazyLock<Mutex<HashMap<String, u32>>> = LazyLock::new(Mutex::default);
    /// Whether a point was passed since the last command that changed the master data or the catalog.
    static IS_GUARDED: AtomicBool = AtomicBool::new(false);
    static IS_TRACED: LazyLock<bool> = LazyLock::new(|| is_on("CHAOS_TRACE"));

    #[expect(clippy::disallowed_methods, reason = "variables of the chaos tests alone, which are no settings")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// Passes a named point beside a command that changes the master data or the catalog.
    pub(crate) fn pass(kind: &str, step: &str, side: &str) {
        reach(kind, step, side);
        IS_GUARDED.store(true, Ordering::SeqCst);
    }

    /// Passes any other named point.
    pub(crate) fn reach(kind: &str, step: &str, side: &str) {
        let point = format!("{kind}.{step}.{side}");
        let times = {
            let mut passed = PASSED.lock();
            let times = passed.entry(point.clone()).or_default();
            *times += 1;
            *times
        };
        if *IS_TRACED {
            eprintln!("chaos: passed {point}");
        }
        for (_, _, signal) in ORDERS.iter().filter(|(at, nth, _)| *at == point && *nth == times) {
            // Cannot fail: it signals its own process.
            let _sent = kill_process(getpid(), *signal);
            if *signal == Signal::KILL {
                // The signal may take a moment, and nothing more may happen until then.
                loop {
                    std::thread::park();
                }
            }
            std::thread::sleep(SIGNAL_TIME);
        }
    }

    /// The default timings, with those that a variable gives in milliseconds replaced.
    pub(crate) fn timings() -> Timings {
        let usual = Timings::default();
        let time = |name, usual| variable(name).and_then(|text| text.parse().ok()).map_or(usual, Duration::from_millis);
        Timings {
            lease: time("CHAOS_LEASE_MS", usual.lease),
            catalog_command: time("CHAOS_DDL_MS", usual.catalog_command),
            cooling: time("CHAOS_COOLING_MS", usual.cooling),
            reconcile_every: time("CHAOS_RECONCILE_MS", usual.reconcile_every),
            scrub_every: time("CHAOS_SCRUB_MS", usual.scrub_every),
        }
    }

    /// Whether a protection is disabled.
    pub(crate) fn is_on(name: &str) -> bool {
        variable(name).is_some()
    }

    /// Reports a command that changes the master data or the catalog without passing a point first: a forgotten step.
    pub(crate) fn watch(event: &CommandEvent) {
        let CommandEvent::Started(started) = event else { return };
        let about = |name: &str| started.command.get_str(name).unwrap_or_default().to_owned();
        let is_change = match started.command_name.as_str() {
            name @ ("insert" | "update" | "delete" | "findAndModify") => {
                matches!(about(name).as_str(), "organizations" | "admins")
            }
            "create" | "drop" | "renameCollection" | "collMod" => true,
            _ => false,
        };
        if is_change && !IS_GUARDED.swap(false, Ordering::SeqCst) && *IS_TRACED {
            eprintln!("chaos: unguarded {}", started.command_name);
        }
    }
}

#[cfg(not(feature = "chaos"))]
mod faults {
    use crate::timings::Timings;

    /// Does nothing.
    #[inline]
    pub(crate) const fn pass(_kind: &str, _step: &str, _side: &str) {}

    /// Does nothing.
    #[inline]
    pub(crate) const fn reach(_kind: &str, _step: &str, _side: &str) {}

    /// The default timings.
    pub(crate) fn timings() -> Timings {
        Timings::default()
    }

    /// Always false: no protection is disabled.
    #[inline]
    pub(crate) const fn is_on(_name: &str) -> bool {
        false
    }
}

pub(crate) use faults::*;
