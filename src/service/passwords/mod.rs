//! bcrypt, away from the threads that serve: on low-priority threads of its own, in turns.
//!
//! Whoever has passwords waiting gets one turn in each round (`rounds`), and how many it may have waiting or at work
//! follows the one rule for whatever is bounded ([`crate::shares`]). So nobody waits for more than what is at work and one
//! turn of each other owner, whatever the others do.

mod rounds;
mod workers;

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::{Network, NewPassword, OrgId, PasswordAttempt, PasswordHash};
use crate::shares::{Refused, Share, Shares};

use workers::{Job, Workers};

/// How many jobs there may be for each thread. An owner alone has half of them: at 0.2 s a job (cost 12) its last one waits
/// about 3 s.
const JOBS_PER_THREAD: usize = 32;

/// How long whoever is over its share waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// Everybody together has too many waiting.
    #[error("the queue for password checks is full")]
    QueueFull,
    /// The owner has as many waiting as it may.
    #[error("the owner has too many password checks waiting")]
    ShareUsedUp,
    /// bcrypt failed, or its thread is gone.
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

/// On whose behalf a password is hashed or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashOwner {
    /// Whoever logs in from this site, or wants an organization back.
    Visitor(Network),
    /// Whoever creates organizations from this site: apart from those who log in there, so that a flood of creations from
    /// one that many share keeps none of them out.
    Creator(Network),
    /// An organization whose admin gets another password.
    Organization(OrgId),
}

/// Hashes and compares passwords. The threads end when the last clone is dropped.
#[derive(Clone)]
pub struct PasswordHasher {
    workers: Arc<Workers>,
    /// The jobs that wait or are at work.
    jobs: Arc<Shares<HashOwner>>,
    patience: Duration,
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

    /// Whether a password is the one of a hash. `None` stands for nobody: the same work, and never right. A stored text
    /// that is no bcrypt hash is nobody's either.
    ///
    /// `may_be_cut` is for hashes of the original, which cut passwords at 72 bytes; ours are never longer.
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

    /// Has a thread do this on somebody's behalf.
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

/// What bcrypt gives.
type Bcrypted<T> = Result<T, bcrypt::BcryptError>;

/// Something for bcrypt to do, and who waits for it. It holds a share for as long as it is there, also when nobody waits
/// any more: else those who come and go would fill the memory.
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
        // First, so that whoever asks one thing after another does not find its own share in use.
        drop(share);
        let _unheard = answer.send(done);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use futures_util::poll;

    use super::*;

    /// `bcrypt.hashpw(b"original password", bcrypt.gensalt(4))`
    const PYTHONS: &str = "$2b$04$yuPD.ru7IfWBbnNP5s9Qz.RgMF4qQOQbGChd6rIuaagvY9x/i2JSm";

    /// Whoever logs in from the network of this number.
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

    #[tokio::test]
    async fn hashes_of_pythons_bcrypt_and_ours_are_known() {
        let hasher = PasswordHasher::start(5).expect("threads");
        let pythons = PasswordHash::new(PYTHONS.to_owned());
        assert!(is_right(&hasher, "original password", &pythons).await);
        assert!(!is_right(&hasher, "another password", &pythons).await);
        let ours =
            hasher.hash(visitor(1), &NewPassword::parse("correct horse").expect("long enough")).await.expect("hashed");
        assert!(ours.expose().starts_with("$2b$05$"));
        assert!(is_right(&hasher, "correct horse", &ours).await);
    }

    #[tokio::test]
    async fn nobody_and_what_is_no_hash_are_never_right() {
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
        let hash =
            costly.hash(visitor(1), &NewPassword::parse("correct horse").expect("long enough")).await.expect("hashed");
        assert!(is_right(&hasher, "correct horse", &hash).await);
        assert_eq!(hasher.equal_cost.load(Ordering::Relaxed), 6);
        assert!(padding(Some(20), EQUAL_COST_MAX).is_empty(), "more than that is one admin's alone");
    }

    #[tokio::test]
    async fn a_longer_password_than_bcrypt_reads_is_right_only_for_the_originals_hashes() {
        let hasher = PasswordHasher::start(4).expect("threads");
        let hash =
            hasher.hash(visitor(1), &NewPassword::parse(&"x".repeat(72)).expect("72 bytes")).await.expect("hashed");
        let longer = PasswordAttempt::new(&"x".repeat(80));
        assert_eq!(hasher.verify(visitor(1), &longer, Some(&hash), false).await, Ok(false));
        assert_eq!(hasher.verify(visitor(1), &longer, Some(&hash), true).await, Ok(true));
    }

    /// Something to do until it is let go.
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

    /// A hasher that waits for no place, and whose threads are all at work until the sender is dropped.
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
    async fn one_owner_has_at_most_half_and_only_all_together_fill_the_queue() {
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
        // Creations of the same network have their own share, and every other owner has one.
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
    async fn what_nobody_waits_for_any_more_is_not_computed_and_gives_its_share_back() {
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
