//! Guards MongoDB's disk. Everything that adds data asks here first; a look at the disk every few seconds decides.
//!
//! mongod aborts when its disk is full (an assertion fails: `Write to oplog failed`), and no tenant has a database until
//! somebody makes room. So the last few percent are reserved for what mongod must write even if nobody adds data: the
//! journal since the last checkpoint, the checkpoint, the oplog, and the deletions that make room.
//!
//! Between looks, writes are counted against the room that the last one found, so that no tenant can fill the rest unseen.
//! Each server counts only its own writes. If the disk fills faster than that, the next look sees it, and each byte counts
//! for more from then on. Renames and logins write next to nothing and never ask.

mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::gauge;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Chore;
use crate::repo::storage::DiskSpace;
use crate::repo::{RepoError, StorageRepo};
use room::{Room, Spending};

/// The part of the room (one in 16) that writes may take without asking for another look. Small, because a byte may cost
/// more than was ever seen.
const EASY_PART: u64 = 16;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pause between two looks under heavy writing.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// Looks take at most 1/50 of the time, in a hurry 1/4. They are slow where only the master database may be asked and it has
/// thousands of collections.
const SHARE: u32 = 50;
const HURRIED_SHARE: u32 = 4;
/// How long a write waits for a look that may find room for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The value of [`Shared::growth_until`] while nothing is known: no limit.
const FOR_EVER: u64 = u64::MAX;
/// Its value while the disk is low.
const NEVER: u64 = 0;

/// The state of MongoDB's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageCondition {
    /// There is room.
    Ok,
    /// Less than the mark is free: no data may be added.
    Low,
    /// MongoDB does not say, or nobody asks: nothing is refused.
    Unknown,
}

/// MongoDB's disk has no room for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("MongoDB's disk is nearly full")]
pub struct StorageLow;

/// Admits writes while MongoDB's disk has room for them.
#[derive(Debug, Clone)]
pub struct Storage(Arc<Shared>);

/// Admitted bytes. Dropping this without [`LetIn::keep`] says that they were not written.
#[derive(Debug)]
pub struct LetIn<'s> {
    storage: &'s Storage,
    bytes: u64,
}

impl LetIn<'_> {
    /// The bytes were written, or may have been.
    pub fn keep(mut self) {
        self.bytes = 0;
    }

    /// `bytes` of them were not written.
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
    /// The percentage of the disk that must stay free; 0 turns the guard off.
    min_free_percent: u64,
    /// The bytes of documents admitted since the start, without those that were not written after all.
    let_in: AtomicU64,
    /// Below this count, writes ask for no look.
    easy_until: AtomicU64,
    /// Up to this count, writes may add data. Stands for the condition as well.
    growth_until: AtomicU64,
    /// Up to this count, documents may be rewritten.
    rewrites_until: AtomicU64,
    looks: Mutex<Looks>,
    /// Asks for a look soon.
    is_wanted: Notify,
    /// Wakes the writes that wait for a look.
    was_looked: Notify,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
struct Looks {
    /// How long the last look took.
    took: Duration,
    spending: Spending,
    /// The condition that was logged last.
    logged: Option<StorageCondition>,
}

impl Storage {
    /// Keeps a percentage of the disk free; 0 turns the guard off.
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

    /// The disk's state at the last look.
    pub fn condition(&self) -> StorageCondition {
        match self.0.growth_until.load(Ordering::Relaxed) {
            NEVER => StorageCondition::Low,
            FOR_EVER => StorageCondition::Unknown,
            _ => StorageCondition::Ok,
        }
    }

    /// Admits a write that adds data.
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

    /// Admits a write that replaces data without adding any. It still takes room in the journal and the oplog, so below half
    /// of the mark it is refused too.
    pub fn let_rewrite(&self, bytes: u64) -> Result<LetIn<'_>, StorageLow> {
        let (let_in, count) = self.count(bytes);
        if count <= self.0.rewrites_until.load(Ordering::Relaxed) { Ok(let_in) } else { Err(StorageLow) }
    }

    /// Admits work whose size is not known in advance.
    pub fn let_begin(&self) -> Result<(), StorageLow> {
        if self.condition() == StorageCondition::Low { Err(StorageLow) } else { Ok(()) }
    }

    /// Looks at the disk, more often when much is written.
    pub fn chore(&self) -> Chore {
        let until_due = |this: Self| async move { this.look_is_due().await };
        Chore::when("look for room on MongoDB's disk", self, until_due, |this| async move { this.look().await })
    }

    /// Waits until the next look is due; forever when the guard is off.
    async fn look_is_due(&self) {
        if self.0.min_free_percent == 0 {
            return std::future::pending().await;
        }
        let took = self.0.looks.lock().took;
        let soon = LOOK_SOON.max(took * HURRIED_SHARE);
        sleep(soon).await;
        // Either a write asks for it, or its time has come.
        let _elapsed = timeout(LOOK_EVERY.max(took * SHARE).saturating_sub(soon), self.0.is_wanted.notified()).await;
    }

    /// Asks MongoDB how much room there is. If that fails, the last finding stays in force.
    pub async fn look(&self) -> Result<(), RepoError> {
        if self.0.min_free_percent == 0 {
            return Ok(());
        }
        let (began, let_in) = (Instant::now(), self.0.let_in.load(Ordering::Relaxed));
        let found = self.0.repo.space().await;
        {
            let mut looks = self.0.looks.lock();
            looks.took = began.elapsed();
            if let Ok(space) = found {
                looks.spending.note(began, let_in, space.map(|space| space.free_bytes));
                self.adopt(&mut looks, space, let_in);
            }
        }
        self.0.was_looked.notify_waiters();
        found.map(drop)
    }

    /// Applies what a look found; `let_in` is the count when it began.
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

    /// Admits a write if the next look finds room for it.
    async fn after_a_look(&self, bytes: u64) -> Option<LetIn<'_>> {
        let looked = self.0.was_looked.notified();
        tokio::pin!(looked);
        // Misses no look from here on.
        looked.as_mut().enable();
        self.0.is_wanted.notify_one();
        // Without a look in time, the last one decides.
        let _elapsed = timeout(PATIENCE, looked).await;
        let (let_in, count) = self.count(bytes);
        (count <= self.0.growth_until.load(Ordering::Relaxed)).then_some(let_in)
    }

    /// Counts bytes as admitted while the guard lives. Also returns the new count.
    fn count(&self, bytes: u64) -> (LetIn<'_>, u64) {
        let before = self.0.let_in.fetch_add(bytes, Ordering::Relaxed);
        (LetIn { storage: self, bytes }, before.saturating_add(bytes))
    }
}

impl Looks {
    /// Logs a changed condition.
    fn log(&mut self, condition: StorageCondition, space: Option<DiskSpace>) {
        let before = self.logged.replace(condition);
        if before == Some(condition) {
            return;
        }
        let free_bytes = space.map(|space| space.free_bytes);
        match (condition, before) {
            (StorageCondition::Low, _) => {
                warn!(free_bytes, "MongoDB's disk is nearly full; refusing writes that add data");
            }
            (StorageCondition::Ok, Some(StorageCondition::Low)) => info!(free_bytes, "MongoDB's disk has room again"),
            (StorageCondition::Ok, _) => info!(free_bytes, "MongoDB's disk has room"),
            (StorageCondition::Unknown, _) => {
                warn!("MongoDB does not report its disk's size; MIN_FREE_STORAGE_PERCENT has no effect");
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn free_ratio(space: DiskSpace) -> f64 {
    space.free_bytes as f64 / space.total_bytes as f64
}
