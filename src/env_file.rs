//! Reads `.env` into the environment, once, before anything else runs.
//!
//! Errors give a line's number and never its text, which may well be part of a secret.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;

const HOW_TO_WRITE: &str =
    "write NAME=value on one line, and put a value with spaces, quotes, #, $ or \\ in single quotes";

/// Sets the file's variables, except those that are set already. A missing file counts as empty.
///
/// # Errors
/// A sentence about the file or one of its lines. Some variables may be set by then.
pub fn load(path: &Path) -> Result<(), String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!(".env cannot be read: {error}")),
    };
    check(&bytes)?;
    // Cannot fail after the check; its error would quote the line.
    dotenvy::from_read_iter(bytes.as_slice()).load().map_err(|_error| ".env cannot be read".to_owned())
}

/// Checks that every line can be read and set as a variable.
fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let number = line_of(bytes, error.valid_up_to());
        format!(".env line {number} is not UTF-8: save the file in that encoding")
    })?;
    // Setting a variable with a NUL panics.
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(format!(".env line {} holds a NUL character: remove it", line_of(bytes, at)));
    }
    let taken = Rc::new(Cell::new(0));
    let lines = LineByLine { rest: text.trim_start_matches('\u{feff}').as_bytes(), taken: Rc::clone(&taken) };
    for read in dotenvy::from_read_iter(lines) {
        if let Err(error) = read {
            // A quoted value can span lines; report its first.
            let spanned = if let dotenvy::Error::LineParse(text, _) = &error { text.lines().count().max(1) } else { 1 };
            return Err(format!(
                ".env line {} cannot be read: {HOW_TO_WRITE}",
                (taken.get() + 1).saturating_sub(spanned)
            ));
        }
    }
    Ok(())
}

/// The number of the line that holds the byte at `at`.
fn line_of(bytes: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', bytes.get(..at).unwrap_or_default()).count() + 1
}

/// Hands out one line per read and counts them, so that the count is right although the parser reads through a buffer.
struct LineByLine<'t> {
    rest: &'t [u8],
    taken: Rc<Cell<usize>>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, _) = self.rest.split_at(end.min(into.len()));
        into.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
        self.rest = self.rest.get(line.len()..).unwrap_or_default();
        // A long line takes several reads.
        if line.len() == end && end > 0 {
            self.taken.set(self.taken.get() + 1);
        }
        Ok(line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn line(text: &[u8]) -> Option<usize> {
        let told = check(text).err()?;
        let number = told.strip_prefix(".env line ").expect("its line").split(' ').next().expect("a word");
        Some(number.parse().expect("a number"))
    }

    #[test]
    fn a_line_that_cannot_be_read_is_reported_by_its_number() {
        let long = [b"A='".as_slice(), &vec![b'x'; 20_000], b"'\nB b\n"].concat();
        let cases: &[(&[u8], Option<usize>)] = &[
            (b"", None),
            (b"A=1\n# a comment\n\nB='two words' # more\r\nexport C=\"a\nb\"", None),
            (b"A=1\nB", Some(2)),
            (b"\xef\xbb\xbfA=1\n\nB b\n", Some(3)),
            (b"\xef\xbb\xbfA=1", None),
            (b"A=1\r\nB=two words\r\nC=3", Some(2)),
            (b"A='a\nb'\nB=\"open\nC=3\n\nD=4\n", Some(3)),
            (b"A=1\nB=\"open", Some(2)),
            (b"A='a\n\nb'c d\nB=1", Some(1)),
            (b"# one\n=x", Some(2)),
            (b"A=1\nB=\xff", Some(2)),
            (b"A=1\nB='\0'", Some(2)),
            (b"A=x\\y", Some(1)),
            (&long, Some(2)),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text), *expected, "{}", String::from_utf8_lossy(text.get(..40).unwrap_or(text)));
        }
    }
}
