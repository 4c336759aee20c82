//! The patterns of one filter, which are matched with the same document one after another.

use std::collections::HashMap;

use super::operands;
use super::place::FilterPlace;
use crate::domain::Invalid;
use crate::domain::pattern::{Inspector, STEPS_MAX, Use};
use bson::{Bson, Document};

/// The total cost of a filter's patterns.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    inspector: Inspector,
    /// The steps of all patterns for a field, by its path. Different fields hold different texts.
    steps: HashMap<String, u32>,
}

impl Patterns {
    /// Accepts a `$regex` and its options if MongoDB can match it, with all earlier ones, in time.
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
