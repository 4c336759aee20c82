//! Character sets as PCRE has them in MongoDB: UTF-8 without Unicode properties for `\d`, `\w`, `\s` and `[[:…:]]`,
//! which are ASCII, and with Unicode's simple case folding.
//!
//! Unicode versions differ in details, as do property names. So a set has two bounds: what it *may* hold, and what it
//! *must* hold. The analysis uses what it may hold: a set that is too large lets the engine try more than it really
//! does, never less.

use regex_syntax::ast::{ClassAsciiKind, ClassPerlKind};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// The last character that PCRE looks up in a table.
const LAST_IN_TABLE: char = '\u{ff}';

/// A set, by its two bounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chars {
    may: ClassUnicode,
    must: ClassUnicode,
    /// The most entries that PCRE compares a character with, besides the table of the first 256.
    entries: usize,
}

impl Chars {
    /// No character.
    pub(super) fn none() -> Self {
        Self::exactly(ClassUnicode::empty())
    }

    /// Any character.
    pub(super) fn any() -> Self {
        Self::of_ranges(&[('\0', char::MAX)])
    }

    /// What `.` matches without the option s. A MongoDB built for other line ends excludes more.
    pub(super) fn all_but_line_feed() -> Self {
        Self::of_ranges(&[('\0', '\t'), ('\u{b}', char::MAX)])
    }

    /// The characters from `first` to `last`; with the option i, also those that differ only in case.
    pub(super) fn range(first: char, last: char, ignores_case: bool) -> Self {
        let plain = class(&[(first, last)]);
        if !ignores_case {
            return Self { entries: usize::from(last > LAST_IN_TABLE), ..Self::exactly(plain) };
        }
        let mut may = plain.clone();
        if may.try_case_fold_simple().is_err() {
            return Self::any();
        }
        let mut listed = may.clone();
        listed.difference(&plain);
        listed.difference(&class(&[('\0', LAST_IN_TABLE)]));
        // PCRE may list each of the others separately.
        let entries = count(&listed) + usize::from(last > LAST_IN_TABLE);
        Self { may, must: with_ascii_cases(plain), entries }
    }

    /// `\d`, `\s`, `\w`.
    pub(super) fn perl(kind: &ClassPerlKind) -> Self {
        Self::of_ranges(match kind {
            ClassPerlKind::Digit => &[('0', '9')],
            ClassPerlKind::Space => &[('\t', '\r'), (' ', ' ')],
            ClassPerlKind::Word => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        })
    }

    /// `[:alpha:]` and the like. With the option i, upper and lower mean both.
    pub(super) fn posix(kind: &ClassAsciiKind, ignores_case: bool) -> Self {
        const CASED: &[(char, char)] = &[('A', 'Z'), ('a', 'z')];
        Self::of_ranges(match kind {
            ClassAsciiKind::Alnum => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
            ClassAsciiKind::Alpha => CASED,
            ClassAsciiKind::Lower | ClassAsciiKind::Upper if ignores_case => CASED,
            ClassAsciiKind::Lower => &[('a', 'z')],
            ClassAsciiKind::Upper => &[('A', 'Z')],
            ClassAsciiKind::Ascii => &[('\0', '\x7f')],
            ClassAsciiKind::Blank => &[('\t', '\t'), (' ', ' ')],
            ClassAsciiKind::Cntrl => &[('\0', '\x1f'), ('\x7f', '\x7f')],
            ClassAsciiKind::Digit => &[('0', '9')],
            ClassAsciiKind::Graph => &[('!', '~')],
            ClassAsciiKind::Print => &[(' ', '~')],
            ClassAsciiKind::Punct => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
            ClassAsciiKind::Space => &[('\t', '\r'), (' ', ' ')],
            ClassAsciiKind::Word => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
            ClassAsciiKind::Xdigit => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        })
    }

    /// `\p{name}`: exact in ASCII for the common general categories, and anything beyond ASCII.
    pub(super) fn property(name: &str, ignores_case: bool) -> Self {
        let Some(ascii) = ascii_of_category(name) else {
            return Self { may: class(&[('\0', char::MAX)]), must: ClassUnicode::empty(), entries: 1 };
        };
        let must = class(ascii);
        let mut may = if ignores_case { with_ascii_cases(must.clone()) } else { must.clone() };
        may.push(ClassUnicodeRange::new('\u{80}', char::MAX));
        Self { may, must, entries: 1 }
    }

    /// All other characters.
    pub(super) fn negated(self) -> Self {
        let (mut may, mut must) = (self.must, self.may);
        may.negate();
        must.negate();
        Self { may, must, entries: self.entries }
    }

    /// Adds another set.
    pub(super) fn extend(&mut self, others: &Self) {
        self.may.union(&others.may);
        self.must.union(&others.must);
        self.entries = self.entries.saturating_add(others.entries);
    }

    /// What it may hold.
    pub(super) fn may_hold(&self) -> &ClassUnicode {
        &self.may
    }

    /// The steps to look up one character.
    pub(super) fn steps(&self) -> u32 {
        u32::try_from(self.entries).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn of_ranges(ranges: &[(char, char)]) -> Self {
        Self::exactly(class(ranges))
    }

    fn exactly(set: ClassUnicode) -> Self {
        Self { may: set.clone(), must: set, entries: 0 }
    }
}

fn class(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|&(first, last)| ClassUnicodeRange::new(first, last)))
}

/// How many characters a set has.
fn count(set: &ClassUnicode) -> usize {
    set.ranges().iter().map(ClassUnicodeRange::len).sum()
}

/// Adds each ASCII letter's other case.
fn with_ascii_cases(mut set: ClassUnicode) -> ClassUnicode {
    for (first, last, other) in [('A', 'Z', 'a'), ('a', 'z', 'A')] {
        let mut letters = class(&[(first, last)]);
        letters.intersect(&set);
        let shifted = |c: char| char::from_u32(u32::from(c) - u32::from(first) + u32::from(other)).unwrap_or(c);
        let others = letters.ranges().iter().map(|range| (shifted(range.start()), shifted(range.end())));
        set.union(&class(&others.collect::<Vec<_>>()));
    }
    set
}

/// The ASCII characters in a Unicode general category.
fn ascii_of_category(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "L" | "L&" => &[('A', 'Z'), ('a', 'z')],
        "Lu" => &[('A', 'Z')],
        "Ll" => &[('a', 'z')],
        "N" | "Nd" => &[('0', '9')],
        #[rustfmt::skip]
        "P" => &[
            ('!', '#'), ('%', '*'), (',', '/'), (':', ';'), ('?', '@'), ('[', ']'), ('_', '_'), ('{', '{'), ('}', '}'),
        ],
        "S" => &[('$', '$'), ('+', '+'), ('<', '>'), ('^', '^'), ('`', '`'), ('|', '|'), ('~', '~')],
        "Z" | "Zs" => &[(' ', ' ')],
        "C" | "Cc" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "Lt" | "Lm" | "Lo" | "M" | "Mn" | "Mc" | "Me" | "Nl" | "No" => &[],
        _ => return None,
    })
}
