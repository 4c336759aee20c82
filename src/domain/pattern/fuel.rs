//! Limits the work of analysing patterns, so that the analysis cannot be attacked itself.

/// The work for all patterns of one request: 5 to 20 milliseconds.
const TANK: u32 = 8_000_000;

/// A budget of work. One unit is about the work of looking at one place of a pattern, 1 or 2 nanoseconds.
#[derive(Debug)]
pub(super) struct Fuel {
    left: u32,
}

/// The budget did not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Fuel {
    /// A full tank.
    pub(super) fn full() -> Self {
        Self { left: TANK }
    }

    /// Lends out a part, for work that has an alternative.
    pub(super) fn lend(&mut self, amount: u32) -> Self {
        let part = self.left.min(amount);
        self.left -= part;
        Self { left: part }
    }

    /// Returns what is left of a part.
    pub(super) fn take_back(&mut self, part: &Self) {
        self.left = self.left.saturating_add(part.left);
    }

    /// Spends an amount. Once it does not suffice, nothing is left.
    pub(super) fn burn(&mut self, amount: u32) -> Result<(), Exhausted> {
        let left = self.left.checked_sub(amount);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(Exhausted)
    }
}
