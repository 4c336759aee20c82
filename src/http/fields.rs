//! Reads the fields of a body or the parameters of a query: parses each into its type and reports all errors at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::problem::Problem;
use crate::domain::{FieldError, Invalid};

/// The fields not read yet, and the errors of those already read.
#[derive(Debug)]
pub(super) struct Fields {
    /// Precedes a name in an error's pointer.
    prefix: &'static str,
    values: BTreeMap<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The fields of a JSON object or a form, duplicates included: those are refused, because the one meant is unknown.
    pub(super) fn new(sent: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self::with_prefix("", sent)
    }

    /// The parameters of a query, duplicates included.
    pub(super) fn of_query(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self::with_prefix("?", pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))))
    }

    fn with_prefix(prefix: &'static str, sent: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut fields = Self { prefix, values: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in sent {
            match fields.values.entry(name) {
                Entry::Vacant(new) => {
                    new.insert(value);
                }
                Entry::Occupied(known) => {
                    let name = known.key().clone();
                    fields.refuse(&name, Invalid::new("repeated", "must be given once"));
                }
            }
        }
        fields
    }

    /// A required text; `None` if it is missing or refused.
    pub(super) fn required<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        if self.values.contains_key(name) {
            return self.text(name, parse);
        }
        self.refuse(name, Invalid::new("required", "is required"));
        None
    }

    /// An optional text, which may be null.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        match self.values.get(name) {
            None => None,
            Some(Value::Null) => {
                self.values.remove(name);
                None
            }
            Some(_) => self.text(name, parse),
        }
    }

    /// An optional whole number of at most `most`, which may be null.
    pub(super) fn optional_number(&mut self, name: &str, most: u16) -> Option<u16> {
        let value = self.values.remove(name).filter(|value| !value.is_null())?;
        let number = value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|number| *number <= most);
        if number.is_none() {
            let code = if value.is_number() { "out_of_range" } else { "wrong_type" };
            self.refuse(name, Invalid::new(code, format!("must be a whole number from 0 to {most}")));
        }
        number
    }

    /// Records that a field is refused.
    pub(super) fn refuse(&mut self, name: &str, why: Invalid) {
        self.errors.push(self.place(name, why));
    }

    /// An optional text whose errors have their own pointers, such as a filter.
    pub(super) fn optional_inner<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Vec<FieldError>>,
    ) -> Option<T> {
        let Some(Value::String(text)) = self.values.remove(name) else { return None };
        let base = self.place(name, Invalid::new("", "")).pointer;
        let parsed = parse(&text);
        parsed.map_err(|errors| self.errors.extend(errors.into_iter().map(|error| error.inside(&base)))).ok()
    }

    fn place(&self, name: &str, why: Invalid) -> FieldError {
        if self.prefix.is_empty() { why.at_member("", name) } else { why.at(format!("{}{name}", self.prefix)) }
    }

    /// Whether there are errors so far, or unread fields.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty() || !self.values.is_empty()
    }

    /// The result, if there are no errors and no unknown fields.
    pub(super) fn finish<T>(mut self, result: Option<T>) -> Result<T, Problem> {
        let unknown: Vec<String> = self.values.keys().cloned().collect();
        for name in unknown {
            self.refuse(&name, Invalid::new("unknown_field", "is not known to this call"));
        }
        match result {
            Some(result) if self.errors.is_empty() => Ok(result),
            _ => Err(Problem::invalid(self.errors)),
        }
    }

    fn text<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        let parsed = match self.values.remove(name) {
            Some(Value::String(text)) => parse(&text),
            _ => Err(Invalid::new("wrong_type", "must be a string")),
        };
        parsed.map_err(|invalid| self.refuse(name, invalid)).ok()
    }
}
