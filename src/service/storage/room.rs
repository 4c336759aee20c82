//! How much may still be written, from how much is free and what earlier writes cost. Does no I/O.

use std::time::{Duration, Instant};

use crate::domain::documents::MAX_DOCUMENT_BYTES;
use crate::repo::storage::DiskSpace;

/// Bytes of disk for each byte of a document, to begin with: its collection, the oplog, and the journal until the next
/// checkpoint. Measured: 2.8, with incompressible data (MongoDB 6.0.5).
const LEAST_COST: u64 = 3;
/// The most, with as many indexes as there may be. Applied where the disk was seen to fill that fast, whether through
/// indexes, other servers or other programs.
const MOST_COST: u64 = 25;
/// The disk that the largest document takes; an import's batches are smaller.
const LARGEST_WRITE: u64 = LEAST_COST * MAX_DOCUMENT_BYTES as u64;
/// Fewer bytes of documents say nothing about their cost.
const TELLING_BYTES: u64 = 1 << 20;
/// By then everything written shows on the disk: MongoDB's interval between checkpoints (`storage.syncPeriodSecs`).
const SETTLED_AFTER: Duration = Duration::from_mins(1);

/// What was written and what it cost, as seen by looks at the disk.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// When the last look began.
    last: Option<Instant>,
    /// Bytes of documents admitted by then.
    let_in: u64,
    /// Bytes of documents that may not show on the disk yet.
    unsettled: u64,
    /// Bytes of disk that were taken in the same time.
    spent: u64,
    /// Bytes of disk that were free at the last look.
    free_bytes: Option<u64>,
}

/// How many bytes of documents may still be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// By writes that add data.
    pub(super) growth: u64,
    /// By writes that replace data.
    pub(super) rewrites: u64,
}

impl Spending {
    /// Records what was written since the last look, and what it cost. Both fade at the rate at which writes settle on the
    /// disk.
    pub(super) fn note(&mut self, at: Instant, let_in: u64, free_bytes: Option<u64>) {
        let passed = self.last.map_or(Duration::ZERO, |last| at.saturating_duration_since(last));
        let left = u64::try_from(SETTLED_AFTER.saturating_sub(passed).as_millis()).unwrap_or_default();
        let faded = |bytes: u64| bytes / 1_000 * left / 60;
        let spent = self.free_bytes.zip(free_bytes).map_or(0, |(before, now)| before.saturating_sub(now));
        self.unsettled = faded(self.unsettled).saturating_add(let_in.saturating_sub(self.let_in));
        self.spent = faded(self.spent).saturating_add(spent);
        (self.last, self.let_in, self.free_bytes) = (Some(at), let_in, free_bytes);
    }

    /// The observed bytes of disk for each byte of a document.
    fn cost(&self) -> u64 {
        if self.unsettled < TELLING_BYTES {
            return LEAST_COST;
        }
        self.spent.div_ceil(self.unsettled).clamp(LEAST_COST, MOST_COST)
    }
}

impl Room {
    /// The room on a disk of which `min_free_percent` must stay free.
    ///
    /// Unsettled bytes are subtracted, but never more than the mark: MongoDB writes most of them long before it must. A disk
    /// without room for the largest write is low. A low disk must rise a percentage point above the mark, so that it does
    /// not flap. Rewrites may use the upper half of the reserve.
    pub(super) fn of(space: DiskSpace, min_free_percent: u64, spending: &Spending, was_low: bool) -> Self {
        let (point, cost) = (space.total_bytes / 100, spending.cost());
        let mark = point * min_free_percent;
        let free = space.free_bytes.saturating_sub(mark.min(spending.unsettled.saturating_mul(cost)));
        let low_below = mark + if was_low { point.max(LARGEST_WRITE) } else { LARGEST_WRITE };
        let growth = if free < low_below { 0 } else { (free - mark) / cost };
        Self { growth, rewrites: space.free_bytes.saturating_sub(mark / 2) / cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: u64 = 5;

    const MB: u64 = 1_000_000;

    /// The room of a disk of 10,000 MB, whose mark is at 500, in MB.
    fn room(free: u64, spending: &Spending, was_low: bool) -> (u64, u64) {
        let space = DiskSpace { total_bytes: 10_000 * MB, free_bytes: free * MB };
        let Room { growth, rewrites } = Room::of(space, PERCENT, spending, was_low);
        (growth / MB, rewrites / MB)
    }

    fn after_writes(unsettled: u64, spent: u64) -> Spending {
        Spending { unsettled: unsettled * MB, spent: spent * MB, ..Spending::default() }
    }

    #[test]
    fn a_third_of_the_space_above_the_mark_is_room_for_documents() {
        let quiet = Spending::default();
        assert_eq!(room(3_500, &quiet, false), (1_000, 1_083));
        assert_eq!(room(551, &quiet, false), (17, 100));
        assert_eq!(room(550, &quiet, false), (0, 100), "the largest document has no room");
        assert_eq!(room(500, &quiet, false), (0, 83));
        assert_eq!(room(0, &quiet, false), (0, 0));
    }

    #[test]
    fn unsettled_writes_are_subtracted_but_never_more_than_the_mark() {
        assert_eq!(room(3_500, &after_writes(100, 300), false).0, 900);
        assert_eq!(room(3_500, &after_writes(9_000, 9_000), false).0, 833);
    }

    #[test]
    fn a_disk_that_fills_faster_has_less_room() {
        assert_eq!(room(3_500, &after_writes(2, 20), false).0, (3_000 - 20) / 10);
        assert_eq!(room(3_500, &after_writes(2, 2_000), false).0, (3_000 - 50) / 25);
        assert_eq!(room(3_500, &after_writes(0, 2_000), false).0, 1_000, "somebody else's writes");
    }

    #[test]
    fn a_low_disk_must_rise_a_point_above_the_mark() {
        let quiet = Spending::default();
        assert_eq!(room(599, &quiet, true).0, 0);
        assert_eq!(room(599, &quiet, false).0, 33);
        assert_eq!(room(600, &quiet, true).0, 33);
    }

    #[test]
    fn writes_and_their_cost_fade_within_a_minute() {
        let (mut spending, start) = (Spending::default(), Instant::now());
        let mut after = |seconds, let_in, free| {
            spending.note(start + Duration::from_secs(seconds), let_in, Some(free));
            (spending.unsettled, spending.spent)
        };
        assert_eq!(after(0, 60_000, 900_000), (60_000, 0));
        assert_eq!(after(30, 60_000, 600_000), (30_000, 300_000));
        assert_eq!(after(45, 160_000, 700_000), (122_500, 225_000), "freed space is not spent");
        assert_eq!(after(200, 160_000, 700_000), (0, 0));
    }
}
