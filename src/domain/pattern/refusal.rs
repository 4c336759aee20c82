//! Explains why a pattern is refused: what, where, and what to write instead.

use std::ops::Range;

use regex_syntax::ast::{Error, ErrorKind};

use crate::domain::Invalid;

/// The most characters of a pattern that a refusal quotes.
const QUOTED_MAX: usize = 40;

/// The beginnings of unsupported constructs, and what to use instead.
const CONSTRUCTS: [(&str, &str); 18] = [
    ("(?=", "looks ahead, which is not supported: ask for several things with several patterns ($and, allOf)"),
    ("(?!", "looks ahead, which is not supported: exclude a match with a pattern of its own ($not, not)"),
    ("(?<=", "looks behind, which is not supported: match what comes before as well"),
    ("(?<!", "looks behind, which is not supported: match what comes before as well, like (^|[^a])b"),
    ("(?>", "is an atomic group, which is not supported: write (?:"),
    ("(?|", "is a group that resets numbers, which is not supported: write (?:"),
    ("(?#", "is a comment, which is not supported: leave it out"),
    ("(?(", "is a condition, which is not supported: write alternatives"),
    ("(?R", "repeats the pattern inside of itself, which is not supported: write it out"),
    ("(?&", "repeats a group's pattern, which is not supported: write it out"),
    ("(?P>", "repeats a group's pattern, which is not supported: write it out"),
    ("(?P=", "refers back to a group, which is not supported: write out what may be repeated"),
    ("(*", "is an order to the engine, which is not supported: leave it out"),
    ("\\Q", "is not supported: put a backslash before each special character"),
    ("\\E", "is not supported: put a backslash before each special character"),
    ("\\Z", "is not supported: write $"),
    ("\\<", "is not supported: write \\b for a word's edge, and < for the character"),
    ("\\>", "is not supported: write \\b for a word's edge, and > for the character"),
];

/// What to use instead of an escape, by its letter.
fn advice_on_escape(letter: char) -> &'static str {
    match letter {
        '0'..='9' | 'g' | 'k' => {
            "refers back to a group or is an octal number: write out what may be repeated, or \\x41"
        }
        'u' | 'U' | 'N' | 'o' | 'c' | 'e' => "is not supported: name a character by its number, like \\x{e9}",
        'h' => "is not supported: write [\\t ]",
        'v' | 'R' => "is not supported: write [\\r\\n]",
        'H' | 'V' => "is not supported: write a class of characters, like [^\\r\\n]",
        'K' | 'G' | 'C' | 'X' => "is not supported: leave it out",
        _ => "is not supported: leave out the backslash",
    }
}

/// Refers to parts of one pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal<'p> {
    pub(super) pattern: &'p str,
}

impl Refusal<'_> {
    /// An unsupported construct.
    pub(super) fn unsupported(&self, place: Range<usize>, why: &str) -> Invalid {
        Invalid::new("unsupported_pattern", format!("{} {why}", self.part(place)))
    }

    /// A pattern that takes the engine too long.
    pub(super) fn too_costly(&self, place: Range<usize>, why: &str) -> Invalid {
        Invalid::new("pattern_too_costly", format!("{} {why}", self.part(place)))
    }

    /// An unsupported escape.
    pub(super) fn escape(&self, place: Range<usize>) -> Invalid {
        let letter = self.pattern.get(place.clone()).and_then(|text| text.chars().nth(1));
        self.unsupported(place, letter.map_or("is not supported", advice_on_escape))
    }

    /// An unsupported option, or another construct that begins like one.
    pub(super) fn option(&self, place: Range<usize>) -> Invalid {
        match self.construct_at(place.start) {
            Some((construct, why)) => self.unsupported(construct, why),
            None => self.unsupported(place, "is not supported as an option: only i, m and s are"),
        }
    }

    /// A syntax error of the parser.
    pub(super) fn syntax(&self, error: &Error) -> Invalid {
        let place = error.span().start.offset..error.span().end.offset;
        if let Some((construct, why)) = self.construct_at(place.start) {
            return self.unsupported(construct, why);
        }
        match error.kind() {
            ErrorKind::EscapeUnrecognized | ErrorKind::UnsupportedBackreference | ErrorKind::ClassEscapeInvalid => {
                self.escape(place)
            }
            ErrorKind::RepetitionCountUnclosed | ErrorKind::RepetitionCountDecimalEmpty => {
                self.unsupported(place, "is no count of repeats: write {2}, {2,} or {2,5}, and \\{ for the character")
            }
            ErrorKind::RepetitionMissing => {
                self.unsupported(place, "has nothing to repeat: put a backslash before it if the character is meant")
            }
            ErrorKind::ClassRangeLiteral => self.unsupported(place, "is no range: write \\- for the character"),
            ErrorKind::FlagUnrecognized => self.option(place),
            kind => Invalid::new(
                "invalid_value",
                format!("is no regular expression: {kind} (character {})", self.number(place.start)),
            ),
        }
    }

    /// The construct where the parser stopped; it may have read up to three bytes of it.
    fn construct_at(&self, offset: usize) -> Option<(Range<usize>, &'static str)> {
        (offset.saturating_sub(3)..=offset).find_map(|start| {
            let rest = self.pattern.get(start..)?;
            let found = CONSTRUCTS.iter().filter(|(text, _)| rest.starts_with(text) && start + text.len() > offset);
            found.max_by_key(|(text, _)| text.len()).map(|(text, why)| (start..start + text.len(), *why))
        })
    }

    /// A part with its place: `"[a-z]+" (character 3)`.
    fn part(&self, place: Range<usize>) -> String {
        // The parser may point between two characters, before the unexpected one.
        let end = place.end.max(self.pattern.ceil_char_boundary(place.start + 1));
        let text = self.pattern.get(place.start..end).unwrap_or_default();
        let (quoted, dots) = match text.char_indices().nth(QUOTED_MAX) {
            Some((end, _)) => (text.get(..end).unwrap_or_default(), "…"),
            None => (text, ""),
        };
        format!("\"{quoted}{dots}\" (character {})", self.number(place.start))
    }

    /// The number of the character that begins at this byte, from 1.
    fn number(&self, offset: usize) -> usize {
        self.pattern.char_indices().take_while(|(at, _)| *at < offset).count() + 1
    }
}
