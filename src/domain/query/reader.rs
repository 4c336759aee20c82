//! Walks a filter and reports everything that must not reach MongoDB.
//!
//! It distinguishes forms that look alike: an object below a field is either a set of operators, or a plain value to
//! compare with, which must not contain a `$` name at any depth. What an operator takes is in `operands`.

use bson::{Bson, Document};

use super::operands::{self, Dialect};
use super::path::FieldPath;
use super::patterns::Patterns;
use super::place::FilterPlace;
use crate::domain::{FieldError, Invalid};

/// The deepest nesting of objects and arrays in a filter, including the filter itself.
pub const DEPTH_MAX: usize = 20;

/// The most conditions in a filter; each operator is one, and so is each plain value.
pub const CONDITIONS_MAX: usize = 200;

/// The most values in one `$in`, `$nin` or `$all`.
pub const VALUES_MAX: usize = 1_000;

/// The most refusals to report for one filter.
pub const ERRORS_MAX: usize = 50;

/// Where the names in a filter object come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The document, which has the server's own field.
    Top,
    /// An element of an array.
    Element,
}

/// Reads one filter and collects its errors.
#[derive(Debug)]
pub(super) struct FilterReader {
    dialect: Dialect,
    conditions: usize,
    patterns: Patterns,
    errors: Vec<FieldError>,
}

