//! The parts of each document that a caller wants to see.

use std::collections::BTreeMap;

use bson::{RawArray, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::path::FieldPath;
use crate::domain::Invalid;

/// The most paths a caller may name.
pub const FIELDS_MAX: usize = 100;

/// The parts to show of each document: those of MongoDB's inclusion projection with the same paths, and always the
/// `_id`. The server's own field is never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Level);

/// The wanted names of one object.
type Level = BTreeMap<String, Wanted>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// The whole value.
    Whole,
    /// Only these parts of it.
    Inside(Level),
}

impl Fields {
    /// Parses `a,b.c`: paths separated by commas. A path within another one adds nothing.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.split(',').count() > FIELDS_MAX {
            return Err(Invalid::new("too_many", format!("must name at most {FIELDS_MAX} fields")));
        }
        let mut wanted = Level::new();
        for part in text.split(',') {
            insert(&mut wanted, FieldPath::parse_from_top(part)?.as_str());
        }
        insert(&mut wanted, FieldPath::id().as_str());
        Ok(Self(wanted))
    }

    /// Returns the wanted parts of a document, in the document's order.
    pub fn pick(&self, document: &RawDocument) -> Result<RawDocumentBuf, bson::error::Error> {
        pick_of_document(&self.0, document)
    }
}

fn insert(level: &mut Level, path: &str) {
    let Some((name, inside)) = path.split_once('.') else {
        level.insert(path.to_owned(), Wanted::Whole);
        return;
    };
    match level.entry(name.to_owned()).or_insert_with(|| Wanted::Inside(Level::new())) {
        Wanted::Whole => {}
        Wanted::Inside(level) => insert(level, inside),
    }
}

fn pick_of_document(level: &Level, document: &RawDocument) -> Result<RawDocumentBuf, bson::error::Error> {
    let mut picked = RawDocumentBuf::new();
    for element in document.iter_elements() {
        let element = element?;
        match level.get(element.key().as_str()) {
            None => {}
            Some(Wanted::Whole) => picked.append(element.key(), element.value()?),
            Some(Wanted::Inside(level)) => {
                if let Some(value) = pick_of_value(level, element.value()?)? {
                    picked.append(element.key(), value);
                }
            }
        }
    }
    Ok(picked)
}

/// The wanted parts of a value; `None` when it is neither an object nor an array.
fn pick_of_value(level: &Level, value: RawBsonRef<'_>) -> Result<Option<RawBson>, bson::error::Error> {
    Ok(match value {
        RawBsonRef::Document(document) => Some(RawBson::Document(pick_of_document(level, document)?)),
        RawBsonRef::Array(array) => Some(RawBson::Array(pick_of_array(level, array)?)),
        _ => None,
    })
}

/// The same for each element of an array, including nested arrays; scalar elements are left out.
fn pick_of_array(level: &Level, array: &RawArray) -> Result<RawArrayBuf, bson::error::Error> {
    let mut picked = RawArrayBuf::new();
    for element in array {
        if let Some(value) = pick_of_value(level, element?)? {
            picked.push(value);
        }
    }
    Ok(picked)
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;

    fn pick(fields: &str, document: &Document) -> Document {
        let fields = Fields::parse(fields).expect("fields");
        let raw = RawDocumentBuf::try_from(document).expect("a document");
        Document::try_from(fields.pick(&raw).expect("picked")).expect("a document")
    }

    #[test]
    fn the_order_of_the_document_is_kept_and_the_identifier_comes_along() {
        let document = doc! { "_id": 1, "b": { "x": 1, "c": 2 }, "a": 3, "z": 4, "_rev": 5 };
        assert_eq!(pick("a,b.c", &document), doc! { "_id": 1, "b": { "c": 2 }, "a": 3 });
        assert_eq!(pick("none", &document), doc! { "_id": 1 });
    }

    #[test]
    fn the_wider_of_two_paths_wins() {
        let document = doc! { "_id": { "x": 1, "y": 2 }, "a": { "b": { "c": 1, "d": 2 }, "e": 3 } };
        for same in ["a", "a,a.b", "a.b,a", "a.b.c,a,a.b"] {
            assert_eq!(pick(same, &document), document, "{same}");
        }
        assert_eq!(pick("a.b.c,a.b", &document).get_document("a").expect("a"), &doc! { "b": { "c": 1, "d": 2 } });
        assert_eq!(pick("a.b.c,_id.x", &document), doc! { "_id": { "x": 1, "y": 2 }, "a": { "b": { "c": 1 } } });
    }

    #[test]
    fn a_path_leads_through_arrays_and_drops_what_has_no_inside() {
        let document = doc! { "_id": 1, "a": [1, { "b": 1, "c": 2 }, [{ "b": 3 }, 4], [], { "c": 5 }, null] };
        assert_eq!(pick("a.b", &document), doc! { "_id": 1, "a": [{ "b": 1 }, [{ "b": 3 }], [], {}] });
        assert_eq!(pick("a.b", &doc! { "_id": 1, "a": 5 }), doc! { "_id": 1 });
        assert_eq!(pick("a.0", &doc! { "_id": 1, "a": [{ "0": 1 }, 2] }), doc! { "_id": 1, "a": [{ "0": 1 }] });
    }

    #[test]
    fn only_the_top_level_has_a_field_of_the_servers_own() {
        let document = doc! { "_id": 1, "a": { "_rev": 2 }, "_rev": 3 };
        assert_eq!(pick("a._rev", &document), doc! { "_id": 1, "a": { "_rev": 2 } });
        assert_eq!(Fields::parse("a,_rev").map_err(|invalid| invalid.code), Err("reserved_field"));
    }

    #[test]
    fn each_broken_rule_has_its_code() {
        let code = |text: &str| Fields::parse(text).err().map(|invalid| invalid.code);
        assert_eq!(code(""), Some("too_short"));
        assert_eq!(code("a,"), Some("too_short"));
        assert_eq!(code("a,$b"), Some("invalid_characters"));
        assert_eq!(code(&["a"; FIELDS_MAX].join(",")), None);
        assert_eq!(code(&["a"; FIELDS_MAX + 1].join(",")), Some("too_many"));
    }
}
