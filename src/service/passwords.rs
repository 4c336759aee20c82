//! bcrypt, away from the threads that serve: one low-priority thread per core and a bounded queue before them.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use metrics::gauge;
use tokio::sync::oneshot;

use crate::domain::{NewPassword, PasswordAttempt, PasswordHash};

/// How many jobs may wait for each thread. At 0.2 s a job (cost 12) the last one waits about 3 s.
const QUEUE_PER_THREAD: usize = 16;

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
    cost: u32,
    /// Compared with when there is nobody of that email, so that the answer takes as long.
    nobody: PasswordHash,
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
    /// A thread cannot be started, or bcrypt refuses the cost.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub fn start(cost: u32) -> anyhow::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (queue, jobs) = sync_channel::<Job>(threads * QUEUE_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("bcrypt-{number}")).spawn(move || work(&jobs))?;
        }
        let nobody = PasswordHash::new(bcrypt::hash("the password of nobody", cost)?);
        Ok(Self { queue, cost, nobody })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// The queue is full, or bcrypt failed.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn hash(&self, password: &NewPassword) -> Result<PasswordHash, PasswordError> {
        let (password, cost) = (password.clone(), self.cost);
        self.run(move || bcrypt::hash(password.expose(), cost).map(PasswordHash::new)).await
    }

    /// Whether a password is the one of a hash. `None` stands for nobody: the same work, and never right.
    ///
    /// `may_be_cut` is for hashes of the original, which cut passwords at 72 bytes; ours are never longer.
    ///
    /// # Errors
    /// The queue is full, or the hash is none.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn verify(
        &self,
        attempt: &PasswordAttempt,
        hash: Option<&PasswordHash>,
        may_be_cut: bool,
    ) -> Result<bool, PasswordError> {
        let possible = hash.is_some() && (may_be_cut || attempt.expose().len() <= BCRYPT_MAX_BYTES);
        let (attempt, hash) = (attempt.clone(), hash.unwrap_or(&self.nobody).clone());
        let is_right = self.run(move || bcrypt::verify(attempt.expose(), hash.expose())).await?;
        Ok(is_right && possible)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, bcrypt::BcryptError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let (answer, waiting) = oneshot::channel();
        let waits = gauge!("bcrypt_queue_length");
        let in_queue = waits.clone();
        let job: Job = Box::new(move || {
            in_queue.decrement(1);
            // Nobody waits any more when the client went away: do not burn a core for it.
            if !answer.is_closed() {
                let _gone = answer.send(work());
            }
        });
        waits.increment(1);
        if let Err(refused) = self.queue.try_send(job) {
            waits.decrement(1);
            return Err(match refused {
                TrySendError::Full(_) => PasswordError::QueueFull,
                TrySendError::Disconnected(_) => PasswordError::Failed,
            });
        }
        match waiting.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(PasswordError::Failed),
        }
    }
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

    #[tokio::test]
    async fn a_hash_of_pythons_bcrypt_is_known() {
        // bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4))
        let hasher = PasswordHasher::start(4).expect("threads");
        let ours = hasher.hash(&NewPassword::parse("correct horse").expect("long enough")).await.expect("hashed");
        assert!(ours.expose().starts_with("$2b$04$"));
        let attempt = PasswordAttempt::new("correct horse");
        assert_eq!(hasher.verify(&attempt, Some(&ours), false).await, Ok(true));
        assert_eq!(hasher.verify(&PasswordAttempt::new("wrong"), Some(&ours), false).await, Ok(false));
        assert_eq!(hasher.verify(&PasswordAttempt::new("the password of nobody"), None, false).await, Ok(false));
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
    async fn a_full_queue_answers_at_once() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let mut refused = 0;
        for _ in 0..=(threads * (QUEUE_PER_THREAD + 1)) {
            let blocked = Arc::clone(&blocked);
            let job: Job = Box::new(move || {
                let _released = blocked.lock().map(|blocked| blocked.recv());
            });
            refused += usize::from(hasher.queue.try_send(job).is_err());
        }
        let answer = hasher.verify(&PasswordAttempt::new("any"), None, false).await;
        drop(release);
        assert!(refused >= 1);
        assert_eq!(answer, Err(PasswordError::QueueFull));
    }
}
