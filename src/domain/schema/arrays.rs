//! Items of lists.

use bson::{Bson, Document, doc};

use super::place::SchemaPlace;
use super::rules::Rules;
use super::translate::Translation;
use super::{Invalid, values};

impl Translation {
    /// All keywords about lists.
    pub(super) fn arrays(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        self.counts(schema, ["minItems", "maxItems"], place, rules);
        if let Some(unique) = self.read(schema, "uniqueItems", place, values::boolean) {
            rules.put("uniqueItems", unique);
        }
        self.items(schema, place, rules);
        self.contains(schema, place, rules);
    }

    /// `items`, `prefixItems` and `additionalItems`. A list of schemas for the first items is `prefixItems` since
    /// draft 2020-12 and `items` before; `items` and `additionalItems` are what follows them.
    fn items(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        let items = schema.get("items");
        let others = schema.get("additionalItems").map(|others| ("additionalItems", others));
        if let Some(first) = schema.get("prefixItems") {
            if let (Some(_), Some((name, _))) = (items, others) {
                let detail = "must not be given beside prefixItems and items";
                self.refuse(&place.at(name), Invalid::new("invalid_value", detail));
            }
            let others = items.map(|items| ("items", items)).or(others);
            self.first_items("prefixItems", first, others, place, rules);
        } else if let Some(first @ Bson::Array(_)) = items {
            self.first_items("items", first, others, place, rules);
        } else {
            if let Some(items) = items {
                let translated = self.subschema(items, &place.at("items").inner_value());
                rules.put("items", translated);
            }
            // Without a list there is nothing that could be additional.
            if let Some((name, others)) = others {
                self.subschema(others, &place.at(name).inner_value());
            }
        }
    }

    fn first_items(
        &mut self,
        keyword: &str,
        first: &Bson,
        others: Option<(&str, &Bson)>,
        place: &SchemaPlace,
        rules: &mut Rules,
    ) {
        let schemas = self.schemas(first, &place.at(keyword), SchemaPlace::inner_value);
        let mut group = doc! { "items": schemas };
        if let Some((name, others)) = others {
            group.insert("additionalItems", self.or_false(others, &place.at(name).inner_value()));
        }
        rules.put_together(group);
    }

    /// A list has an item that matches unless all its items match the opposite. The empty list, all of whose items
    /// match anything, has none, and what is not a list needs none.
    ///
    /// `oneOf` around a single schema changes nothing; by it the reading of refusals knows this rule (`violations.rs`).
    fn contains(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        if let Some(wanted) = schema.get("contains") {
            let wanted = self.subschema(wanted, &place.at("contains").inner_value());
            let lacking = doc! { "type": "array", "items": { "not": wanted } };
            rules.put("oneOf", vec![doc! { "not": lacking }]);
        }
    }
}
