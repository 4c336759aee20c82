//! The threads that bcrypt runs on, one for each core, and the queue in front of them, in which owners take turns.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::HashOwner;
use super::rounds::Rounds;

/// Work that somebody waits for.
pub(super) trait Job: Send {
    /// Whether somebody still does.
    fn is_wanted(&self) -> bool;

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

    pub(super) fn count(&self) -> usize {
        self.threads
    }

    /// Queues a job for its owner's next turn.
    pub(super) fn push(&self, owner: HashOwner, job: Box<dyn Job>) {
        self.line.state.lock().jobs.push(owner, job);
        self.line.changed.notify_one();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.line.state.lock().is_closed = true;
        self.line.changed.notify_all();
    }
}

impl Line {
    /// Waits for the next job. `None` once the queue is closed and empty.
    fn next(&self) -> Option<Box<dyn Job>> {
        let mut state = self.state.lock();
        loop {
            match state.jobs.next(|job| job.is_wanted()) {
                Some(job) => return Some(job),
                None if state.is_closed => return None,
                None => self.changed.wait(&mut state),
            }
        }
    }
}

fn work(line: &Line) {
    // On Linux each thread has its own priority. Below that of the serving threads, logins use idle cores and slow nobody
    // down. Elsewhere, or where it is not allowed, other requests merely wait longer.
    if cfg!(target_os = "linux") {
        let _unchanged = rustix::process::nice(10);
    }
    while let Some(job) = line.next() {
        job.run();
    }
}
