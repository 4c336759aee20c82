//! bcrypt, away from the threads that serve: one low-priority thread per core and a bounded queue before them.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use metrics::gauge;
use tokio::sync::oneshot;

use crate::domain::{NewPassword, PasswordAttempt, PasswordHash};

/// How many jobs may wait for each thread. At 0.2 s a job (cost 12) the last one waits about 3 s.
const QUEUE_PER_THREAD: usize = 16;

/// Which part of the queue new passwords may fill: the rest is for logins, so that a flood of new organizations keeps
/// nobody out of the old ones.
const NEW_PASSWORDS_SHARE: usize = 2;

/// The highest cost whose work is done for everybody: the highest that can be set. A stored hash of a higher one makes its
/// own admin wait, and nobody else.
const EQUAL_COST_MAX: u32 = 16;

/// The costs that bcrypt knows.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// The longest attempt that bcrypt can tell from others, in bytes.
const BCRYPT_MAX_BYTES: usize = 72;

/// Why a password was not hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("the queue for password checks is full")]
    QueueFull,
    /// bcrypt failed, or its thread is gone.
    #[error("bcrypt failed")]
    Failed,
}

type Job = Box<dyn FnOnce() + Send>;

/// Hashes and compares passwords.
#[derive(Clone)]
pub struct PasswordHasher {
    queue: SyncSender<Job>,
    capacity: usize,
    waiting: Arc<AtomicUsize>,
    cost: u32,
    /// The cost whose work every comparison does: the highest that was seen, here or in a stored hash.
    equal_cost: Arc<AtomicU32>,
}

impl std::fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordHasher").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl PasswordHasher {
    /// Starts the threads. They end when the last clone is dropped.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(cost: u32) -> std::io::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let capacity = threads * QUEUE_PER_THREAD;
        let (queue, jobs) = sync_channel::<Job>(capacity);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("bcrypt-{number}")).spawn(move || work(&jobs))?;
        }
        Ok(Self { queue, capacity, waiting: Arc::default(), cost, equal_cost: Arc::new(AtomicU32::new(cost)) })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// The queue is full, or bcrypt failed.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PasswordError> {
        let (password, cost) = (password.clone(), self.cost);
        let room = self.capacity / NEW_PASSWORDS_SHARE;
        self.run(room, move || bcrypt::hash(password.expose(), cost).map(PasswordHash::new)).await
    }

    /// Whether a password is the one of a hash. `None` stands for nobody: the same work, and never right. A stored text
    /// that is no bcrypt hash is nobody's either.
    ///
    /// `may_be_cut` is for hashes of the original, which cut passwords at 72 bytes; ours are never longer.
    ///
    /// # Errors
    /// The queue is full, or bcrypt failed.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn verify(
        &self,
        attempt: &PasswordAttempt,
        hash: Option<&PasswordHash>,
        may_be_cut: bool,
    ) -> Result<bool, PasswordError> {
        let possible = may_be_cut || attempt.expose().len() <= BCRYPT_MAX_BYTES;
        let hash = hash.and_then(|hash| Some((hash.clone(), cost_of(hash)?)));
        if let Some((_, cost)) = hash {
            self.equal_cost.fetch_max(cost.min(EQUAL_COST_MAX), Ordering::Relaxed);
        }
        let (attempt, equal_cost) = (attempt.clone(), self.equal_cost.load(Ordering::Relaxed));
        let is_right = self.run(self.capacity, move || {
            let is_right = match &hash {
                Some((hash, _)) => bcrypt::verify(attempt.expose(), hash.expose())?,
                None => false,
            };
            for cost in padding(hash.map(|(_, cost)| cost), equal_cost) {
                bcrypt::hash("work that a stranger cannot tell from a comparison", cost)?;
            }
            Ok(is_right)
        });
        Ok(is_right.await? && possible)
    }

    /// Has a thread do this, if fewer than `room` jobs wait.
    async fn run<T: Send + 'static>(
        &self,
        room: usize,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, answered) = oneshot::channel();
        let (length, waiting) = (gauge!("bcrypt_queue_length"), self.waiting.clone());
        if waiting.fetch_add(1, Ordering::Relaxed) >= room {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PasswordError::QueueFull);
        }
        length.increment(1);
        let leaves = move || {
            waiting.fetch_sub(1, Ordering::Relaxed);
            length.decrement(1);
        };
        let leaves_unheard = leaves.clone();
        let job: Job = Box::new(move || {
            leaves();
            // Whoever asked may be gone; then nobody hears it.
            let _unheard = answer.send(work());
        });
        if let Err(refused) = self.queue.try_send(job) {
            leaves_unheard();
            return Err(match refused {
                TrySendError::Full(_) => PasswordError::QueueFull,
                TrySendError::Disconnected(_) => PasswordError::Failed,
            });
        }
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(PasswordError::Failed),
        }
    }
}

