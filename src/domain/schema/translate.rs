//! Walks through a client's schema and writes MongoDB's; the files beside it know the groups of keywords.

use bson::{Bson, Document};

use super::patterns::Patterns;
use super::place::SchemaPlace;
use super::rules::{Rules, nothing};
use super::{FieldError, Invalid, MAX_ERRORS, MAX_LEVELS, MAX_SUBSCHEMAS, keywords};

/// A translation under way: what was wrong so far, and how many schemas were read.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// Each place that could not be translated.
    pub(super) errors: Vec<FieldError>,
    /// How many schemas the translation has.
    pub(super) subschemas: usize,
    /// The patterns in it.
    pub(super) patterns: Patterns,
}

impl Translation {
    /// Notes that a place cannot be translated.
    pub(super) fn refuse(&mut self, place: &SchemaPlace, why: Invalid) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(why.at(place.pointer()));
        }
    }

    /// The value, or a note why it is not acceptable here.
    pub(super) fn accept<T>(&mut self, place: &SchemaPlace, read: Result<T, Invalid>) -> Option<T> {
        read.map_err(|why| self.refuse(place, why)).ok()
    }

    /// The value of a keyword; `None` when it is not there, or not acceptable.
    pub(super) fn read<'s, T>(
        &mut self,
        schema: &'s Document,
        keyword: &str,
        place: &SchemaPlace,
        read: impl FnOnce(&'s Bson) -> Result<T, Invalid>,
    ) -> Option<T> {
        schema.get(keyword).and_then(|value| self.accept(&place.at(keyword), read(value)))
    }

    /// Translates what stands where a schema is expected: an object, or `true` or `false`.
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

    /// Translates an object that is a schema.
    pub(super) fn schema(&mut self, schema: &Document, place: &SchemaPlace) -> Document {
        for (name, value) in schema {
            self.accept(&place.at(name), keywords::keyword(name, value));
        }
        let mut rules = Rules::default();
        self.comparisons(schema, place, &mut rules);
        let integer = self.types(schema, place, &mut rules);
        self.objects(schema, place, &mut rules);
        self.applicators(schema, place, &mut rules);

        // A document is an object: what is said of numbers, texts and lists does not concern it. MongoDB would take
        // some of it badly there: it aborts when it has to explain certain rules about the whole document.
        let mut of_no_object = Rules::default();
        let values = if place.is_root { &mut of_no_object } else { &mut rules };
        self.numbers(schema, place, integer, values);
        self.texts(schema, place, values);
        self.arrays(schema, place, values);
        rules.into_schema()
    }

    /// Counts schemas that the translation repeats, and tells whether there is room for them. They must not be written
    /// when there is none: conditions in conditions would double without end.
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

    /// Says so once, where the limit is passed: what comes after is not read any more.
    fn refuse_too_many(&mut self, place: &SchemaPlace) {
        if self.subschemas > MAX_SUBSCHEMAS {
            let detail = format!("exceeds the {MAX_SUBSCHEMAS} schemas that are allowed");
            self.refuse(place, Invalid::new("too_many", detail));
        }
    }
}
