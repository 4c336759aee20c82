//! The one maker of identities: of organizations, admins and changes, of documents that come without one, and of revisions.

use bson::oid::ObjectId;
use uuid::Uuid;

/// How many bytes of an identity are its time.
const TIME_BYTES: usize = 4;

/// An identity that nobody has: the present second, and 64 random bits.
///
/// MongoDB's own kind ends in a counter of the whole process, so two identities told how much everybody else had written
/// between them, and which server had. These tell the second alone, by which they still sort. Among 10,000 in one second, two
/// are the same once in 10,000 years of such seconds, and then one write is refused by the index over `_id`.
///
/// The random bits are those of `uuid` (with `fast-rng`: `ChaCha`, seeded by the system, one for each thread): an identity costs
/// 44 ns with them, as one with a counter does, and 370 ns with the generator of `aws-lc-rs`.
#[must_use]
pub fn new_id() -> ObjectId {
    #[expect(clippy::disallowed_methods, reason = "for its first four bytes alone, the time")]
    let mut bytes = ObjectId::new().bytes();
    // Six bits of a UUID are not random. They are in different places of its halves, so that together none is left.
    let (high, low) = Uuid::new_v4().as_u64_pair();
    let random = (high ^ low).to_be_bytes();
    bytes.iter_mut().skip(TIME_BYTES).zip(random).for_each(|(byte, random)| *byte = random);
    ObjectId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MADE: usize = 4_000;

    #[test]
    fn no_two_are_the_same_and_they_sort_by_the_second() {
        let made: Vec<ObjectId> = (0..MADE).map(|_| new_id()).collect();
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), MADE);
        let seconds = |id: &ObjectId| id.timestamp().timestamp_millis() / 1_000;
        assert!(made.is_sorted_by_key(seconds), "time comes first");
        #[expect(clippy::disallowed_methods, reason = "what the time is compared with")]
        let now = ObjectId::new();
        assert!((0..=2).contains(&(seconds(&now) - seconds(&made[MADE - 1]))));
    }

    #[test]
    fn everything_but_the_time_is_random() {
        let made: Vec<[u8; 12]> = (0..MADE).map(|_| new_id().bytes()).collect();
        for bit in 32..96 {
            let set = made.iter().filter(|id| id[bit / 8] >> (7 - bit % 8) & 1 == 1).count();
            // Half of them, and eight standard deviations to either side.
            assert!(set.abs_diff(MADE / 2) < 253, "bit {bit} is set in {set}");
        }
        let tail = |id: &[u8; 12]| u64::from_be_bytes(id[4..].try_into().expect("eight bytes"));
        let near = made.windows(2).filter(|pair| tail(&pair[0]).abs_diff(tail(&pair[1])) < 1 << 40).count();
        assert!(near < 10, "{near} follow each other closely");
    }
}
