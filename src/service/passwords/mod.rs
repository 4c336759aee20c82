//! bcrypt on low-priority threads of its own, so that it never blocks the threads that serve requests.
//!
//! Owners take turns: each gets one job per round (`rounds`), and [`crate::shares`] divides the queue. So an owner waits for
//! the running jobs and one turn of each other owner at most, whatever the others do.

mod rounds;
mod workers;

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::{Network, NewPassword, OrgId, PasswordAttempt, PasswordHash};
use crate::shares::{PATIENCE, Refused, Share, Shares};

use workers::{Job, Workers};

/// Queued and running jobs for each thread. A single owner gets half: at 0.2 s a job (cost 12), its last one waits about 3 s.
const JOBS_PER_THREAD: usize = 32;

/// Every comparison is padded up to this cost at most, the highest that can be configured. A stored hash of a higher cost
/// slows down only its own admin.
const EQUAL_COST_MAX: u32 = 16;

/// The costs that bcrypt knows.
const COSTS: std::ops::RangeInclusive<u32> = 4..=31;

/// bcrypt ignores the bytes after these.
const BCRYPT_MAX_BYTES: usize = 72;

/// Why a password was not hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// All owners together have too many jobs.
    #[error("the queue for password checks is full")]
    QueueFull,
    /// The owner has as many jobs as it may.
    #[error("the owner has too many password checks waiting")]
    ShareUsedUp,
    /// bcrypt failed, or its thread died.
    #[error("bcrypt failed")]
    Failed,
}

impl From<Refused> for PasswordError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::ShareUsedUp => Self::ShareUsedUp,
            Refused::AllUsedUp => Self::QueueFull,
        }
    }
}

/// Whose share of the queue a job takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashOwner {
    /// Logins and restorations from this site.
    Visitor(Network),
    /// Creations from this site, apart from logins: a flood of them from a shared site must keep nobody there from logging in.
    Creator(Network),
    /// An organization whose admin updates its password.
    Organization(OrgId),
}

/// Hashes and compares passwords. The threads end when the last clone is dropped.
#[derive(Clone)]
pub struct PasswordHasher {
    workers: Arc<Workers>,
    /// Queued and running jobs.
    jobs: Arc<Shares<HashOwner>>,
    patience: Duration,
    cost: u32,
    /// Every comparison does the work of this cost: the highest seen so far, configured or in a stored hash.
    equal_cost: Arc<AtomicU32>,
}

impl std::fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordHasher").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl PasswordHasher {
    /// Starts the threads.
    pub fn start(cost: u32) -> std::io::Result<Self> {
        let workers = Arc::new(Workers::start()?);
        let jobs = Shares::new("bcrypt_queue_length", workers.count() * JOBS_PER_THREAD);
        Ok(Self { workers, jobs, patience: PATIENCE, cost, equal_cost: Arc::new(AtomicU32::new(cost)) })
    }

    /// Hashes a new password.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn hash(&self, owner: HashOwner, password: &NewPassword) -> Result<PasswordHash, PasswordError> {
        let (password, cost) = (password.clone(), self.cost);
        self.run(owner, move || bcrypt::hash(password.expose(), cost).map(PasswordHash::new)).await
    }

    /// Whether a password matches a hash. `None`, for an unknown user, takes the same work and never matches; nor does a
    /// stored text that is no bcrypt hash.
    ///
    /// `may_be_cut` is for hashes of the original, which cut passwords to 72 bytes. Ours are never longer.
    #[expect(clippy::disallowed_methods, reason = "the one place that calls bcrypt")]
    pub async fn verify(
        &self,
        owner: HashOwner,
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
        let is_right = self.run(owner, move || {
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

    /// Queues work for a thread and waits for its result.
    async fn run<T: Send + 'static>(
        &self,
        owner: HashOwner,
        work: impl FnOnce() -> Bcrypted<T> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let share = self.jobs.take(owner, 1, self.patience).await?;
        let (answer, answered) = oneshot::channel();
        self.workers.push(owner, Box::new(Asked { work, answer, share }));
        match answered.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(PasswordError::Failed),
        }
    }
}

type Bcrypted<T> = Result<T, bcrypt::BcryptError>;

/// A job for bcrypt. It keeps its share while it is queued, even if nobody waits for it any more; otherwise clients that
/// come and go could fill the memory.
struct Asked<T, W> {
    work: W,
    answer: oneshot::Sender<Bcrypted<T>>,
    share: Share<HashOwner>,
}

impl<T: Send, W: FnOnce() -> Bcrypted<T> + Send> Job for Asked<T, W> {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run(self: Box<Self>) {
        let Self { work, answer, share } = *self;
        let done = work();
        // Before the answer, so that the next call of the same owner finds its share free.
        drop(share);
        let _unheard = answer.send(done);
    }
}

