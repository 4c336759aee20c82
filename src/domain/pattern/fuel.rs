//! What looking at patterns may take, so that it cannot be an attack itself.

/// What all patterns of one request may take together: 5 to 20 milliseconds.
const TANK: u32 = 8_000_000;

/// A supply of work. One unit is about the work of looking at one place of a pattern, 1 or 2 nanoseconds.
#[derive(Debug)]
pub(super) struct Fuel {
    left: u32,
}

/// The work was more than there was fuel for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Fuel {
    /// A full tank.
    pub(super) fn full() -> Self {
        Self { left: TANK }
    }

    /// Takes a part of it out, for work that there is another way for.
    pub(super) fn lend(&mut self, amount: u32) -> Self {
        let part = self.left.min(amount);
        self.left -= part;
        Self { left: part }
    }

    /// Puts back what was not used.
    pub(super) fn take_back(&mut self, part: &Self) {
        self.left = self.left.saturating_add(part.left);
    }

    /// Takes what a piece of work needs. Once there was too little, nothing is left.
    pub(super) fn burn(&mut self, amount: u32) -> Result<(), Exhausted> {
        let left = self.left.checked_sub(amount);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or(Exhausted)
    }
}
