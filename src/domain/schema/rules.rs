//! Collects the rules of one translated schema.

use bson::{Bson, Document, doc};

/// Rules that must all hold: keywords side by side, and further schemas for keywords that would collide.
#[derive(Debug, Default)]
pub(super) struct Rules {
    keywords: Document,
    others: Vec<Document>,
}

impl Rules {
    /// Adds an independent keyword.
    pub(super) fn put(&mut self, keyword: &str, value: impl Into<Bson>) {
        self.put_together(doc! { keyword: value.into() });
    }

    /// Adds keywords that depend on each other. If one is already present, they become their own schema under `allOf`.
    pub(super) fn put_together(&mut self, group: Document) {
        if group.keys().any(|keyword| self.keywords.contains_key(keyword)) {
            self.others.push(group);
        } else {
            self.keywords.extend(group);
        }
    }

    /// Adds `type` or `bsonType`, which MongoDB refuses side by side.
    pub(super) fn put_type(&mut self, keyword: &str, types: impl Into<Bson>) {
        let group = doc! { keyword: types.into() };
        if self.keywords.contains_key("type") || self.keywords.contains_key("bsonType") {
            self.others.push(group);
        } else {
            self.keywords.extend(group);
        }
    }

    /// Requires `consequence` of values that match `condition`.
    ///
    /// The reader of refusals recognizes the form `anyOf: [{ not: … }, …]` (`violations.rs`).
    pub(super) fn put_implication(&mut self, condition: Document, consequence: Document) {
        self.others.push(doc! { "anyOf": [{ "not": condition }, consequence] });
    }

    /// Adds a rule that nothing matches.
    pub(super) fn put_nothing_matches(&mut self) {
        self.others.push(nothing());
    }

    /// All rules as one schema.
    pub(super) fn into_schema(self) -> Document {
        let Self { mut keywords, others } = self;
        if others.is_empty() {
            return keywords;
        }
        let others = others.into_iter().map(Bson::Document);
        if let Ok(all) = keywords.get_array_mut("allOf") {
            all.extend(others);
        } else {
            keywords.insert("allOf", others.collect::<Vec<_>>());
        }
        keywords
    }
}

/// The schema that nothing matches.
pub(super) fn nothing() -> Document {
    doc! { "not": {} }
}
