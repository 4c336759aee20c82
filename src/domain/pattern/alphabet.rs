//! The kinds of characters that a pattern distinguishes: the analysis reads only one of each kind.

use std::collections::HashSet;

use super::chars::Chars;
use super::fuel::{Exhausted, Fuel};

/// Characters that belong to the same sets of a pattern.
#[derive(Debug)]
pub(super) struct Kind {
    /// One of them.
    pub(super) sample: char,
    /// Whether they belong to each set, by the set's number.
    pub(super) is_in: Vec<bool>,
}

impl Kind {
    /// Whether it is the line feed, which is its own kind.
    pub(super) fn is_line_feed(&self) -> bool {
        self.sample == '\n'
    }
}

/// All kinds of characters that these sets distinguish.
pub(super) fn kinds(sets: &[Chars], fuel: &mut Fuel) -> Result<Vec<Kind>, Exhausted> {
    let mut known = HashSet::new();
    let mut kinds = Vec::new();
    let mut is_in = vec![false; sets.len()];
    let mut changes = changes(sets).into_iter().peekable();
    while let Some((sample, set)) = changes.next() {
        fuel.burn(1)?;
        if let Some(is_in) = set.and_then(|set| is_in.get_mut(set)) {
            *is_in = !*is_in;
        }
        // Wait for the last change at this character.
        if changes.peek().is_some_and(|(next, _)| *next == sample) {
            continue;
        }
        fuel.burn(u32::try_from(sets.len()).unwrap_or(u32::MAX))?;
        if known.insert((sample == '\n', is_in.clone())) {
            kinds.push(Kind { sample, is_in: is_in.clone() });
        }
    }
    Ok(kinds)
}

/// The characters at which a set begins or ends, with the set's number, in order.
fn changes(sets: &[Chars]) -> Vec<(char, Option<usize>)> {
    let mut changes = vec![('\0', None), ('\n', None), ('\u{b}', None)];
    for (number, set) in sets.iter().enumerate() {
        for range in set.may_hold().ranges() {
            changes.push((range.start(), Some(number)));
            changes.extend(after(range.end()).map(|end| (end, Some(number))));
        }
    }
    changes.sort_unstable();
    changes
}

/// The next character.
fn after(c: char) -> Option<char> {
    (c..=char::MAX).nth(1)
}
