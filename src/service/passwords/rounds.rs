//! A round-robin queue: each owner gets one turn per round, however many jobs it has waiting.
//!
//! So an owner's first job waits for at most one turn of each other owner, its second for at most two.

use std::collections::{HashMap, VecDeque};

use crate::shares::Owner;

#[derive(Debug)]
pub(super) struct Rounds<K: Owner, J> {
    /// The owners with waiting jobs, each once, in the order of their turns.
    turns: VecDeque<K>,
    lines: HashMap<K, VecDeque<J>>,
}

impl<K: Owner, J> Rounds<K, J> {
    pub(super) fn new() -> Self {
        Self { turns: VecDeque::new(), lines: HashMap::new() }
    }

    /// Puts a job at the end of its owner's line.
    pub(super) fn push(&mut self, owner: K, job: J) {
        let line = self.lines.entry(owner).or_insert_with(|| {
            self.turns.push_back(owner);
            VecDeque::new()
        });
        line.push_back(job);
    }

    /// The next job. Abandoned jobs are dropped on the way and cost their owner no turn.
    pub(super) fn next(&mut self, is_wanted: impl Fn(&J) -> bool) -> Option<J> {
        while let Some(owner) = self.turns.pop_front() {
            let Some(line) = self.lines.get_mut(&owner) else { continue };
            let job = std::iter::from_fn(|| line.pop_front()).find(&is_wanted);
            if line.is_empty() {
                self.lines.remove(&owner);
            } else {
                self.turns.push_back(owner);
            }
            if job.is_some() {
                return job;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_owner_with_many_jobs_takes_turns_with_the_others() {
        let mut rounds = Rounds::new();
        for job in ["a1", "a2", "a3", "b1", "c1", "b2"] {
            rounds.push(job.chars().next().expect("an owner"), job);
        }
        let order: Vec<_> = std::iter::from_fn(|| rounds.next(|_| true)).collect();
        assert_eq!(order, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn abandoned_jobs_cost_no_turn() {
        let mut rounds = Rounds::new();
        for job in ["a1-", "a2", "b1-", "b2-", "c1", "a3"] {
            rounds.push(job.chars().next().expect("an owner"), job);
        }
        let order: Vec<_> = std::iter::from_fn(|| rounds.next(|job| !job.ends_with('-'))).collect();
        assert_eq!(order, ["a2", "c1", "a3"]);
        assert!(rounds.lines.is_empty() && rounds.turns.is_empty());
    }

    /// A waiting job: how many of its owner's were ahead of it, and the turns of each other owner since.
    struct Waiting {
        owner: u8,
        number: usize,
        before: usize,
        others: HashMap<u8, usize>,
    }

    proptest! {
        #[test]
        fn each_own_turn_costs_at_most_one_turn_of_each_other_owner(
            steps in prop::collection::vec(prop::option::weighted(0.6, 0_u8..5), 0..300),
        ) {
            let (mut rounds, mut waiting) = (Rounds::new(), Vec::<Waiting>::new());
            for (number, step) in steps.into_iter().enumerate() {
                if let Some(owner) = step {
                    let before = waiting.iter().filter(|other| other.owner == owner).count();
                    waiting.push(Waiting { owner, number, before, others: HashMap::new() });
                    rounds.push(owner, (owner, number));
                    continue;
                }
                let next = rounds.next(|_| true);
                prop_assert_eq!(next.is_none(), waiting.is_empty());
                let Some((owner, number)) = next else { continue };
                let place = waiting.iter().position(|one| one.number == number).expect("it waited");
                let done = waiting.remove(place);
                prop_assert!(done.others.values().all(|turns| *turns <= done.before + 1));
                prop_assert!(waiting.iter().all(|one| one.owner != owner || one.number > number), "in order");
                for other in waiting.iter_mut().filter(|one| one.owner != owner) {
                    *other.others.entry(owner).or_default() += 1;
                }
            }
        }
    }
}
