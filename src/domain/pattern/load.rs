//! The most ways that the engine can have in progress at once.
//!
//! A load describes one position in a text: for each place of the pattern, how many ways of how many searches have
//! reached it. The next character turns it into the next load. All loads that a text can produce are examined, the
//! heaviest first. A load that is nowhere heavier than another produces nothing that the other does not, and is
//! skipped.

use std::collections::{BTreeMap, BinaryHeap};

use super::alphabet::Kind;
use super::expr::Starts;
use super::fuel::{Exhausted, Fuel};
use super::machine::{Machine, Ways};

/// Entries before the places: the three kinds of starts.
const STARTS: usize = 3;

/// The fuel for examining loads one by one.
const EACH_FUEL: u32 = 1_000_000;

/// The ways at one position in a text: how many are at each place of the pattern, for places that have any, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Load {
    counts: Vec<(usize, u32)>,
    /// The steps that the engine takes from here to the next character.
    pub(super) steps: u32,
    /// A bit for each place that has ways, some shared: quickly shows that a load is not within another.
    signature: u64,
}

/// Why the examination of loads failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// This load takes more steps than allowed.
    TooHeavy(Load),
    /// There are too many loads.
    TooMany,
}

impl From<Exhausted> for Failure {
    fn from(Exhausted: Exhausted) -> Self {
        Self::TooMany
    }
}

/// A machine with the kinds of characters that it reads.
#[derive(Debug)]
pub(super) struct Walk<'m> {
    machine: &'m Machine,
    kinds: &'m [Kind],
    search: Starts,
}

impl<'m> Walk<'m> {
    pub(super) fn new(machine: &'m Machine, kinds: &'m [Kind], search: Starts) -> Self {
        Self { machine, kinds, search }
    }

    /// The load at the beginning of the text.
    pub(super) fn first(&self) -> Load {
        self.load(vec![(0, 1)])
    }

    /// The heaviest load that a text can produce, or an upper bound where there are too many to examine.
    pub(super) fn heaviest(&self, most: u32, fuel: &mut Fuel) -> Result<u32, Failure> {
        let mut part = fuel.lend(EACH_FUEL);
        let found = self.heaviest_of_each(most, &mut part);
        fuel.take_back(&part);
        match found {
            Err(Failure::TooMany) => self.heaviest_of_joined(most, fuel),
            found => found,
        }
    }

    /// Examines each load that is not within another.
    fn heaviest_of_each(&self, most: u32, fuel: &mut Fuel) -> Result<u32, Failure> {
        let first = self.first();
        let mut heaviest = first.allowed(most)?;
        let mut open = BinaryHeap::from([(first.steps, 0)]);
        let mut kept = vec![first];
        while let Some((_, index)) = open.pop() {
            let Some(load) = kept.get(index).cloned() else { continue };
            if is_within_any(&load, kept.get(index + 1..), fuel)? {
                continue;
            }
            for kind in self.kinds {
                let next = self.next(&load, kind, fuel)?;
                heaviest = next.allowed(most)?.max(heaviest);
                if !is_within_any(&next, Some(&kept), fuel)? {
                    open.push((next.steps, kept.len()));
                    kept.push(next);
                }
            }
        }
        Ok(heaviest)
    }

    /// Examines one load per kind of character: the smallest that contains all loads after such a character.
    fn heaviest_of_joined(&self, most: u32, fuel: &mut Fuel) -> Result<u32, Failure> {
        let mut joined = vec![Load::default(); self.kinds.len()];
        let mut open = vec![self.first()];
        let mut heaviest = 0;
        while let Some(load) = open.pop() {
            heaviest = load.steps.max(heaviest);
            for (kind, known) in self.kinds.iter().zip(&mut joined) {
                let next = self.next(&load, kind, fuel)?;
                if !next.is_within(known) {
                    *known = self.join(known, &next);
                    known.allowed(most).map_err(|_too_heavy| Failure::TooMany)?;
                    open.push(known.clone());
                }
            }
        }
        Ok(heaviest)
    }

    /// The smallest load that contains both.
    fn join(&self, one: &Load, other: &Load) -> Load {
        let mut counts: BTreeMap<usize, u32> = one.counts.iter().copied().collect();
        for &(place, count) in &other.counts {
            let known = counts.entry(place).or_default();
            *known = count.max(*known);
        }
        self.load(counts.into_iter().collect())
    }

