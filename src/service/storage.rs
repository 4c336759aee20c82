//! Whether MongoDB's disk has room for more: asked by everything that adds data, told by a look every few seconds. The one
//! place that holds this.
//!
//! mongod ends itself when its disk is full (an assertion fails: `Write to oplog failed`), and all tenants are without it
//! until somebody makes room. So the last few per cent are kept for what it has to write whoever adds nothing: the journal
//! since the last checkpoint, the checkpoint itself, the oplog, and the deletions that make room.
//!
//! Between two looks the writes themselves are counted against the room that the last one found, so that no tenant is fast
//! enough to fill the rest unseen. Each server counts its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::domain::document::MAX_DOCUMENT_BYTES;
use crate::repo::storage::DiskSpace;
use crate::repo::{RepoError, StorageRepo};

/// How many bytes of the disk a byte of a document can take at first: in its collection, in the oplog, and in the journal
/// until the next checkpoint. Measured: 2.8, with data that cannot be compressed (MongoDB 6.0.5).
const LEAST_COST: u64 = 3;
/// How many it can take with as many indexes over it as there may be. It counts where the disk was seen to fill so fast, be it
/// by indexes, by other servers or by other programs.
const MOST_COST: u64 = 25;
/// What the largest document takes; batches of an import are smaller.
const LARGEST_WRITE: u64 = LEAST_COST * MAX_DOCUMENT_BYTES as u64;
/// From how many bytes of documents on it can be seen what they cost.
const TELLING_BYTES: u64 = 1 << 20;
/// Which part of the room may be taken before another look: small, because it may cost more than was ever seen.
const EASY_PART: u64 = 16;
/// How long it takes at least until all that was written shows on the disk: MongoDB's pause between two checkpoints
/// (`storage.syncPeriodSecs`).
const SETTLED_AFTER: Duration = Duration::from_mins(1);
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
}

impl Drop for LetIn<'_> {
    fn drop(&mut self) {
        self.storage.0.let_in.fetch_sub(self.bytes, Ordering::Relaxed);
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
    last: Option<Instant>,
    /// How long the last one took.
    took: Duration,
    /// What [`Shared::let_in`] was then.
    let_in: u64,
    /// How many bytes of documents may not show on the disk yet.
    unsettled: u64,
    /// How many bytes of the disk were taken in the same time.
    spent: u64,
    /// How many were free then.
    free_bytes: Option<u64>,
    /// What the log has said.
    logged: Option<StorageCondition>,
}

