//! Walks a client's schema and writes MongoDB's; the neighbouring files handle the groups of keywords.

use bson::{Bson, Document};

use super::patterns::Patterns;
use super::place::SchemaPlace;
use super::rules::{Rules, nothing};
use super::{FieldError, Invalid, MAX_ERRORS, MAX_LEVELS, MAX_SUBSCHEMAS, keywords};

/// A translation in progress: the errors so far, and how many schemas were read.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// The untranslatable places.
    pub(super) errors: Vec<FieldError>,
    /// How many schemas the translation has.
    pub(super) subschemas: usize,
    /// The patterns in it.
    pub(super) patterns: Patterns,
}

impl Translation {
    /// Records an untranslatable place.
    pub(super) fn refuse(&mut self, place: &SchemaPlace, why: Invalid) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(why.at(place.pointer()));
        }
    }

    /// Returns the value, or records why it is not acceptable here.
    pub(super) fn accept<T>(&mut self, place: &SchemaPlace, read: Result<T, Invalid>) -> Option<T> {
        read.map_err(|why| self.refuse(place, why)).ok()
    }

    /// The value of a keyword; `None` when it is missing or not acceptable.
    pub(super) fn read<'s, T>(
        &mut self,
        schema: &'s Document,
        keyword: &str,
        place: &SchemaPlace,
        read: impl FnOnce(&'s Bson) -> Result<T, Invalid>,
    ) -> Option<T> {
        schema.get(keyword).and_then(|value| self.accept(&place.at(keyword), read(value)))
    }

    /// Translates the value of a schema: an object, `true` or `false`.
    pub(super) fn subschema(&mut self, value: &Bson, place: &SchemaPlace) -> Document {
        if !self.has_room(place) {
            return Document::new();
        }
        match value {
            Bson::Boolean(true) => Document::new(),
            Bson::Boolean(false) => nothing(),
            Bson::Document(schema) => self.schema(schema, place),
            _ => {
                self.refuse(place, Invalid::new("wrong_type", "must be a schema: an object, true or false"));
                Document::new()
            }
        }
    }

    /// Translates a schema object.
    pub(super) fn schema(&mut self, schema: &Document, place: &SchemaPlace) -> Document {
        for (name, value) in schema {
            self.accept(&place.at(name), keywords::keyword(name, value));
        }
        let mut rules = Rules::default();
        self.comparisons(schema, place, &mut rules);
        let integer = self.types(schema, place, &mut rules);
        self.objects(schema, place, &mut rules);
        self.applicators(schema, place, &mut rules);

        // A document is an object: rules for numbers, texts and lists do not apply to it. MongoDB aborts when it must
        // explain some of them for the whole document.
        let mut of_no_object = Rules::default();
        let values = if place.is_root { &mut of_no_object } else { &mut rules };
        self.numbers(schema, place, integer, values);
        self.texts(schema, place, values);
        self.arrays(schema, place, values);
        rules.into_schema()
    }

    /// Counts schemas that the translation repeats, and returns whether they fit. They must not be written otherwise:
    /// nested conditions would double without end.
    pub(super) fn repeat(&mut self, count: usize, place: &SchemaPlace) -> bool {
        if self.subschemas <= MAX_SUBSCHEMAS {
            self.subschemas += count;
            self.refuse_too_many(place);
        }
        self.subschemas <= MAX_SUBSCHEMAS
    }

    fn has_room(&mut self, place: &SchemaPlace) -> bool {
        if self.subschemas > MAX_SUBSCHEMAS {
            return false;
        }
        if place.level > MAX_LEVELS {
            let detail = format!("lies deeper than {MAX_LEVELS} levels");
            self.refuse(place, Invalid::new("too_deep", detail));
            return false;
        }
        self.subschemas += 1;
        self.refuse_too_many(place);
        self.subschemas <= MAX_SUBSCHEMAS
    }

    /// Reports the limit once, when it is exceeded; nothing after that is read.
    fn refuse_too_many(&mut self, place: &SchemaPlace) {
        if self.subschemas > MAX_SUBSCHEMAS {
            let detail = format!("exceeds the {MAX_SUBSCHEMAS} schemas that are allowed");
            self.refuse(place, Invalid::new("too_many", detail));
        }
    }
}
