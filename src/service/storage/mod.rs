//! Whether MongoDB's disk has room for more: asked by everything that adds data, told by a look every few seconds. The one
//! place that holds this.
//!
//! mongod ends itself when its disk is full (an assertion fails: `Write to oplog failed`), and all tenants are without it
//! until somebody makes room. So the last few per cent are kept for what it has to write whoever adds nothing: the journal
//! since the last checkpoint, the checkpoint itself, the oplog, and the deletions that make room.
//!
//! Between two looks the writes themselves are counted against the room that the last one found, so that no tenant is fast
//! enough to fill the rest unseen. Each server counts its own; that the disk fills faster than that, it sees at the next look,
//! and then counts each byte for more. Changes of organizations' names and logins add nothing that matters, and never ask.

mod room;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Chore;
use crate::repo::storage::DiskSpace;
use crate::repo::{RepoError, StorageRepo};
use room::{Room, Spending};

/// Which part of the room may be taken before another look: small, because it may cost more than was ever seen.
const EASY_PART: u64 = 16;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pause between two looks when much is written.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// Looks take at most one part in so many of the time; in a hurry one in [`HURRIED_SHARE`]. They are slow where the master
/// database alone may be asked, and has thousands of collections.
const SHARE: u32 = 50;
const HURRIED_SHARE: u32 = 4;
/// How long a write waits for a look that may find room for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Until when everything may come: what [`Shared::growth_until`] holds while nothing is known.
const FOR_EVER: u64 = u64::MAX;
/// The same while nothing may come.
const NEVER: u64 = 0;

/// How MongoDB's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageCondition {
    /// There is room.
    Ok,
    /// There is less than the mark: nothing may be added.
    Low,
    /// MongoDB does not tell, or nobody asks: nothing is refused.
    Unknown,
}

/// MongoDB's disk has no room for what a write would add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("MongoDB's disk is nearly full")]
pub struct StorageLow;

/// Keeps MongoDB's disk from being filled.
#[derive(Debug, Clone)]
pub struct Storage(Arc<Shared>);

/// Bytes that were let in. Dropped without a word, they were not written.
#[derive(Debug)]
#[must_use]
pub struct LetIn<'s> {
    storage: &'s Storage,
    bytes: u64,
}

impl LetIn<'_> {
    /// They were written, or may have been.
    pub fn keep(mut self) {
        self.bytes = 0;
    }

    /// So many of them were not written.
    pub fn return_part(&mut self, bytes: u64) {
        let part = bytes.min(self.bytes);
        if part > 0 {
            self.bytes -= part;
            self.storage.0.let_in.fetch_sub(part, Ordering::Relaxed);
        }
    }
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        self.return_part(self.bytes);
    }
}

#[derive(Debug)]
struct Shared {
    repo: StorageRepo,
    /// How much of the disk must be free, in per cent; 0 for no such mark.
    min_free_percent: u64,
    /// How many bytes of documents were let in since the start, those that were not written after all excepted.
    let_in: AtomicU64,
    /// Up to how many everything may come without a further thought; a small part of the way to the next.
    easy_until: AtomicU64,
    /// Up to how many something that adds data may come; tells the condition too.
    growth_until: AtomicU64,
    /// Up to how many something that adds nothing may be written anew.
    rewrites_until: AtomicU64,
    looks: Mutex<Looks>,
    /// Tells whoever looks that it should be soon.
    is_wanted: Notify,
    /// Tells those who wait for a look that there was one.
    was_looked: Notify,
}

/// What whoever looks remembers.
#[derive(Debug, Default)]
struct Looks {
    /// How long the last look took.
    took: Duration,
    spending: Spending,
    /// What the log has said.
    logged: Option<StorageCondition>,
}

impl Storage {
    /// Keeps so many per cent of the disk free; 0 for none.
    #[must_use]
    pub fn new(repo: StorageRepo, min_free_percent: u8) -> Self {
        Self(Arc::new(Shared {
            repo,
            min_free_percent: min_free_percent.into(),
            let_in: AtomicU64::new(0),
            easy_until: AtomicU64::new(FOR_EVER),
            growth_until: AtomicU64::new(FOR_EVER),
            rewrites_until: AtomicU64::new(FOR_EVER),
            looks: Mutex::default(),
            is_wanted: Notify::new(),
            was_looked: Notify::new(),
        }))
    }

    /// How the disk is.
    #[must_use]
    pub fn condition(&self) -> StorageCondition {
        match self.0.growth_until.load(Ordering::Relaxed) {
            NEVER => StorageCondition::Low,
            FOR_EVER => StorageCondition::Unknown,
            _ => StorageCondition::Ok,
        }
    }