/// How many bytes of documents may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// By what adds data.
    growth: u64,
    /// By what adds nothing and is written anew all the same.
    rewrites: u64,
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
    ///
    /// # Errors
    /// There is no room for it.
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
    ///
    /// # Errors
    /// There is no room for it.
    pub fn let_rewrite(&self, bytes: u64) -> Result<LetIn<'_>, StorageLow> {
        let (let_in, count) = self.count(bytes);
        if count <= self.0.rewrites_until.load(Ordering::Relaxed) { Ok(let_in) } else { Err(StorageLow) }
    }

    /// Lets in something that adds nobody knows how much.
    ///
    /// # Errors
    /// The disk is low.
    pub fn let_begin(&self) -> Result<(), StorageLow> {
        if self.condition() == StorageCondition::Low { Err(StorageLow) } else { Ok(()) }
    }

    /// Waits until it is time for another look; for ever where there is nothing to look for.
    pub async fn look_is_due(&self) {
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
    ///
    /// # Errors
    /// It could not be asked.
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
                looks.note(began, let_in, space.map(|space| space.free_bytes));
                self.adopt(&mut looks, space, let_in);
            }
        }
        self.0.was_looked.notify_waiters();
        found.map(drop)
    }

    /// Acts by what a look found, which began when so much had been let in.
    fn adopt(&self, looks: &mut Looks, space: Option<DiskSpace>, let_in: u64) {
        let was_low = self.condition() == StorageCondition::Low;
        let room = space.map(|space| Room::of(space, self.0.min_free_percent, looks, was_low));
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
    /// Notes what was written since the look before, and what it took. Both fade away in the time in which all that was written
    /// comes to show on the disk.
    fn note(&mut self, at: Instant, let_in: u64, free_bytes: Option<u64>) {
        let passed = self.last.map_or(Duration::ZERO, |last| at.saturating_duration_since(last));
        let left = u64::try_from(SETTLED_AFTER.saturating_sub(passed).as_millis()).unwrap_or_default();
        let faded = |bytes: u64| bytes / 1_000 * left / 60;
        let spent = self.free_bytes.zip(free_bytes).map_or(0, |(before, now)| before.saturating_sub(now));
        self.unsettled = faded(self.unsettled).saturating_add(let_in.saturating_sub(self.let_in));
        self.spent = faded(self.spent).saturating_add(spent);
        (self.last, self.let_in, self.free_bytes) = (Some(at), let_in, free_bytes);
    }

    /// How many bytes of the disk a byte of a document costs, as far as it was seen.
    fn cost(&self) -> u64 {
        if self.unsettled < TELLING_BYTES {
            return LEAST_COST;
        }
        self.spent.div_ceil(self.unsettled).clamp(LEAST_COST, MOST_COST)
    }

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

impl Room {
    /// What a disk has, on which a part must stay free and some bytes of documents may not show yet.
    ///
    /// These count once more, but for no more than the mark has itself: MongoDB writes most of them long before it must.
    /// A disk with no room for the largest write is low. What was low must have a point more than the mark, so that it does not
    /// come and go. Rewrites have the upper half of what is kept free.
    fn of(space: DiskSpace, min_free_percent: u64, looks: &Looks, was_low: bool) -> Self {
        let (point, cost) = (space.total_bytes / 100, looks.cost());
        let mark = point * min_free_percent;
        let free = space.free_bytes.saturating_sub(mark.min(looks.unsettled.saturating_mul(cost)));
        let low_below = mark + if was_low { point.max(LARGEST_WRITE) } else { LARGEST_WRITE };
        let growth = if free < low_below { 0 } else { (free - mark) / cost };
        Self { growth, rewrites: space.free_bytes.saturating_sub(mark / 2) / cost }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn free_ratio(space: DiskSpace) -> f64 {
    space.free_bytes as f64 / space.total_bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: u64 = 5;

    const MB: u64 = 1_000_000;

    /// The room of a disk of 10,000 MB, whose mark is at 500, in MB.
    fn room(free: u64, looks: &Looks, was_low: bool) -> (u64, u64) {
        let space = DiskSpace { total_bytes: 10_000 * MB, free_bytes: free * MB };
        let Room { growth, rewrites } = Room::of(space, PERCENT, looks, was_low);
        (growth / MB, rewrites / MB)
    }

    fn after_writes(unsettled: u64, spent: u64) -> Looks {
        Looks { unsettled: unsettled * MB, spent: spent * MB, ..Looks::default() }
    }

    #[test]
    fn what_is_above_the_mark_may_be_filled_by_a_third() {
        let quiet = Looks::default();
        assert_eq!(room(3_500, &quiet, false), (1_000, 1_083));
        assert_eq!(room(551, &quiet, false), (17, 100));
        assert_eq!(room(550, &quiet, false), (0, 100), "the largest document has no room");
        assert_eq!(room(500, &quiet, false), (0, 83));
        assert_eq!(room(0, &quiet, false), (0, 0));
    }

    #[test]
    fn what_may_not_show_yet_counts_once_more_and_never_for_more_than_the_mark() {
        assert_eq!(room(3_500, &after_writes(100, 300), false).0, 900);
        assert_eq!(room(3_500, &after_writes(9_000, 9_000), false).0, 833);
    }

    #[test]
    fn where_the_disk_fills_faster_there_is_room_for_less() {
        assert_eq!(room(3_500, &after_writes(2, 20), false).0, (3_000 - 20) / 10);
        assert_eq!(room(3_500, &after_writes(2, 2_000), false).0, (3_000 - 50) / 25);
        assert_eq!(room(3_500, &after_writes(0, 2_000), false).0, 1_000, "that was somebody else");
    }

    #[test]
    fn what_was_low_must_have_a_point_more() {
        let quiet = Looks::default();
        assert_eq!(room(599, &quiet, true).0, 0);
        assert_eq!(room(599, &quiet, false).0, 33);
        assert_eq!(room(600, &quiet, true).0, 33);
    }

    #[test]
    fn what_was_written_and_what_it_took_fade_away_within_a_minute() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let mut after = |seconds, let_in, free| {
            looks.note(start + Duration::from_secs(seconds), let_in, Some(free));
            (looks.unsettled, looks.spent)
        };
        assert_eq!(after(0, 60_000, 900_000), (60_000, 0));
        assert_eq!(after(30, 60_000, 600_000), (30_000, 300_000));
        assert_eq!(after(45, 160_000, 700_000), (122_500, 225_000), "what was freed is not spent");
        assert_eq!(after(200, 160_000, 700_000), (0, 0));
    }
}
