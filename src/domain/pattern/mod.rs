//! Regular expressions that clients send for MongoDB to match, and what matching them costs.
//!
//! MongoDB's engine, PCRE, tries one way after another, and nothing interrupts it within a text. A pattern with too
//! many ways blocks a MongoDB thread for minutes. So a pattern is accepted only if a small number bounds the ways that
//! it can have in progress at one position of a text. [`Inspector::steps`] finds that number, and the work is at most
//! that per character. docs/adr/0006-patterns.md has the proof.
//!
//! The codes of refusals: `unsupported_pattern`, `pattern_too_costly`, `pattern_too_complex`, `invalid_value`.

mod alphabet;
mod chars;
mod expr;
mod fuel;
mod load;
mod machine;
mod read;
mod refusal;

use self::expr::Starts;
use self::fuel::{Exhausted, Fuel};
use self::load::{Failure, Walk};
use self::machine::Machine;
use self::refusal::Refusal;
use super::Invalid;

/// The most steps per character of a text, for all patterns that are matched with it. A step is 1 to 4 nanoseconds, so
/// a text of a megabyte takes well under a second.
pub const STEPS_MAX: u32 = 256;

/// The options i, m and s of a pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// i: ignores case.
    pub ignores_case: bool,
    /// m: `^` and `$` also match at line feeds.
    pub has_lines: bool,
    /// s: `.` also matches a line feed.
    pub dot_is_all: bool,
}

impl Options {
    /// Parses the letters of `$options`.
    pub fn parse(letters: &str) -> Result<Self, Invalid> {
        let mut options = Self::default();
        for letter in letters.chars() {
            match letter {
                'i' => options.ignores_case = true,
                'm' => options.has_lines = true,
                's' => options.dot_is_all = true,
                'x' => {
                    let why = "may not contain x: leave out the spaces and comments of the pattern instead";
                    return Err(Invalid::new("unsupported_pattern", why));
                }
                _ => return Err(Invalid::new("invalid_characters", "may only contain i, m and s")),
            }
        }
        Ok(options)
    }
}

/// How MongoDB uses a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// As is.
    Plain,
    /// After something that tries it at each position of the text, whatever it begins with.
    Behind,
}

/// Inspects all patterns of one request.
#[derive(Debug)]
pub struct Inspector {
    fuel: Fuel,
}

impl Default for Inspector {
    fn default() -> Self {
        Self { fuel: Fuel::full() }
    }
}

impl Inspector {
    /// How many steps for each character of a text MongoDB needs to match this pattern, at most; never more than
    /// [`STEPS_MAX`].
    pub fn steps(&mut self, pattern: &str, options: Options, usage: Use) -> Result<u32, Invalid> {
        let refusal = Refusal { pattern };
        let read = read::read(refusal, options, &mut self.fuel)?.used(usage);
        let machine = Machine::build(&read.expr, &read.sets, &mut self.fuel).map_err(too_complex)?;
        let kinds = alphabet::kinds(&read.sets, &mut self.fuel).map_err(too_complex)?;
        let walk = Walk::new(&machine, &kinds, machine.search);
        match walk.heaviest(STEPS_MAX, &mut self.fuel) {
            Ok(steps) => Ok(steps),
            Err(Failure::TooMany) => Err(too_complex(Exhausted)),
            Err(Failure::TooHeavy(load)) => {
                let place = walk.worst_place(&load).and_then(|place| machine.places.get(place));
                let place = place.and_then(|place| place.repeat.clone()).unwrap_or(0..pattern.len());
                let once = Walk::new(&machine, &kinds, Starts::Once).heaviest(STEPS_MAX, &mut self.fuel);
                Err(refusal.too_costly(place, advice(pattern, usage, once.is_ok())))
            }
        }
    }
}

fn too_complex(Exhausted: Exhausted) -> Invalid {
    let why =
        "is too complex to be looked at, by itself or with the patterns before it: use smaller counts and fewer groups";
    Invalid::new("pattern_too_complex", why)
}

/// How to fix a pattern that takes too long. `fits_once` says that it would not if tried at one position only.
fn advice(pattern: &str, usage: Use, fits_once: bool) -> &'static str {
    if usage == Use::Behind && pattern.starts_with(".*") {
        "takes too long in a long name: leave out .* at the beginning, a pattern matches anywhere"
    } else if !fits_once && usage == Use::Plain {
        "can match the same text in too many ways, which are all tried: let what follows a repeat begin with a \
         character that is not repeated, or limit the repeats, like {1,20}"
    } else if pattern.ends_with(".*$") {
        "takes too long in a long text: leave out .*$ at the end, a pattern matches anywhere"
    } else {
        "takes too long in a long text, because a match may begin at each of its characters: begin the pattern with ^, \
         limit the repeat, like {1,20}, or look for the parts with a pattern each"
    }
}

#[cfg(test)]
mod tests;