    /// Lets in a write of so many bytes that adds data.
    pub async fn let_grow(&self, bytes: u64) -> Result<LetIn<'_>, StorageLow> {
        let (let_in, count) = self.count(bytes);
        if count <= self.0.easy_until.load(Ordering::Relaxed) {
            return Ok(let_in);
        }
        self.0.is_wanted.notify_one();
        if count <= self.0.growth_until.load(Ordering::Relaxed) {
            return Ok(let_in);
        }
        drop(let_in);
        if self.condition() == StorageCondition::Low {
            return Err(StorageLow);
        }
        self.after_a_look(bytes).await.ok_or(StorageLow)
    }

    /// Lets in a write of so many bytes that adds nothing to what is there. It takes room all the same, in the journal and in
    /// the oplog, so below half of the mark it is refused as well.
    pub fn let_rewrite(&self, bytes: u64) -> Result<LetIn<'_>, StorageLow> {
        let (let_in, count) = self.count(bytes);
        if count <= self.0.rewrites_until.load(Ordering::Relaxed) { Ok(let_in) } else { Err(StorageLow) }
    }

    /// Lets in something that adds nobody knows how much.
    pub fn let_begin(&self) -> Result<(), StorageLow> {
        if self.condition() == StorageCondition::Low { Err(StorageLow) } else { Ok(()) }
    }

    /// Looks at the disk, more often the fuller it is.
    #[must_use]
    pub fn chore(&self) -> Chore {
        let until_due = |this: Self| async move { this.look_is_due().await };
        Chore::when("look for room on MongoDB's disk", self, until_due, |this| async move { this.look().await })
    }

    /// Waits until it is time for another look; for ever where there is nothing to look for.
    async fn look_is_due(&self) {
        if self.0.min_free_percent == 0 {
            return std::future::pending().await;
        }
        let took = self.looks().took;
        let soon = LOOK_SOON.max(took * HURRIED_SHARE);
        sleep(soon).await;
        // Whether somebody wants it or its time has come: both are reasons.
        let _elapsed = timeout(LOOK_EVERY.max(took * SHARE).saturating_sub(soon), self.0.is_wanted.notified()).await;
    }

    /// Asks MongoDB how much room there is. Where it cannot be asked, what is known goes on to hold.
    pub async fn look(&self) -> Result<(), RepoError> {
        if self.0.min_free_percent == 0 {
            return Ok(());
        }
        let (began, let_in) = (Instant::now(), self.0.let_in.load(Ordering::Relaxed));
        let found = self.0.repo.space().await;
        {
            let mut looks = self.looks();
            looks.took = began.elapsed();
            if let Ok(space) = found {
                looks.spending.note(began, let_in, space.map(|space| space.free_bytes));
                self.adopt(&mut looks, space, let_in);
            }
        }
        self.0.was_looked.notify_waiters();
        found.map(drop)
    }

    /// Acts by what a look found, which began when so much had been let in.
    fn adopt(&self, looks: &mut Looks, space: Option<DiskSpace>, let_in: u64) {
        let was_low = self.condition() == StorageCondition::Low;
        let room = space.map(|space| Room::of(space, self.0.min_free_percent, &looks.spending, was_low));
        let (easy, growth, rewrites) = match room {
            None => (FOR_EVER, FOR_EVER, FOR_EVER),
            Some(Room { growth: 0, rewrites }) => (NEVER, NEVER, let_in + rewrites),
            Some(Room { growth, rewrites }) => (let_in + growth / EASY_PART, let_in + growth, let_in + rewrites),
        };
        self.0.rewrites_until.store(rewrites, Ordering::Relaxed);
        self.0.growth_until.store(growth, Ordering::Relaxed);
        self.0.easy_until.store(easy, Ordering::Relaxed);
        gauge!("mongodb_storage_free_ratio").set(space.map_or(f64::NAN, free_ratio));
        looks.log(self.condition(), space);
    }

    /// Lets in so many bytes if the next look finds room for them.
    async fn after_a_look(&self, bytes: u64) -> Option<LetIn<'_>> {
        let looked = self.0.was_looked.notified();
        tokio::pin!(looked);
        // From here on no look is missed.
        looked.as_mut().enable();
        self.0.is_wanted.notify_one();
        // Without a look in time, what is known holds.
        let _elapsed = timeout(PATIENCE, looked).await;
        let (let_in, count) = self.count(bytes);
        (count <= self.0.growth_until.load(Ordering::Relaxed)).then_some(let_in)
    }

    /// Counts so many bytes as let in, for as long as they are; gives how many are with them.
    fn count(&self, bytes: u64) -> (LetIn<'_>, u64) {
        let before = self.0.let_in.fetch_add(bytes, Ordering::Relaxed);
        (LetIn { storage: self, bytes }, before.saturating_add(bytes))
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        // Numbers, of which each alone is right.
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    /// Says how the disk is, if the log does not know yet.
    fn log(&mut self, condition: StorageCondition, space: Option<DiskSpace>) {
        let before = self.logged.replace(condition);
        if before == Some(condition) {
            return;
        }
        let free_bytes = space.map(|space| space.free_bytes);
        match (condition, before) {
            (StorageCondition::Low, _) => {
                warn!(free_bytes, "MongoDB's disk is nearly full; refusing what adds data");
            }
            (StorageCondition::Ok, Some(StorageCondition::Low)) => {
                info!(free_bytes, "MongoDB's disk has room again");
            }
            (StorageCondition::Ok, _) => info!(free_bytes, "MongoDB's disk has room"),
            (StorageCondition::Unknown, _) => warn!(
                "MongoDB does not tell how much room its disk has; nothing keeps it from being filled \
                 (MIN_FREE_STORAGE_PERCENT)"
            ),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn free_ratio(space: DiskSpace) -> f64 {
    space.free_bytes as f64 / space.total_bytes as f64
}
