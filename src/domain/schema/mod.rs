//! JSON Schema for an organization's documents, in the dialect of MongoDB's `$jsonSchema`.
//!
//! MongoDB checks every write itself, so nothing can bypass the schema. Its dialect is draft 4 with gaps: a client's
//! schema is translated where its meaning is preserved, and otherwise refused with the place. Nothing here talks to a
//! database: the service sets [`CollectionSchema::enforced`], and parses MongoDB's refusals with [`violations()`].

mod applicators;
mod arrays;
mod keywords;
mod objects;
mod patterns;
mod place;
mod rules;
mod scalars;
mod sentences;
mod translate;
mod values;
mod violations;

use bson::{Bson, Document};

use self::place::SchemaPlace;
use self::translate::Translation;
use super::{FieldError, Invalid};

pub use violations::violations;

/// The field that the server keeps in each document for its own use. Users never see it, so that no schema may speak
/// of it, and none may refuse a document for it.
const REVISION: &str = crate::domain::documents::REVISION_FIELD;

/// How many untranslatable places to report.
const MAX_ERRORS: usize = 100;

/// How deep schemas may be nested, the whole being the first level.
const MAX_LEVELS: usize = 30;

/// How many schemas a schema may hold, counting those that the translation repeats: nested `if`s would double with each
/// level.
const MAX_SUBSCHEMAS: usize = 1_000;

/// How deep the translated BSON may be. MongoDB's account of a refusal is about twice as deep as the broken rule, and
/// MongoDB reads no BSON of more than 200 levels: beyond that, a refused write would fail with another error.
const MAX_BSON_LEVELS: usize = 80;

/// A JSON Schema in MongoDB's dialect that allows the server's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionSchema {
    enforced: Document,
}

impl CollectionSchema {
    /// Translates a client's JSON Schema (drafts 4 to 2020-12).
    ///
    /// # Errors
    /// Every place that cannot be translated, each with its JSON Pointer (RFC 6901) into the schema.
    pub fn parse(schema: &Document) -> Result<Self, Vec<FieldError>> {
        let mut translation = Translation::default();
        let enforced = translation.schema(schema, &SchemaPlace::whole());
        if translation.errors.is_empty() && bson_levels(&enforced) > MAX_BSON_LEVELS {
            translation.refuse(&SchemaPlace::whole(), Invalid::new("too_deep", "nests its rules too deep for MongoDB"));
        }
        if translation.errors.is_empty()
            && let Err(why) = translation.patterns.check(&enforced)
        {
            translation.refuse(&SchemaPlace::whole(), why);
        }
        if translation.errors.is_empty() { Ok(Self { enforced }) } else { Err(translation.errors) }
    }

    /// The value for `$jsonSchema`.
    pub fn enforced(&self) -> &Document {
        &self.enforced
    }
}

fn bson_levels(document: &Document) -> usize {
    1 + document.values().map(value_levels).max().unwrap_or(0)
}

fn value_levels(value: &Bson) -> usize {
    match value {
        Bson::Document(inner) => bson_levels(inner),
        Bson::Array(items) => 1 + items.iter().map(value_levels).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
