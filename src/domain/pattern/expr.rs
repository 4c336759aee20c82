//! A pattern as the engine walks through it: only what decides which ways it tries.

use std::ops::Range;

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// Matches without looking at anything.
    Empty,
    /// One character out of a set, by its number.
    Char(usize),
    /// Looks at the place, and moves nowhere.
    Look(Look),
    /// Alternatives, in the brackets of a group or at the top.
    Group(Vec<Expr>),
    /// One after the other.
    Sequence(Vec<Expr>),
    /// A part that is repeated.
    Repeat(Box<Repeat>),
}

/// What is repeated, and how often.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    pub(super) inner: Expr,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    /// Where it stands in the pattern, in bytes, unless it is none of its parts.
    pub(super) place: Option<Range<usize>>,
    /// Where a search begins if the pattern begins with this.
    pub(super) starts: Starts,
}

/// What is asked of a place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// That it is the text's beginning.
    TextStart,
    /// That it is a line's beginning.
    LineStart,
    /// Something else, which may be so or not.
    Other,
}

/// Where the engine begins to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Starts {
    /// At each character.
    Everywhere,
    /// At the beginning of the text, and after each line feed.
    Lines,
    /// At the beginning of the text.
    Once,
}

impl Expr {
    /// Whether it can match without a character.
    pub(super) fn can_be_empty(&self) -> bool {
        match self {
            Self::Empty | Self::Look(_) => true,
            Self::Char(_) => false,
            Self::Group(alternatives) => alternatives.iter().any(Self::can_be_empty),
            Self::Sequence(parts) => parts.iter().all(Self::can_be_empty),
            Self::Repeat(repeat) => repeat.min == 0 || repeat.inner.can_be_empty(),
        }
    }

    /// Where PCRE begins a search for it: a pattern that begins with `^` or with `.*` in each alternative is tried at few
    /// places only (pcrepattern(3) under "Circumflex and dollar", pcreperform(3)).
    pub(super) fn starts(&self) -> Starts {
        match self {
            Self::Look(Look::TextStart) => Starts::Once,
            Self::Repeat(repeat) => repeat.starts,
            Self::Sequence(parts) => {
                parts.iter().find(|part| !matches!(part, Self::Empty)).map_or(Starts::Everywhere, Self::starts)
            }
            Self::Group(alternatives) => {
                let mut each = alternatives.iter().map(Self::starts);
                let first = each.next().unwrap_or(Starts::Everywhere);
                if each.all(|starts| starts == first) { first } else { Starts::Everywhere }
            }
            Self::Empty | Self::Char(_) | Self::Look(_) => Starts::Everywhere,
        }
    }
}
