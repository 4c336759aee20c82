//! The patterns of one filter, which are matched with the same document one after the other.

use std::collections::HashMap;

use super::operands;
use super::place::FilterPlace;
use crate::domain::Invalid;
use crate::domain::pattern::{Inspector, STEPS_MAX, Use};
use bson::{Bson, Document};

/// What the patterns of a filter take together.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    inspector: Inspector,
    /// The steps of all patterns for a field, by its path. The texts of different fields are different parts of a document.
    steps: HashMap<String, u32>,
}

impl Patterns {
    /// Takes a `$regex` and the options beside it, if MongoDB can match it, and all before it, in time.
    pub(super) fn take(&mut self, operand: &Bson, beside: &Document, place: &FilterPlace<'_>) -> Result<(), Invalid> {
        let (pattern, options) = operands::regex(operand, beside)?;
        let steps = self.inspector.steps(pattern, options, Use::Plain)?;
        let together = self.steps.entry(place.path()).or_default();
        *together += steps;
        if *together > STEPS_MAX {
            let why =
                "takes too long together with the patterns before it for the same field: use fewer, or simpler ones";
            return Err(Invalid::new("pattern_too_costly", why));
        }
        Ok(())
    }
}
