//! Schemas that apply to the same value as the schema around them.

use bson::{Bson, Document, doc};

use super::place::SchemaPlace;
use super::rules::Rules;
use super::translate::Translation;
use super::values;

impl Translation {
    /// `allOf`, `anyOf`, `oneOf`, `not`, and `if` with `then` and `else`.
    pub(super) fn applicators(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        for keyword in ["allOf", "anyOf", "oneOf"] {
            if let Some(value) = schema.get(keyword) {
                rules.put(keyword, self.schemas(value, &place.at(keyword), SchemaPlace::same_value));
            }
        }
        if let Some(value) = schema.get("not") {
            rules.put("not", self.subschema(value, &place.at("not").same_value()));
        }
        self.conditions(schema, place, rules);
    }

    /// A non-empty list of schemas, each at the place that `applied` derives from the item's.
    pub(super) fn schemas(
        &mut self,
        value: &Bson,
        place: &SchemaPlace,
        applied: fn(&SchemaPlace) -> SchemaPlace,
    ) -> Vec<Document> {
        let schemas = self.accept(place, values::filled_list(value, "schemas")).unwrap_or_default();
        let translate = |(index, schema)| self.subschema(schema, &applied(&place.item(index)));
        schemas.iter().enumerate().map(translate).collect()
    }

    /// A value that matches `if` must match `then`, and any other must match `else`. Without `if` they mean nothing,
    /// and vice versa; they are read anyway, so that errors in them are reported.
    fn conditions(&mut self, schema: &Document, place: &SchemaPlace, rules: &mut Rules) {
        let mut translated = |keyword: &str| {
            schema.get(keyword).map(|value| {
                let before = self.subschemas;
                let schema = self.subschema(value, &place.at(keyword).same_value());
                // Each kilobyte counts as another schema: a list of values is no schema, but is repeated anyway.
                let bytes = schema.to_vec().map(|bytes| bytes.len()).unwrap_or_default();
                (schema, self.subschemas - before + bytes / 1_024)
            })
        };
        let (condition, then, otherwise) = (translated("if"), translated("then"), translated("else"));
        let Some((condition, size)) = condition else {
            return;
        };
        if then.is_some() && otherwise.is_some() && !self.repeat(size, &place.at("if")) {
            return;
        }
        if let Some((otherwise, _)) = otherwise {
            rules.put_implication(doc! { "not": condition.clone() }, otherwise);
        }
        if let Some((then, _)) = then {
            rules.put_implication(condition, then);
        }
    }
}
