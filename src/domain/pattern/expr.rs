//! A pattern as the engine walks through it, reduced to what decides which ways it tries.

use std::ops::Range;

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    /// Matches the empty text.
    Empty,
    /// One character of a set, by the set's number.
    Char(usize),
    /// Checks the position without moving.
    Look(Look),
    /// Alternatives, in the brackets of a group or at the top.
    Group(Vec<Expr>),
    /// Parts in sequence.
    Sequence(Vec<Expr>),
    /// A part that is repeated.
    Repeat(Box<Repeat>),
}

/// A repeated part and how often it is repeated.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    pub(super) inner: Expr,
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    /// Its byte range in the pattern, or `None` if it does not come from there.
    pub(super) place: Option<Range<usize>>,
    /// Where a search begins if the pattern begins with this repeat.
    pub(super) starts: Starts,
}

/// A condition on a position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At the beginning of the text.
    TextStart,
    /// At the beginning of a line.
    LineStart,
    /// Another condition, which may hold or not.
    Other,
}

/// Where the engine starts searches.
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
    /// Whether it can match the empty text.
    pub(super) fn can_be_empty(&self) -> bool {
        match self {
            Self::Empty | Self::Look(_) => true,
            Self::Char(_) => false,
            Self::Group(alternatives) => alternatives.iter().any(Self::can_be_empty),
            Self::Sequence(parts) => parts.iter().all(Self::can_be_empty),
            Self::Repeat(repeat) => repeat.min == 0 || repeat.inner.can_be_empty(),
        }
    }

    /// Where PCRE starts a search: a pattern with `^` or `.*` at the start of each alternative is tried at few
    /// positions only (pcrepattern(3) under "Circumflex and dollar", pcreperform(3)).
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
