//! Types, numbers, texts and comparisons.

use std::collections::HashSet;

use bson::{Bson, Document, doc};

use super::place::SchemaPlace;
use super::rules::Rules;
use super::translate::Translation;
use super::{Invalid, values};
use crate::domain::documents::BSON_TYPES;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

impl Translation {
    /// `type` and `bsonType`. Returns whether numbers must be integers, which the number rules must enforce.
    pub(super) fn types(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) -> bool {
        let mut is_integer = false;
        if let Some(names) = self.type_names(schema, "type", &TYPES, place) {
            is_integer = names.contains(&"integer") && !names.contains(&"number");
            put_types(rules, "type", types_for_mongodb(&names, is_integer), place);
        }
        if let Some(names) = self.type_names(schema, "bsonType", &BSON_TYPES, place) {
            put_types(rules, "bsonType", Bson::from(names), place);
        }
        is_integer
    }

    /// `minimum`, `maximum`, `multipleOf` and the exclusive limits, as numbers (draft 6) or as booleans (draft 4).
    pub(super) fn numbers(&mut self, schema: &Document, place: &SchemaPlace, is_integer: bool, rules: &mut Rules) {
        self.limit(schema, "minimum", "exclusiveMinimum", place, rules);
        self.limit(schema, "maximum", "exclusiveMaximum", place, rules);
        let step = self.read(schema, "multipleOf", place, values::positive_number);
        // An integer in the sense of draft 6, which includes 1.0: a number without a fraction.
        if is_integer && !step.as_ref().is_some_and(values::is_whole) {
            rules.put("multipleOf", 1);
        }
        if let Some(step) = step {
            rules.put("multipleOf", step);
        }
    }

    /// `minLength`, `maxLength` and `pattern`.
    pub(super) fn texts(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        self.counts(schema, ["minLength", "maxLength"], place, rules);
        if let Some(text) = self.read(schema, "pattern", place, values::text) {
            let read = self.patterns.read(text);
            if let Some(text) = self.accept(&place.at("pattern"), read) {
                rules.put("pattern", text);
            }
        }
    }

    /// Counts that MongoDB has under the same name. The whole document has one property more than its users see, the
    /// revision, so the limits grow by one. A document written without this server has no revision, and counts as one
    /// property fewer than it has.
    pub(super) fn counts(&mut self, schema: &Document, names: [&str; 2], place: &SchemaPlace, rules: &mut Rules) {
        for name in names {
            if let Some(count) = self.read(schema, name, place, values::count) {
                rules.put(name, count.saturating_add(i64::from(place.is_root)));
            }
        }
    }

    /// `enum` and `const`.
    pub(super) fn comparisons(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        let listed =
            self.read(schema, "enum", place, |value| values::filled_list(value, "values")).map(<[Bson]>::to_vec);
        let constant = schema.get("const").map(|value| vec![value.clone()]);
        for (name, allowed) in [("enum", listed), ("const", constant)] {
            let place = place.at(name);
            if let Some(allowed) = allowed.and_then(|allowed| self.accept(&place, comparison(allowed, &place))) {
                rules.put("enum", allowed);
            }
        }
    }

    fn type_names<'a>(
        &mut self,
        schema: &'a Document,
        keyword: &str,
        known: &[&str],
        place: &SchemaPlace,
    ) -> Option<Vec<&'a str>> {
        let place = place.at(keyword);
        let value = schema.get(keyword)?;
        let listed = if let Bson::Array(listed) = value { listed.as_slice() } else { std::slice::from_ref(value) };
        let mut names = Vec::new();
        for (index, name) in listed.iter().enumerate() {
            let place = if value.as_array().is_some() { place.item(index) } else { place.clone() };
            match name.as_str() {
                None => self.refuse(&place, Invalid::new("wrong_type", "must be the name of a type")),
                Some(name) if !known.contains(&name) => {
                    let detail = format!("must be one of the types {}", known.join(", "));
                    self.refuse(&place, Invalid::new("unknown_type", detail));
                }
                Some(name) if names.contains(&name) => {
                    self.refuse(&place, Invalid::new("invalid_value", "must not name a type twice"));
                }
                Some(name) => names.push(name),
            }
        }
        if listed.is_empty() {
            self.refuse(&place, Invalid::new("invalid_value", "must name a type"));
        }
        (names.len() == listed.len() && !names.is_empty()).then_some(names)
    }

    fn limit(&mut self, schema: &Document, limit: &str, exclusive: &str, place: &SchemaPlace, rules: &mut Rules) {
        let value = self.read(schema, limit, place, values::number);
        let place = place.at(exclusive);
        match (schema.get(exclusive), value) {
            (None | Some(Bson::Boolean(false)), None) => {}
            (None | Some(Bson::Boolean(false)), Some(value)) => rules.put(limit, value),
            (Some(Bson::Boolean(true)), Some(value)) => rules.put_together(doc! { limit: value, exclusive: true }),
            (Some(Bson::Boolean(true)), None) => {
                self.refuse(&place, Invalid::new("invalid_value", format!("needs {limit} beside it")));
            }
            (Some(beyond), value) => {
                if let Some(value) = value {
                    rules.put(limit, value);
                }
                if let Some(beyond) = self.accept(&place, values::number(beyond)) {
                    rules.put_together(doc! { limit: beyond, exclusive: true });
                }
            }
        }
    }
}

/// The whole document is always an object: a rule about its type either has no effect or allows nothing.
fn put_types(rules: &mut Rules, keyword: &str, types: Bson, place: &SchemaPlace) {
    let names_object = |types: &Bson| match types {
        Bson::Array(names) => names.iter().any(|name| name.as_str() == Some("object")),
        name => name.as_str() == Some("object"),
    };
    if !place.is_root {
        rules.put_type(keyword, types);
    } else if !names_object(&types) {
        rules.put_nothing_matches();
    }
}

/// The types without `integer`, which MongoDB does not know: `number` replaces it, and `multipleOf` adds the rest.
///
/// A `number` that replaces `integer` comes first in a list, and a requested one never does, so the reader of refusals
/// can name the requested type (`sentences.rs`).
fn types_for_mongodb(names: &[&str], is_integer: bool) -> Bson {
    let mut types: Vec<&str> = names.iter().copied().filter(|name| !matches!(*name, "integer" | "number")).collect();
    if is_integer {
        types.insert(0, "number");
        return Bson::from(types);
    }
    if names.contains(&"number") {
        types.push("number");
    }
    if let [only] = types.as_slice() { Bson::from(*only) } else { Bson::from(types) }
}

/// The allowed values without duplicates, as MongoDB requires.
fn comparison(allowed: Vec<Bson>, place: &SchemaPlace) -> Result<Vec<Bson>, Invalid> {
    if place.is_root {
        let detail = "cannot be used for the whole document, which has a field of the server's own: use properties";
        return Err(Invalid::new("unsupported_keyword", detail));
    }
    if allowed.iter().any(values::has_nul) {
        return Err(Invalid::new("invalid_value", "must not have a NUL character in a name"));
    }
    let mut seen = HashSet::new();
    Ok(allowed.into_iter().filter(|value| seen.insert(values::comparable(value))).collect())
}