/// The cost that a hash says it has; `None` for what is no bcrypt hash.
fn cost_of(hash: &PasswordHash) -> Option<u32> {
    bcrypt::HashParts::from_str(hash.expose()).ok().map(|parts| parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// The costs of the hashes that must be made beside a comparison at `cost`, so that all is as much work as one at
/// `equal_cost`. One more doubles the work: 2^c + (2^c + 2^(c+1) + … + 2^(e-1)) = 2^e.
fn padding(cost: Option<u32>, equal_cost: u32) -> Range<u32> {
    cost.map_or(equal_cost..equal_cost + 1, |cost| cost..equal_cost)
}

/// What each thread does until the queue is gone.
fn work(jobs: &Mutex<Receiver<Job>>) {
    // On Linux a thread has a priority of its own; lower than that of the threads that serve, so that logins use
    // idle cores without making anybody else wait. Elsewhere, and where it is not allowed, it is merely slower.
    if cfg!(target_os = "linux") {
        let _unchanged = rustix::process::nice(10);
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`
    const PYTHONS: &str = "$2b$04$yuPD.ru7IfWBbnNP5s9Qz.RgMF4qQOQbGChd6rIuaagvY9x/i2JSm";

    async fn is_right(hasher: &PasswordHasher, attempt: &str, hash: &PasswordHash) -> bool {
        hasher.verify(&PasswordAttempt::new(attempt), Some(hash), false).await.expect("room in the queue")
    }

    #[tokio::test]
    async fn hashes_of_pythons_bcrypt_and_ours_are_known() {
        let hasher = PasswordHasher::start(5).expect("threads");
        let pythons = PasswordHash::new(PYTHONS.to_owned());
        assert!(is_right(&hasher, "original password", &pythons).await);
        assert!(!is_right(&hasher, "another password", &pythons).await);
        let ours = hasher.hash(&NewPassword::parse("correct horse").expect("long enough")).await.expect("hashed");
        assert!(ours.expose().starts_with("$2b$05$"));
        assert!(is_right(&hasher, "correct horse", &ours).await);
    }

    #[tokio::test]
    async fn nobody_and_what_is_no_hash_are_never_right() {
        let hasher = PasswordHasher::start(4).expect("threads");
        assert_eq!(hasher.verify(&PasswordAttempt::new("anything"), None, false).await, Ok(false));
        for text in [
            "",
            "plain text",
            "$2b$04$tooshort",
            &PYTHONS.replace("$04$", "$99$"),
            "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$aGFzaA",
        ] {
            assert!(!is_right(&hasher, text, &PasswordHash::new(text.to_owned())).await, "{text}");
        }
    }

    #[test]
    fn every_comparison_is_the_same_work() {
        let work = |cost: u32| 1_u64 << cost;
        for equal_cost in 4..=16 {
            let padded = |cost: Option<u32>| cost.map_or(0, work) + padding(cost, equal_cost).map(work).sum::<u64>();
            assert_eq!(padded(None), work(equal_cost));
            for stored in 4..=equal_cost {
                assert_eq!(padded(Some(stored)), work(equal_cost), "{stored}");
            }
        }
    }

    #[tokio::test]
    async fn the_work_is_that_of_the_highest_cost_that_was_seen() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let costly = PasswordHasher::start(6).expect("threads");
        let hash = costly.hash(&NewPassword::parse("correct horse").expect("long enough")).await.expect("hashed");
        assert!(is_right(&hasher, "correct horse", &hash).await);
        assert_eq!(hasher.equal_cost.load(Ordering::Relaxed), 6);
        assert!(padding(Some(20), EQUAL_COST_MAX).is_empty(), "more than that is one admin's alone");
    }

    #[tokio::test]
    async fn a_longer_password_than_bcrypt_reads_is_right_only_for_the_originals_hashes() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let hash = hasher.hash(&NewPassword::parse(&"x".repeat(72)).expect("72 bytes")).await.expect("hashed");
        let longer = PasswordAttempt::new(&"x".repeat(80));
        assert_eq!(hasher.verify(&longer, Some(&hash), false).await, Ok(false));
        assert_eq!(hasher.verify(&longer, Some(&hash), true).await, Ok(true));
    }

    #[tokio::test]
    async fn a_full_queue_answers_at_once_and_new_passwords_fill_only_their_part() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (begin, beginnings) = std::sync::mpsc::channel();
        let released = Arc::new(Mutex::new(released));
        let hold = || {
            let (released, begin) = (Arc::clone(&released), begin.clone());
            hasher.run(hasher.capacity, move || {
                let _heard = begin.send(());
                let _ended = released.lock().map(|released| released.recv());
                Ok(())
            })
        };
        // Polled once, a job is in the queue.
        let mut jobs = Vec::new();
        let mut enqueue = async |number: usize| {
            for _ in 0..number {
                let mut job = Box::pin(hold());
                assert!(futures_util::poll!(&mut job).is_pending());
                jobs.push(job);
            }
        };
        let threads = hasher.capacity / QUEUE_PER_THREAD;
        enqueue(threads).await;
        // The first one holds the lock that the others wait for: each thread has its job when all have begun.
        for _ in 0..threads {
            beginnings.recv().expect("begun");
        }
        enqueue(hasher.capacity / NEW_PASSWORDS_SHARE).await;
        let new = NewPassword::parse("correct horse").expect("long enough");
        assert_eq!(hasher.hash(&new).await.err(), Some(PasswordError::QueueFull));
        let attempt = PasswordAttempt::new("any");
        let mut login = Box::pin(hasher.verify(&attempt, None, false));
        assert!(futures_util::poll!(&mut login).is_pending(), "there is room for a login");
        enqueue(hasher.capacity - hasher.capacity / NEW_PASSWORDS_SHARE - 1).await;
        assert_eq!(hasher.verify(&attempt, None, false).await, Err(PasswordError::QueueFull));
        drop(release);
        assert_eq!(login.await, Ok(false));
    }
}
