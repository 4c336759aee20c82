//! The threads that bcrypt runs on: one for each core, of low priority, and before them a line in which owners take turns.

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::HashOwner;
use super::rounds::Rounds;

/// Something to do that somebody waits for.
pub(super) trait Job: Send {
    /// Whether somebody still does.
    fn is_wanted(&self) -> bool;

    /// Does it.
    fn run(self: Box<Self>);
}

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    line: Arc<Line>,
    threads: usize,
}

struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: Rounds<HashOwner, Box<dyn Job>>,
    is_closed: bool,
}

impl Workers {
    /// Starts them.
    pub(super) fn start() -> std::io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let state = Mutex::new(State { jobs: Rounds::new(), is_closed: false });
        let workers = Self { line: Arc::new(Line { state, changed: Condvar::new() }), threads };
        for number in 0..threads {
            let line = workers.line.clone();
            thread::Builder::new().name(format!("bcrypt-{number}")).spawn(move || work(&line))?;
        }
        Ok(workers)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.threads
    }

    /// Has one of them do this, when it is its owner's turn.
    pub(super) fn push(&self, owner: HashOwner, job: Box<dyn Job>) {
        self.line.lock().jobs.push(owner, job);
        self.line.changed.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.line.lock().is_closed = true;
        self.line.changed.notify_all();
    }
}

impl Line {
    /// The next job, as soon as there is one; `None` when there will be none any more.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.lock();
        loop {
            match state.jobs.next(|job| job.is_wanted()) {
                Some(job) => return Some(job),
                None if state.is_closed => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done while it is locked can panic in the middle.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each thread does until there is nothing more to come.
fn work(line: &Line) {
    // On Linux a thread has a priority of its own; lower than that of the threads that serve, so that logins use
    // idle cores without making anybody else wait. Elsewhere, and where it is not allowed, it is merely slower.
    if cfg!(target_os = "linux") {
        let _unchanged = rustix::process::nice(10);
    }
    while let Some(job) = line.next() {
        job.run();
    }
}
