//! List items.

use bson::{Bson, Document, doc};

use super::place::SchemaPlace;
use super::rules::Rules;
use super::translate::Translation;
use super::{Invalid, values};

impl Translation {
    /// All list keywords.
    pub(super) fn arrays(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        self.counts(schema, ["minItems", "maxItems"], place, rules);
        if let Some(unique) = self.read(schema, "uniqueItems", place, values::boolean) {
            rules.put("uniqueItems", unique);
        }
        self.items(schema, place, rules);
        self.contains(schema, place, rules);
    }

    /// `items`, `prefixItems` and `additionalItems`. A list of schemas for the first items is `prefixItems` since draft
    /// 2020-12 and `items` before; `items` and `additionalItems` apply to the rest.
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
            // Without a list, no item is additional.
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

    /// A list contains a match unless all its items match the opposite. The empty list has none, although all its items
    /// match anything; values other than lists need none.
    ///
    /// `oneOf` around a single schema changes nothing; it only lets the reader of refusals recognize this rule
    /// (`violations.rs`).
    fn contains(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        if let Some(wanted) = schema.get("contains") {
            let wanted = self.subschema(wanted, &place.at("contains").inner_value());
            let lacking = doc! { "type": "array", "items": { "not": wanted } };
            rules.put("oneOf", vec![doc! { "not": lacking }]);
        }
    }
}