    /// The load after another character of this kind.
    pub(super) fn next(&self, load: &Load, kind: &Kind, fuel: &mut Fuel) -> Result<Load, Exhausted> {
        let mut arrived = vec![0_u32; self.machine.places.len()];
        for &(from, count) in &load.counts {
            let to = &self.ways(from).to;
            fuel.burn(u32::try_from(to.len()).unwrap_or(u32::MAX).saturating_add(1))?;
            for &(place, ways) in to {
                if let Some(arrived) = arrived.get_mut(place)
                    && self.reads(place, kind)
                {
                    *arrived = arrived.saturating_add(count.saturating_mul(ways));
                }
            }
        }
        fuel.burn(u32::try_from(arrived.len() / 4).unwrap_or(u32::MAX))?;
        let started = match (self.search, kind.is_line_feed()) {
            (Starts::Everywhere | Starts::Lines, true) => Some((1, 1)),
            (Starts::Everywhere, false) => Some((2, 1)),
            (Starts::Lines, false) | (Starts::Once, _) => None,
        };
        let there = arrived.into_iter().enumerate().filter(|(_, count)| *count > 0);
        let there = there.map(|(place, count)| (STARTS + place, if self.is_end(place) { 1 } else { count }));
        Ok(self.load(started.into_iter().chain(there).collect()))
    }

    /// The place of the pattern that takes most of a load's steps.
    pub(super) fn worst_place(&self, load: &Load) -> Option<usize> {
        let weight = |(place, count): &(usize, u32)| count.saturating_mul(self.ways(*place).steps);
        load.counts
            .iter()
            .filter(|(place, _)| *place >= STARTS)
            .max_by_key(|entry| weight(entry))
            .map(|(place, _)| place - STARTS)
    }

    /// Whether a way has reached a place where the search ends.
    #[cfg(test)]
    pub(super) fn has_end(&self, load: &Load) -> bool {
        load.counts.iter().any(|(place, _)| self.ways(*place).is_end)
    }

    fn load(&self, counts: Vec<(usize, u32)>) -> Load {
        let steps = counts
            .iter()
            .fold(0_u32, |steps, (place, count)| steps.saturating_add(count.saturating_mul(self.ways(*place).steps)));
        let signature = counts.iter().fold(0, |bits, (place, _)| bits | 1 << (place % 64));
        Load { counts, steps, signature }
    }

    fn ways(&self, place: usize) -> &'m Ways {
        let start = self.machine.starts.get(place);
        let after = || self.machine.places.get(place - STARTS).map(|place| &place.ways);
        start.or_else(after).unwrap_or(&NONE)
    }

    fn reads(&self, place: usize, kind: &Kind) -> bool {
        self.machine.places.get(place).is_some_and(|place| kind.is_in.get(place.set) == Some(&true))
    }

    /// Whether the first way to reach this place ends the search, so there is never more than one.
    fn is_end(&self, place: usize) -> bool {
        self.machine.places.get(place).is_some_and(|place| place.ways.is_end)
    }
}

/// No ways.
static NONE: Ways = Ways { to: Vec::new(), steps: 0, is_end: false };

/// Whether it is within one of the others.
fn is_within_any(load: &Load, others: Option<&[Load]>, fuel: &mut Fuel) -> Result<bool, Exhausted> {
    let others = others.unwrap_or_default();
    fuel.burn(u32::try_from(others.len()).unwrap_or(u32::MAX))?;
    for other in others.iter().filter(|other| load.may_be_within(other)) {
        fuel.burn(u32::try_from(load.counts.len()).unwrap_or(u32::MAX))?;
        if load.is_within(other) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Load {
    /// The steps, unless they exceed the limit.
    fn allowed(&self, most: u32) -> Result<u32, Failure> {
        if self.steps > most { Err(Failure::TooHeavy(self.clone())) } else { Ok(self.steps) }
    }

    /// A quick check: false if it is certainly not within the other.
    fn may_be_within(&self, other: &Self) -> bool {
        self.signature & !other.signature == 0 && self.steps <= other.steps
    }

    /// Whether it is nowhere heavier than the other.
    fn is_within(&self, other: &Self) -> bool {
        let mut others = other.counts.iter();
        self.counts.iter().all(|(place, count)| {
            others.find(|(other, _)| other >= place).is_some_and(|(other, more)| other == place && more >= count)
        })
    }
}
