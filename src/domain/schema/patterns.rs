//! The patterns of one schema and their total cost.

use std::collections::HashMap;

use bson::{Bson, Document};

use super::{Invalid, REVISION};
use crate::domain::pattern::{Inspector, Options, STEPS_MAX, Use};

/// The longest pattern, in bytes.
const MAX_BYTES: usize = 500;

/// The patterns read so far.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    inspector: Inspector,
    /// The steps of each, by MongoDB's text of it.
    steps: HashMap<String, u32>,
}

impl Patterns {
    /// Translates a pattern for texts or member names; returns MongoDB's.
    pub(super) fn read(&mut self, text: &str) -> Result<String, Invalid> {
        self.admit(text, text.to_owned(), Use::Plain)
    }

    /// Translates a pattern for the top-level member names, so that it never matches the server's own field.
    ///
    /// The pattern still matches anywhere in a name: a lazy prefix skips what comes before, and its anchors see the
    /// whole name. Its groups are closed, or it would have been refused, so none can end the group around it.
    pub(super) fn read_sparing_revision(&mut self, text: &str) -> Result<String, Invalid> {
        self.admit(text, format!(r"\A(?!{REVISION}\z)(?s:.*?)(?:{text})"), Use::Behind)
    }

    fn admit(&mut self, text: &str, enforced: String, usage: Use) -> Result<String, Invalid> {
        if text.len() > MAX_BYTES {
            return Err(Invalid::new("invalid_value", format!("must have at most {MAX_BYTES} bytes")));
        }
        if text.contains('\0') {
            return Err(Invalid::new("invalid_value", "must not contain a NUL character"));
        }
        let steps = self.inspector.steps(text, Options::default(), usage)?;
        self.steps.insert(enforced.clone(), steps);
        Ok(enforced)
    }

    /// Checks a translated schema that holds these patterns.
    pub(super) fn check(&self, enforced: &Document) -> Result<(), Invalid> {
        if self.for_value(enforced) > STEPS_MAX {
            let why = "has patterns for the same text that take too long together: use fewer, or simpler ones";
            return Err(Invalid::new("pattern_too_costly", why));
        }
        Ok(())
    }

    /// The most steps per character of a value that a schema describes. Different members hold different texts, but all
    /// schemas for one value are matched with the same text.
    fn for_value(&self, schema: &Document) -> u32 {
        let of = |pattern: &str| self.steps.get(pattern).copied().unwrap_or_default();
        let text = schema.get_str("pattern").map_or(0, of);
        let members = |keyword: &str| schema.get_document(keyword).into_iter().flatten();
        let names = members("patternProperties").map(|(pattern, _)| of(pattern)).fold(0, u32::saturating_add);
        let values = members("properties").map(|(_, schema)| self.for_any(schema)).max().unwrap_or_default();
        let matched =
            members("patternProperties").map(|(_, schema)| self.for_any(schema)).fold(values, u32::saturating_add);
        let others = schema.get("additionalProperties").map_or(0, |schema| self.for_any(schema));
        let items = ["items", "additionalItems"].iter().filter_map(|keyword| schema.get(*keyword));
        let items = items.map(|schemas| self.for_any(schemas)).max().unwrap_or_default();
        let here = names.max(matched).max(others).max(text.saturating_add(items));
        self.for_same_value(schema).fold(here, u32::saturating_add)
    }

    /// The cost of the subschemas that describe the same value.
    fn for_same_value<'s>(&'s self, schema: &'s Document) -> impl Iterator<Item = u32> + 's {
        let lists = ["allOf", "anyOf", "oneOf"].iter().filter_map(|keyword| schema.get_array(*keyword).ok());
        let dependent = schema.get_document("dependencies").into_iter().flat_map(Document::values);
        let schemas = lists.flatten().chain(schema.get("not")).chain(dependent);
        schemas.map(|schema| self.for_any(schema))
    }

    /// The cost of a schema, or of the costliest one among schemas for different values.
    fn for_any(&self, schemas: &Bson) -> u32 {
        match schemas {
            Bson::Document(schema) => self.for_value(schema),
            Bson::Array(schemas) => schemas.iter().map(|schema| self.for_any(schema)).max().unwrap_or_default(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::super::CollectionSchema;
    use super::*;

    fn codes(schema: &Document) -> Vec<(String, &'static str)> {
        let refused = CollectionSchema::parse(schema).err().unwrap_or_default();
        refused.into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn ordinary_patterns_pass() {
        for text in
            ["", "^a$", "(a)|b", "[()]", "[]()]", "[^]]", "\\(\\)", "[\\]]", "(?<n>a)", "(?i)a", "(?-x)a", "\\\\Q"]
        {
            assert_eq!(Patterns::default().read(text).as_deref(), Ok(text));
        }
        assert!(Patterns::default().read(&format!("^{}", "a".repeat(MAX_BYTES - 1))).is_ok());
    }

    #[test]
    fn what_would_not_stay_within_a_group_is_refused() {
        for text in ["(", ")", "a)|(b", "[", "[]", "[^]", "\\", "a\0", "(?#a)", "(*UTF8)a", "\\Qa", "[\\Q]", "(?x)a"] {
            assert!(Patterns::default().read_sparing_revision(text).is_err(), "{text}");
        }
        assert!(Patterns::default().read(&"a".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn patterns_for_different_texts_do_not_add_up() {
        let heavy = || doc! { "pattern": "[a-z]{1,20}1" };
        let three = || doc! { "a": heavy(), "b": heavy(), "c": heavy() };
        assert_eq!(codes(&doc! { "properties": three() }), []);
        assert_eq!(codes(&doc! { "properties": { "a": { "items": heavy() }, "b": { "properties": three() } } }), []);
        assert_eq!(codes(&doc! { "properties": { "a": { "prefixItems": [heavy(), heavy()], "items": heavy() } } }), []);
        assert_eq!(codes(&doc! { "additionalProperties": heavy(), "properties": three() }), []);
    }

    #[test]
    fn patterns_for_the_same_text_add_up() {
        let heavy = || doc! { "pattern": "[a-z]{1,20}1" };
        let too_costly = [(String::new(), "pattern_too_costly")];
        let of_a = |schema: Document| doc! { "properties": { "a": schema } };
        for schema in [
            of_a(doc! { "allOf": [heavy(), { "not": heavy() }] }),
            of_a(doc! { "pattern": "[a-z]{1,20}1", "anyOf": [heavy(), {}] }),
            of_a(doc! { "if": heavy(), "then": {}, "else": false }),
            of_a(doc! { "pattern": "[a-z]{1,20}1", "items": heavy() }),
            doc! { "properties": { "a": heavy() }, "patternProperties": { "^a": heavy() } },
            doc! { "properties": { "a": heavy() }, "dependencies": { "b": of_a(heavy()) } },
            of_a(doc! { "patternProperties": { "[a-z]{1,20}1": {}, "[a-z]{1,20}2": {} } }),
        ] {
            assert_eq!(codes(&schema), too_costly, "{schema}");
        }
    }

    #[test]
    fn names_of_the_whole_document_are_matched_behind_something() {
        let names = |pattern: &str| doc! { "patternProperties": { pattern: {} } };
        assert_eq!(codes(&doc! { "properties": { "a": names(".*foo") } }), []);
        assert_eq!(codes(&names(".*foo")), [("/patternProperties/.*foo".to_owned(), "pattern_too_costly")]);
        assert_eq!(codes(&names("^x-[a-z]+$")), []);
    }
}