impl FilterReader {
    /// A reader that has read nothing yet.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, conditions: 0, patterns: Patterns::default(), errors: Vec::new() }
    }

    /// Reads a whole filter.
    pub(super) fn read_top(&mut self, filter: &Document) {
        self.read_filter(filter, &FilterPlace::ROOT, Scope::Top);
    }

    /// All errors found.
    pub(super) fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    fn refuse(&mut self, why: Invalid, place: &FilterPlace<'_>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(why.at(place.pointer()));
        }
    }

    /// Records a refusal, if it is one.
    fn check(&mut self, verdict: Result<(), Invalid>, place: &FilterPlace<'_>) {
        if let Err(why) = verdict {
            self.refuse(why, place);
        }
    }

    /// Counts one condition; only the first one over the limit is reported.
    fn count(&mut self, place: &FilterPlace<'_>) {
        self.conditions += 1;
        if self.conditions == CONDITIONS_MAX + 1 {
            let why = format!("is the condition after the {CONDITIONS_MAX} that a filter may have");
            self.refuse(Invalid::new("too_many", why), place);
        }
    }

    /// Whether to enter the object or array at this place. This also bounds the recursion of everything below.
    fn enter(&mut self, place: &FilterPlace<'_>) -> bool {
        let may_enter = place.depth() < DEPTH_MAX;
        if !may_enter {
            self.refuse(Invalid::new("too_deep", format!("must not be nested deeper than {DEPTH_MAX} levels")), place);
        }
        may_enter
    }

    fn read_filter(&mut self, filter: &Document, place: &FilterPlace<'_>, scope: Scope) {
        if !self.enter(place) {
            return;
        }
        for (key, value) in filter {
            let at = place.key(key);
            if is_logical(key) {
                self.read_clauses(key, value, &at, scope);
            } else if key.starts_with('$') {
                self.refuse(unsupported(key), &at);
            } else {
                self.check(name_of_field(key, scope), &at);
                self.read_field(value, &at);
            }
        }
    }

    fn read_clauses(&mut self, operator: &str, clauses: &Bson, place: &FilterPlace<'_>, scope: Scope) {
        self.count(place);
        if !self.dialect.allows(operator) {
            return self.refuse(unsupported(operator), place);
        }
        let Bson::Array(clauses) = clauses else {
            return self.refuse(Invalid::new("wrong_type", "must be an array of filters"), place);
        };
        if clauses.is_empty() {
            return self.refuse(Invalid::new("too_short", "must hold at least one filter"), place);
        }
        if !self.enter(place) {
            return;
        }
        for (index, clause) in clauses.iter().enumerate() {
            let at = place.index(index);
            match clause {
                Bson::Document(filter) => self.read_filter(filter, &at, scope),
                _ => self.refuse(Invalid::new("wrong_type", "must be a filter object"), &at),
            }
        }
    }

    fn read_field(&mut self, value: &Bson, place: &FilterPlace<'_>) {
        match value {
            Bson::Document(operators) if operators.keys().any(|key| key.starts_with('$')) => {
                self.read_operators(operators, place);
            }
            plain => {
                self.count(place);
                self.read_value(plain, place);
            }
        }
    }

    fn read_operators(&mut self, operators: &Document, place: &FilterPlace<'_>) {
        if !self.enter(place) {
            return;
        }
        for (name, operand) in operators {
            let at = place.key(name);
            self.count(&at);
            if !name.starts_with('$') {
                let why =
                    format!("must not stand among operators; a field inside is asked for by its path (\"a.{name}\")");
                self.refuse(Invalid::new("invalid_value", why), &at);
            } else if self.dialect.allows(name) {
                self.read_operator(name, operand, operators, &at);
            } else {
                self.refuse(unsupported(name), &at);
            }
        }
    }

    fn read_operator(&mut self, name: &str, operand: &Bson, beside: &Document, place: &FilterPlace<'_>) {
        match name {
            "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" => self.read_value(operand, place),
            "$in" | "$nin" | "$all" => self.read_values(operand, place),
            "$not" => self.read_not(operand, place),
            "$elemMatch" => self.read_element(operand, place),
            "$exists" => self.check(operands::exists(operand, self.dialect), place),
            "$type" => self.check(operands::types(operand), place),
            "$size" => self.check(operands::size(operand), place),
            "$mod" => self.check(operands::modulo(operand), place),
            "$regex" => {
                let verdict = self.patterns.take(operand, beside, place);
                self.check(verdict, place);
            }
            "$options" => self.check(operands::regex_options(operand, beside), place),
            other => self.refuse(unsupported(other), place),
        }
    }

    fn read_not(&mut self, operand: &Bson, place: &FilterPlace<'_>) {
        match operand {
            Bson::Document(operators) if operators.is_empty() => {
                self.refuse(Invalid::new("too_short", "must hold at least one operator"), place);
            }
            Bson::Document(operators) => self.read_operators(operators, place),
            _ => self.refuse(Invalid::new("wrong_type", "must be an object of operators"), place),
        }
    }

    /// An element is described either by operators on itself, or by a filter on its fields. Like MongoDB, treats
    /// `$and`, `$or` and `$nor` alone as a filter.
    fn read_element(&mut self, operand: &Bson, place: &FilterPlace<'_>) {
        match operand {
            Bson::Document(element) if element.keys().any(|key| key.starts_with('$') && !is_logical(key)) => {
                self.read_operators(element, place);
            }
            Bson::Document(element) => self.read_filter(element, place, Scope::Element),
            _ => self.refuse(Invalid::new("wrong_type", "must be an object of operators, or a filter"), place),
        }
    }

    fn read_values(&mut self, operand: &Bson, place: &FilterPlace<'_>) {
        let Bson::Array(values) = operand else {
            return self.refuse(Invalid::new("wrong_type", "must be an array of values"), place);
        };
        if values.len() > VALUES_MAX {
            self.refuse(Invalid::new("too_many", format!("must hold at most {VALUES_MAX} values")), place);
        }
        self.read_elements(values, place);
    }

    fn read_elements(&mut self, values: &[Bson], place: &FilterPlace<'_>) {
        if !self.enter(place) {
            return;
        }
        for (index, value) in values.iter().enumerate() {
            self.read_value(value, &place.index(index));
        }
    }

    /// Reads a value to compare with, in which nothing is an operator.
    fn read_value(&mut self, value: &Bson, place: &FilterPlace<'_>) {
        match value {
            Bson::Document(object) => self.read_object(object, place),
            Bson::Array(values) => self.read_elements(values, place),
            other => self.check(operands::comparable(other), place),
        }
    }

    fn read_object(&mut self, object: &Document, place: &FilterPlace<'_>) {
        if !self.enter(place) {
            return;
        }
        for (key, value) in object {
            let at = place.key(key);
            if key.contains('\0') {
                self.refuse(Invalid::new("invalid_characters", "must not have a NUL character in its name"), &at);
            } else if key.starts_with('$') {
                self.refuse(misplaced(key), &at);
            } else {
                self.read_value(value, &at);
            }
        }
    }
}

fn is_logical(key: &str) -> bool {
    matches!(key, "$and" | "$or" | "$nor")
}

fn name_of_field(key: &str, scope: Scope) -> Result<(), Invalid> {
    match scope {
        Scope::Top => FieldPath::parse_from_top(key).map(drop),
        Scope::Element => FieldPath::parse(key).map(drop),
    }
}

fn unsupported(operator: &str) -> Invalid {
    Invalid::new("unsupported_operator", format!("the operator {operator} is not supported here"))
}

fn misplaced(operator: &str) -> Invalid {
    let why =
        format!("{operator} stands inside a plain value, where no operator is supported; name a field by its path");
    Invalid::new("unsupported_operator", why)
}
