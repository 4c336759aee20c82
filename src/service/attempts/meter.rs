//! One rate limit per key, with a bounded number of keys.
//!
//! A leaky bucket: an attempt fills its key's bucket, and a full bucket leaks away within a minute (the generic cell rate
//! algorithm of ITU-T I.371). All there is to store of a key is when its bucket will be empty, and empty ones need no entry.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use parking_lot::Mutex;

/// The time in which a full bucket leaks away.
const MINUTE: Duration = Duration::from_mins(1);

/// The most keys, about a megabyte. Only a flood from as many networks exceeds it; then the emptiest buckets are forgotten,
/// which are the flood's own. To have a full bucket forgotten, it would have to fill as many others just as far within the
/// minute in which that bucket empties anyway.
const MAX_KEYS: usize = 50_000;

/// The empty buckets are forgotten each time after this many attempts.
const SWEEP_EVERY: u32 = 1_000;

/// Limits attempts per minute and key. Keys are hashes, so that no email stays in memory.
#[derive(Debug)]
pub(super) struct Meter {
    /// The time in which one attempt leaks away.
    each: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each bucket will be empty.
    buckets: HashMap<u64, Duration>,
    attempts: u32,
}

impl Meter {
    /// Allows `attempts` per minute.
    pub(super) fn per_minute(attempts: u64) -> Self {
        let nanoseconds = MINUTE.as_nanos() / u128::from(attempts.max(1));
        let each = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        Self { each, state: Mutex::default() }
    }

    /// Counts an attempt if there is room for it; the error says how long until there is.
    pub(super) fn count(&self, key: u64, now: Duration) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let filled = self.one_more(&state, key, now);
        fits(filled, now)?;
        state.set(key, filled, now);
        Ok(())
    }

    /// Counts an attempt even if there is no room for it. Hammering keeps the bucket full, so only a pause helps; the error
    /// says how long.
    pub(super) fn count_anyway(&self, key: u64, now: Duration) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let filled = self.one_more(&state, key, now);
        state.set(key, filled.min(now + MINUTE), now);
        fits(filled, now).map_err(|_| self.each)
    }

    /// Whether there is room for an attempt. Counts nothing.
    pub(super) fn look(&self, key: u64, now: Duration) -> Result<(), Duration> {
        fits(self.one_more(&self.state.lock(), key, now), now)
    }

    /// When the bucket will be empty after one more attempt.
    fn one_more(&self, state: &State, key: u64, now: Duration) -> Duration {
        state.buckets.get(&key).map_or(now, |empty_at| *empty_at.max(&now)) + self.each
    }
}

/// Whether a bucket holds no more than it may; the error says how long until enough has leaked.
fn fits(empty_at: Duration, now: Duration) -> Result<(), Duration> {
    let over = empty_at.saturating_sub(now + MINUTE);
    if over.is_zero() { Ok(()) } else { Err(over) }
}

impl State {
    fn set(&mut self, key: u64, empty_at: Duration, now: Duration) {
        self.attempts = self.attempts.wrapping_add(1);
        if self.attempts.is_multiple_of(SWEEP_EVERY) {
            self.forget_until(now);
        }
        let is_full = self.buckets.len() >= MAX_KEYS;
        match self.buckets.entry(key) {
            Entry::Occupied(mut bucket) => *bucket.get_mut() = empty_at,
            Entry::Vacant(place) if !is_full => {
                place.insert(empty_at);
            }
            Entry::Vacant(_) => {
                self.make_room(now);
                self.buckets.insert(key, empty_at);
            }
        }
    }

    /// Forgets the empty buckets, and if that is not enough, the emptier half.
    fn make_room(&mut self, now: Duration) {
        self.forget_until(now);
        if self.buckets.len() >= MAX_KEYS {
            let mut ends: Vec<Duration> = self.buckets.values().copied().collect();
            let (_, median, _) = ends.select_nth_unstable(MAX_KEYS / 2);
            let median = *median;
            self.forget_until(median);
        }
    }

    fn forget_until(&mut self, time: Duration) {
        self.buckets.retain(|_, empty_at| *empty_at > time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_full_bucket_takes_another_attempt_when_one_has_leaked_away() {
        let meter = Meter::per_minute(3);
        for _ in 0..3 {
            assert_eq!(meter.count(1, START), Ok(()));
        }
        assert_eq!(meter.count(1, START), Err(Duration::from_secs(20)));
        assert_eq!(meter.look(1, START), Err(Duration::from_secs(20)));
        assert_eq!((meter.look(2, START), meter.count(2, START)), (Ok(()), Ok(())));
        let later = START + Duration::from_secs(20);
        assert_eq!(meter.look(1, later), Ok(()), "looking counts nothing");
        assert_eq!(meter.count(1, later), Ok(()));
        assert!(meter.count(1, later).is_err());
    }

    #[test]
    fn hammering_is_refused_until_it_pauses() {
        let meter = Meter::per_minute(3);
        let tries = |seconds: f64| meter.count_anyway(1, START + Duration::from_secs_f64(seconds));
        assert_eq!((0..3).flat_map(|_| tries(0.0)).count(), 3);
        for second in 1..100 {
            assert_eq!(tries(f64::from(second)), Err(Duration::from_secs(20)));
        }
        assert_eq!(tries(119.0), Ok(()));
    }

    #[test]
    fn the_highest_rate_is_no_limit_and_the_lowest_is_one_a_minute() {
        let meter = Meter::per_minute(u64::from(u32::MAX) * 100);
        assert!((0..10_000).all(|_| meter.count(1, START).is_ok()));
        let meter = Meter::per_minute(1);
        assert_eq!((meter.count(1, START), meter.count(1, START)), (Ok(()), Err(MINUTE)));
    }

    #[test]
    fn empty_buckets_are_forgotten() {
        let meter = Meter::per_minute(1);
        for key in 0..500 {
            assert_eq!(meter.count(key, START), Ok(()));
        }
        assert_eq!(meter.state.lock().buckets.len(), 500);
        for _ in 500..SWEEP_EVERY {
            let _all_but_the_first_refused = meter.count_anyway(1, START + MINUTE);
        }
        assert_eq!(meter.state.lock().buckets.len(), 1);
    }

    #[test]
    fn a_flood_of_keys_neither_grows_the_table_nor_frees_a_full_bucket() {
        let meter = Meter::per_minute(10);
        for _ in 0..10 {
            assert_eq!(meter.count(0, START), Ok(()));
        }
        for key in 1..200_000 {
            assert_eq!(meter.count(key, START + Duration::from_micros(key)), Ok(()));
            assert!(meter.state.lock().buckets.len() <= MAX_KEYS);
        }
        assert!(meter.count(0, START + Duration::from_millis(200)).is_err());
    }
}