/// The cost that a hash states; `None` for a text that is no bcrypt hash.
fn cost_of(hash: &PasswordHash) -> Option<u32> {
    bcrypt::HashParts::from_str(hash.expose()).ok().map(|parts| parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// The costs of the extra hashes that make a comparison at `cost` as much work as one at `equal_cost`. Each step of the cost
/// doubles the work: 2^c + (2^c + 2^(c+1) + … + 2^(e-1)) = 2^e.
fn padding(cost: Option<u32>, equal_cost: u32) -> Range<u32> {
    cost.map_or(equal_cost..equal_cost + 1, |cost| cost..equal_cost)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures_util::poll;

    use super::*;

    /// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`
    const PYTHONS: &str = "$2b$04$yuPD.ru7IfWBbnNP5s9Qz.RgMF4qQOQbGChd6rIuaagvY9x/i2JSm";

    /// A login from the network of this number.
    fn visitor(number: u16) -> HashOwner {
        HashOwner::Visitor(network(number))
    }

    fn network(number: u16) -> Network {
        let [high, low] = number.to_be_bytes();
        Network::of([10, 0, high, low].into())
    }

    async fn is_right(hasher: &PasswordHasher, attempt: &str, hash: &PasswordHash) -> bool {
        hasher.verify(visitor(1), &PasswordAttempt::new(attempt), Some(hash), false).await.expect("room in the queue")
    }

    async fn hashed(hasher: &PasswordHasher, password: &str) -> PasswordHash {
        hasher.hash(visitor(1), &NewPassword::parse(password).expect("allowed")).await.expect("hashed")
    }

    #[tokio::test]
    async fn hashes_of_pythons_bcrypt_and_ours_match() {
        let hasher = PasswordHasher::start(5).expect("threads");
        let pythons = PasswordHash::new(PYTHONS.to_owned());
        assert!(is_right(&hasher, "original password", &pythons).await);
        assert!(!is_right(&hasher, "another password", &pythons).await);
        let ours = hashed(&hasher, "correct horse").await;
        assert!(ours.expose().starts_with("$2b$05$"));
        assert!(is_right(&hasher, "correct horse", &ours).await);
    }

    #[tokio::test]
    async fn an_unknown_user_and_a_broken_hash_never_match() {
        let hasher = PasswordHasher::start(4).expect("threads");
        assert_eq!(hasher.verify(visitor(1), &PasswordAttempt::new("anything"), None, false).await, Ok(false));
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
    fn every_comparison_does_the_same_work() {
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
    async fn the_work_is_that_of_the_highest_cost_seen() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let hash = hashed(&PasswordHasher::start(6).expect("threads"), "correct horse").await;
        assert!(is_right(&hasher, "correct horse", &hash).await);
        assert_eq!(hasher.equal_cost.load(Ordering::Relaxed), 6);
        assert!(padding(Some(20), EQUAL_COST_MAX).is_empty(), "a higher cost slows down one admin only");
    }

    #[tokio::test]
    async fn a_password_longer_than_bcrypt_reads_matches_only_the_originals_hashes() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let hash = hashed(&hasher, &"x".repeat(72)).await;
        let longer = PasswordAttempt::new(&"x".repeat(80));
        assert_eq!(hasher.verify(visitor(1), &longer, Some(&hash), false).await, Ok(false));
        assert_eq!(hasher.verify(visitor(1), &longer, Some(&hash), true).await, Ok(true));
    }

    /// A job that runs until it is released.
    struct Held {
        begin: Sender<()>,
        released: Arc<Mutex<Receiver<()>>>,
    }

    impl Job for Held {
        fn is_wanted(&self) -> bool {
            true
        }

        fn run(self: Box<Self>) {
            self.begin.send(()).expect("heard");
            let _ended = self.released.lock().map(|released| released.recv());
        }
    }

    /// A hasher without patience whose threads are all busy until the sender is dropped.
    fn busy() -> (PasswordHasher, Sender<()>) {
        let hasher = PasswordHasher { patience: Duration::ZERO, ..PasswordHasher::start(4).expect("threads") };
        let (release, released) = channel();
        let (begin, beginnings) = channel();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..hasher.workers.count() {
            let held = Held { begin: begin.clone(), released: released.clone() };
            hasher.workers.push(visitor(0), Box::new(held));
        }
        for _ in 0..hasher.workers.count() {
            beginnings.recv().expect("begun");
        }
        (hasher, release)
    }

    #[tokio::test]
    async fn one_owner_gets_half_and_only_all_together_fill_the_queue() {
        let (hasher, release) = busy();
        let (all, attempt) = (u16::try_from(hasher.jobs.total()).expect("not as many"), PasswordAttempt::new("any"));
        // Polled once, a job is in the queue.
        let mut waiting = Vec::new();
        let mut enqueue = async |owner: HashOwner| {
            let mut job = Box::pin(hasher.verify(owner, &attempt, None, false));
            assert!(poll!(&mut job).is_pending());
            waiting.push(job);
        };
        for _ in 0..all / 2 {
            enqueue(visitor(1)).await;
        }
        let refused = async |owner| hasher.verify(owner, &attempt, None, false).await.err();
        assert_eq!(refused(visitor(1)).await, Some(PasswordError::ShareUsedUp));
        // Creations from the same network have a share of their own, as has every other owner.
        enqueue(HashOwner::Creator(network(1))).await;
        for number in 2..=all - all / 2 {
            enqueue(visitor(number)).await;
        }
        assert_eq!(refused(visitor(1)).await, Some(PasswordError::ShareUsedUp));
        assert_eq!(refused(visitor(all)).await, Some(PasswordError::QueueFull));
        drop(release);
        for job in waiting {
            assert_eq!(job.await, Ok(false));
        }
        assert!(hasher.jobs.try_take(visitor(1), usize::from(all)).is_ok(), "everything was given back");
    }

    #[tokio::test]
    async fn an_abandoned_job_is_not_run_and_gives_its_share_back() {
        let (hasher, release) = busy();
        let is_done = Arc::new(Mutex::new(false));
        let mut job = Box::pin(hasher.run(visitor(1), {
            let is_done = is_done.clone();
            move || {
                *is_done.lock().expect("no panic") = true;
                Ok(())
            }
        }));
        assert!(poll!(&mut job).is_pending());
        drop(job);
        drop(release);
        assert_eq!(hasher.run(visitor(1), || Ok(1)).await, Ok(1));
        assert!(!*is_done.lock().expect("no panic"));
        assert!(hasher.jobs.try_take(visitor(1), hasher.jobs.total()).is_ok());
    }
}
