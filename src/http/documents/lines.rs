//! Splits a stream of bytes into lines, and holds at most one line of the allowed length.

/// A line of the stream; lines count from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its number, and its text without the newline.
    Text(u64, Vec<u8>),
    /// The number of a line that was longer than allowed, and skipped.
    TooLong(u64),
}

/// Splits a stream into lines.
#[derive(Debug)]
pub(super) struct Lines {
    max_bytes: usize,
    number: u64,
    /// The beginning of the current line.
    begun: Vec<u8>,
    /// Whether to skip the rest of the current line.
    is_too_long: bool,
}

impl Lines {
    /// Reads lines of at most so many bytes.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, number: 1, begun: Vec::new(), is_too_long: false }
    }

    /// Takes the next line from a piece of the stream; `None` when no line ends in the rest of it.
    pub(super) fn next(&mut self, piece: &mut &[u8]) -> Option<Line> {
        let end = memchr::memchr(b'\n', piece);
        let (part, rest) = end.map_or((*piece, &[][..]), |end| {
            (piece.get(..end).unwrap_or_default(), piece.get(end + 1..).unwrap_or_default())
        });
        *piece = rest;
        self.keep(part);
        end.map(|_| self.finish())
    }

    /// The last line, if the stream ended without a newline.
    pub(super) fn last(mut self) -> Option<Line> {
        (self.is_too_long || !self.begun.is_empty()).then(|| self.finish())
    }

    fn keep(&mut self, part: &[u8]) {
        if self.is_too_long || self.begun.len() + part.len() > self.max_bytes {
            self.is_too_long = true;
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(part);
        }
    }

    fn finish(&mut self) -> Line {
        let number = self.number;
        self.number += 1;
        let text = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.is_too_long) { Line::TooLong(number) } else { Line::Text(number, text) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]], max_bytes: usize) -> Vec<Line> {
        let mut lines = Lines::new(max_bytes);
        let mut found = Vec::new();
        for piece in pieces {
            let mut piece = *piece;
            while let Some(line) = lines.next(&mut piece) {
                found.push(line);
            }
        }
        found.extend(lines.last());
        found
    }

    #[test]
    fn lines_end_with_a_newline_or_with_the_stream() {
        let text = |number, text: &[u8]| Line::Text(number, text.to_vec());
        assert_eq!(all(&[b"a\n\nbc", b"d\ne"], 10), [text(1, b"a"), text(2, b""), text(3, b"bcd"), text(4, b"e")]);
        assert_eq!(all(&[b""], 10), []);
        assert_eq!(all(&[b"abcd\nab\nabcd"], 3), [Line::TooLong(1), text(2, b"ab"), Line::TooLong(3)]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_stream_is_cut(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
            max_bytes in 0_usize..10,
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(all(&pieces, max_bytes), all(&[&bytes], max_bytes));
        }
    }
}
