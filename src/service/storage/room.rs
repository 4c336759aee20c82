//! How much may still be written, by how much is free and by what writing was seen to take. Asks nobody.

use std::time::{Duration, Instant};

use crate::domain::document::MAX_DOCUMENT_BYTES;
use crate::repo::storage::DiskSpace;

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
/// How long it takes at least until all that was written shows on the disk: MongoDB's pause between two checkpoints
/// (`storage.syncPeriodSecs`).
const SETTLED_AFTER: Duration = Duration::from_mins(1);

/// What was written and what it took, as far as looks at the disk could tell.
#[derive(Debug, Default)]
pub(super) struct Spending {
    /// When the last look began.
    last: Option<Instant>,
    /// How many bytes of documents had been let in then.
    let_in: u64,
    /// How many bytes of documents may not show on the disk yet.
    unsettled: u64,
    /// How many bytes of the disk were taken in the same time.
    spent: u64,
    /// How many were free then.
    free_bytes: Option<u64>,
}

/// How many bytes of documents may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// By what adds data.
    pub(super) growth: u64,
    /// By what adds nothing and is written anew all the same.
    pub(super) rewrites: u64,
}

impl Spending {
    /// Notes what was written since the look before, and what it took. Both fade away in the time in which all that was written
    /// comes to show on the disk.
    pub(super) fn note(&mut self, at: Instant, let_in: u64, free_bytes: Option<u64>) {
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
}

impl Room {
    /// What a disk has, on which a part must stay free and some bytes of documents may not show yet.
    ///
    /// These count once more, but for no more than the mark has itself: MongoDB writes most of them long before it must.
    /// A disk with no room for the largest write is low. What was low must have a point more than the mark, so that it does not
    /// come and go. Rewrites have the upper half of what is kept free.
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
    fn what_is_above_the_mark_may_be_filled_by_a_third() {
        let quiet = Spending::default();
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
        let quiet = Spending::default();
        assert_eq!(room(599, &quiet, true).0, 0);
        assert_eq!(room(599, &quiet, false).0, 33);
        assert_eq!(room(600, &quiet, true).0, 33);
    }

    #[test]
    fn what_was_written_and_what_it_took_fade_away_within_a_minute() {
        let (mut spending, start) = (Spending::default(), Instant::now());
        let mut after = |seconds, let_in, free| {
            spending.note(start + Duration::from_secs(seconds), let_in, Some(free));
            (spending.unsettled, spending.spent)
        };
        assert_eq!(after(0, 60_000, 900_000), (60_000, 0));
        assert_eq!(after(30, 60_000, 600_000), (30_000, 300_000));
        assert_eq!(after(45, 160_000, 700_000), (122_500, 225_000), "what was freed is not spent");
        assert_eq!(after(200, 160_000, 700_000), (0, 0));
    }
}
