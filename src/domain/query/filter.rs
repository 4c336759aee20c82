//! A filter for MongoDB's `find`, restricted to allowed operators.

use bson::Document;

use super::operands::Dialect;
use super::partial;
use super::place::FilterPlace;
use super::reader::FilterReader;
use crate::domain::{FieldError, Invalid};

/// A filter that MongoDB can run for a client: it has no code, expressions or text search, is bounded in size, and does
/// not mention the server's own field. The default matches every document.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    document: Document,
    /// The document's BSON, encoded while parsing, so every filter can be encoded.
    bytes: Vec<u8>,
}

impl Filter {
    /// Parses a listing's filter, in which extended JSON (`{"$oid": …}`, `{"$date": …}`) is BSON already.
    ///
    /// # Errors
    /// All refusals, up to [`super::ERRORS_MAX`], each with a JSON Pointer into the filter.
    pub fn parse(filter: &Document) -> Result<Self, Vec<FieldError>> {
        let mut reader = FilterReader::new(Dialect::Find);
        reader.read_top(filter);
        Self::accept(filter, reader.into_errors())
    }

    /// Parses a partial index's filter, for which MongoDB 6.0 allows fewer operators and less nesting.
    pub fn parse_partial(filter: &Document) -> Result<Self, Vec<FieldError>> {
        let mut reader = FilterReader::new(Dialect::PartialIndex);
        reader.read_top(filter);
        let mut errors = reader.into_errors();
        if errors.is_empty() {
            errors.extend(partial::check_depth(filter).err().map(|invalid| invalid.at(FilterPlace::ROOT.pointer())));
        }
        Self::accept(filter, errors)
    }

    /// The filter for MongoDB.
    pub fn as_document(&self) -> &Document {
        &self.document
    }

    /// The filter for MongoDB.
    pub fn into_document(self) -> Document {
        self.document
    }

    /// The filter's BSON.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it has no conditions, and so matches every document.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty()
    }

    fn accept(filter: &Document, errors: Vec<FieldError>) -> Result<Self, Vec<FieldError>> {
        if !errors.is_empty() {
            return Err(errors);
        }
        let bytes = filter.to_vec().map_err(|error| {
            vec![
                Invalid::new("invalid_value", format!("cannot be written as BSON: {error}"))
                    .at(FilterPlace::ROOT.pointer()),
            ]
        })?;
        Ok(Self { document: filter.clone(), bytes })
    }
}

impl Default for Filter {
    fn default() -> Self {
        /// The BSON of an empty document: its length and the final byte.
        const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];
        Self { document: Document::new(), bytes: EMPTY.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use bson::{Binary, Bson, DateTime, DbPointer, Regex, Timestamp, doc, oid::ObjectId, spec::BinarySubtype};
    use proptest::prelude::*;

    use super::super::reader::{CONDITIONS_MAX, DEPTH_MAX, ERRORS_MAX, VALUES_MAX};
    use super::*;

    type Refusal = (String, &'static str);

    fn refusals(result: Result<Filter, Vec<FieldError>>) -> Vec<Refusal> {
        result.err().unwrap_or_default().into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    fn refused(filter: &Document) -> Vec<Refusal> {
        refusals(Filter::parse(filter))
    }

    fn at(pointer: &str, code: &'static str) -> Refusal {
        (pointer.to_owned(), code)
    }

    /// One filter for each allowed form.
    fn allowed() -> Vec<Document> {
        vec![
            doc! {},
            doc! { "a": 1, "b.c.0": "x", "d": null, "e": {}, "f": { "g": { "h": [1, {}] } }, "i": [1, [2]] },
            doc! { "a": { "$eq": { "b": 1 }, "$ne": [1], "$gt": 1, "$gte": "a", "$lt": true, "$lte": null } },
            doc! { "a": { "$in": [], "$nin": [1, [2], { "b": 1 }, null], "$all": [1, {}] } },
            doc! { "$and": [{ "a": 1 }, { "$or": [{ "b": 1 }, { "$nor": [{}] }] }] },
            doc! { "a": { "$exists": true }, "b": { "$exists": false } },
            doc! { "a": { "$type": "string" }, "b": { "$type": 2 }, "c": { "$type": ["number", -1, 127_i64] } },
            doc! { "a": { "$size": 0 }, "b": { "$size": i64::from(i32::MAX) } },
            doc! { "a": { "$mod": [-1, 0] }, "b": { "$mod": [i64::MAX, i64::MIN] } },
            doc! { "a": { "$regex": "^a" }, "b": { "$options": "ims", "$regex": "" } },
            doc! { "a": { "$not": { "$regex": "a", "$options": "i" } }, "b": { "$not": { "$not": { "$gt": 1 } } } },
            doc! { "a": { "$elemMatch": {} }, "b": { "$elemMatch": { "$gt": 1, "$not": { "$lt": 5 } } } },
            doc! { "a": { "$elemMatch": { "b": 1, "_rev": 2, "$or": [{ "_rev": 1 }, { "d": { "$gt": 2 } }] } } },
            doc! { "a": ObjectId::from_bytes([1; 12]), "b": DateTime::MIN, "c": Timestamp { time: 1, increment: 1 } },
            doc! { "a": Bson::MinKey, "b": { "$lt": Bson::MaxKey }, "c": f64::NAN },
            doc! { "a": Binary { subtype: BinarySubtype::Generic, bytes: vec![] }, "b": { "$in": [Bson::MinKey] } },
        ]
    }

    #[test]
    fn what_is_allowed_goes_to_the_database_as_it_is() {
        for filter in allowed() {
            let parsed = Filter::parse(&filter).expect("allowed");
            assert_eq!(parsed.as_document().to_vec().expect("BSON"), filter.to_vec().expect("BSON"));
            assert_eq!(parsed.as_bytes(), filter.to_vec().expect("BSON"));
        }
        assert_eq!(Filter::default(), Filter::parse(&doc! {}).expect("allowed"));
    }

    #[test]
    fn operators_that_are_not_on_the_list_are_refused_wherever_they_stand() {
        for operator in ["$where", "$expr", "$function", "$text", "$comment", "$jsonSchema", "$near", "$", "$gT"] {
            let inner = doc! { operator: "x" };
            let refusal = |pointer: &str| vec![at(&format!("{pointer}/{operator}"), "unsupported_operator")];
            assert_eq!(refused(&inner), refusal(""));
            assert_eq!(refused(&doc! { "a": &inner }), refusal("/a"));
            assert_eq!(refused(&doc! { "$or": [{}, &inner] }), refusal("/$or/1"));
            assert_eq!(refused(&doc! { "a": { "$not": &inner } }), refusal("/a/$not"));
            assert_eq!(refused(&doc! { "a": { "$elemMatch": &inner } }), refusal("/a/$elemMatch"));
            assert_eq!(refused(&doc! { "a": { "$gt": &inner } }), refusal("/a/$gt"));
            assert_eq!(refused(&doc! { "a": { "$in": [1, [&inner]] } }), refusal("/a/$in/1/0"));
            assert_eq!(refused(&doc! { "a": { "b": &inner } }), refusal("/a/b"));
            assert_eq!(refused(&doc! { "a": [{ "b": &inner }] }), refusal("/a/0/b"));
        }
        assert_eq!(refused(&doc! { "$not": { "a": 1 } }), [at("/$not", "unsupported_operator")]);
        assert_eq!(refused(&doc! { "a": { "$and": [{ "$gt": 1 }] } }), [at("/a/$and", "unsupported_operator")]);
        assert_eq!(
            refused(&doc! { "a": { "$elemMatch": { "$or": [{ "b": 1 }], "$gt": 1 } } }),
            [at("/a/$elemMatch/$or", "unsupported_operator")]
        );
        let errors = Filter::parse(&doc! { "a": { "$where": "1" } }).expect_err("refused");
        assert!(errors.iter().all(|error| error.detail.contains("$where")), "{errors:?}");
    }

    #[test]
    fn operands_of_another_shape_are_refused() {
        let code = |operators: Document| refused(&doc! { "a": operators }).into_iter().map(|(_, code)| code).next();
        #[rustfmt::skip]
        let wrong_types = [
            doc! { "$in": 1 },
            doc! { "$nin": { "a": 1 } }, doc! { "$all": null }, doc! { "$exists": 1 }, doc! { "$type": true },
            doc! { "$type": ["string", 2.0] }, doc! { "$size": 1.0 }, doc! { "$mod": 2 }, doc! { "$mod": [2] },
            doc! { "$mod": [2, 1, 0] }, doc! { "$mod": [2.5, 1] }, doc! { "$not": 1 }, doc! { "$elemMatch": [1] },
            doc! { "$regex": 1 }, doc! { "$regex": "a", "$options": 1 },
        ];
        for wrong in wrong_types {
            assert_eq!(code(wrong.clone()), Some("wrong_type"), "{wrong}");
        }
        #[rustfmt::skip]
        let wrong_values = [
            doc! { "$type": "text" },
            doc! { "$type": 0 }, doc! { "$type": 20 }, doc! { "$size": -1 },
            doc! { "$size": i64::from(i32::MAX) + 1 }, doc! { "$mod": [0, 1] }, doc! { "$options": "i" },
            doc! { "$gt": 1, "b": 2 },
        ];
        for wrong in wrong_values {
            assert_eq!(code(wrong.clone()), Some("invalid_value"), "{wrong}");
        }
        assert_eq!(code(doc! { "$not": {} }), Some("too_short"));
        assert_eq!(code(doc! { "$type": [] }), Some("too_short"));
        assert_eq!(code(doc! { "$regex": "a".repeat(257) }), Some("too_long"));
        assert_eq!(code(doc! { "$regex": "a\0" }), Some("invalid_characters"));
        assert_eq!(code(doc! { "$regex": "a", "$options": "g" }), Some("invalid_characters"));
        assert_eq!(code(doc! { "$regex": "a b", "$options": "x" }), Some("unsupported_pattern"));
        assert_eq!(refused(&doc! { "$or": [] }), [at("/$or", "too_short")]);
        assert_eq!(refused(&doc! { "$and": { "a": 1 } }), [at("/$and", "wrong_type")]);
        assert_eq!(refused(&doc! { "$nor": [{}, 1] }), [at("/$nor/1", "wrong_type")]);
    }

    #[test]
    fn patterns_that_take_too_long_are_refused_wherever_they_stand() {
        let costly = doc! { "$regex": "[a-z]+1" };
        let refusal = |pointer: &str| vec![at(pointer, "pattern_too_costly")];
        assert_eq!(refused(&doc! { "a": &costly }), refusal("/a/$regex"));
        assert_eq!(refused(&doc! { "a": { "$not": &costly } }), refusal("/a/$not/$regex"));
        assert_eq!(refused(&doc! { "$or": [{}, { "a": &costly }] }), refusal("/$or/1/a/$regex"));
        assert_eq!(refused(&doc! { "a": { "$elemMatch": { "b": &costly } } }), refusal("/a/$elemMatch/b/$regex"));
        assert_eq!(refused(&doc! { "a": { "$elemMatch": &costly } }), refusal("/a/$elemMatch/$regex"));
        assert_eq!(refused(&doc! { "a": { "$regex": "^a*A*x", "$options": "" } }), []);
        assert_eq!(refused(&doc! { "a": { "$regex": "^a*A*x", "$options": "i" } }), refusal("/a/$regex"));
        assert_eq!(refused(&doc! { "a": { "$options": "i", "$regex": "^a*A*x" } }), refusal("/a/$regex"));
        assert_eq!(refused(&doc! { "a": { "$regex": "(?=a)" } }), [at("/a/$regex", "unsupported_pattern")]);
        assert_eq!(refused(&doc! { "a": { "$regex": "(" } }), [at("/a/$regex", "invalid_value")]);
    }

    #[test]
    fn patterns_for_one_field_add_up_and_those_for_several_do_not() {
        let heavy = || doc! { "$regex": "[a-z]{1,20}1" };
        let twice = |first: &str, second: &str| refused(&doc! { "$and": [{ first: heavy() }, { second: heavy() }] });
        assert_eq!(twice("a", "b"), []);
        assert_eq!(twice("a.b", "a.c"), []);
        for (first, second) in [("a", "a"), ("a.b", "a.0.b"), ("a", "a.12")] {
            assert_eq!(twice(first, second), [at(&format!("/$and/1/{second}/$regex"), "pattern_too_costly")]);
        }
        let inside = doc! { "a.b": heavy(), "a": { "$elemMatch": { "b": heavy() } } };
        assert_eq!(refused(&inside), [at("/a/$elemMatch/b/$regex", "pattern_too_costly")]);
    }

    #[test]
    fn values_of_retired_types_patterns_and_code_are_refused() {
        let pattern = Regex { pattern: bson::raw::cstr!("a").into(), options: bson::raw::cstr!("").into() };
        let pointer: DbPointer = match Bson::try_from(
            serde_json::json!({ "$dbPointer": { "$ref": "a.b", "$id": { "$oid": "0123456789abcdef01234567" } } }),
        ) {
            Ok(Bson::DbPointer(pointer)) => pointer,
            other => panic!("{other:?}"),
        };
        for value in [
            Bson::RegularExpression(pattern),
            Bson::JavaScriptCode("1".to_owned()),
            Bson::Symbol("a".to_owned()),
            Bson::Undefined,
            Bson::DbPointer(pointer),
        ] {
            assert_eq!(refused(&doc! { "a": value.clone() }), [at("/a", "wrong_type")]);
            assert_eq!(refused(&doc! { "a": { "$in": [value.clone()] } }), [at("/a/$in/0", "wrong_type")]);
            assert_eq!(refused(&doc! { "a": { "b": [value] } }), [at("/a/b/0", "wrong_type")]);
        }
    }

    #[test]
    fn names_that_are_no_paths_are_refused_with_their_place() {
        assert_eq!(refused(&doc! { "a..b/c": 1 }), [at("/a..b~1c", "invalid_value")]);
        assert_eq!(refused(&doc! { "": 1 }), [at("/", "too_short")]);
        assert_eq!(refused(&doc! { "a.$b": 1 }), [at("/a.$b", "invalid_characters")]);
        assert_eq!(refused(&doc! { "a": { "b\0": 1 } }), [at("/a/b\0", "invalid_characters")]);
        assert_eq!(refused(&doc! { "$or": [{ "_rev": 1 }] }), [at("/$or/0/_rev", "reserved_field")]);
    }

    #[test]
    fn all_that_is_wrong_is_reported_at_once_up_to_a_bound() {
        let filter = doc! { "a": { "$where": 1, "$size": -1 }, "$or": [], "b.": { "$regex": 1 } };
        assert_eq!(refused(&filter).len(), 5);
        let many: Document = (0..100).map(|index| (format!("a{index}"), doc! { "$where": 1 }.into())).collect();
        assert_eq!(refused(&many).len(), ERRORS_MAX);
    }

    #[test]
    fn depth_number_of_conditions_and_number_of_values_are_bounded() {
        let nested = |levels: usize| (1..levels).fold(doc! {}, |inner, _| doc! { "a": inner });
        assert!(Filter::parse(&nested(DEPTH_MAX)).is_ok());
        assert!(refused(&nested(DEPTH_MAX + 1)).iter().all(|(_, code)| *code == "too_deep"));
        assert_eq!(refused(&nested(5_000)).len(), 1);

        let wide = |count: usize| (0..count).map(|index| (format!("a{index}"), Bson::Null)).collect::<Document>();
        assert!(Filter::parse(&wide(CONDITIONS_MAX)).is_ok());
        assert_eq!(refused(&wide(CONDITIONS_MAX + 2)), [at(&format!("/a{CONDITIONS_MAX}"), "too_many")]);

        let values = |count: usize| doc! { "a": { "$in": vec![Bson::Null; count] } };
        assert!(Filter::parse(&values(VALUES_MAX)).is_ok());
        assert_eq!(refused(&values(VALUES_MAX + 1)), [at("/a/$in", "too_many")]);
    }

    #[test]
    fn a_partial_index_takes_fewer_operators() {
        let partial = |filter: &Document| refusals(Filter::parse_partial(filter));
        for filter in [
            doc! {},
            doc! { "a": 1, "b": { "c": 1 }, "d": null, "e": [1] },
            doc! { "a": { "$eq": null, "$exists": true, "$gt": 1, "$gte": 1, "$lt": 5, "$lte": 5, "$type": "int" } },
            doc! { "$or": [{ "a": { "$in": [1, 2] } }, { "$and": [{ "b": 1 }, { "c": 1 }] }] },
        ] {
            assert_eq!(partial(&filter), []);
        }
        for operator in ["$ne", "$nin", "$not", "$all", "$elemMatch", "$size", "$mod", "$regex", "$options"] {
            let refusal = at(&format!("/a/{operator}"), "unsupported_operator");
            assert_eq!(partial(&doc! { "a": { operator: 1 } }), [refusal]);
        }
        assert_eq!(partial(&doc! { "$nor": [{}] }), [at("/$nor", "unsupported_operator")]);
        assert_eq!(partial(&doc! { "a": { "$exists": false } }), [at("/a/$exists", "invalid_value")]);
    }

    #[test]
    fn a_partial_index_has_four_levels_the_unwritten_and_included() {
        let code = |filter: &Document| refusals(Filter::parse_partial(filter)).into_iter().map(|(_, code)| code).next();
        let nested =
            |levels: usize, last: Document| (0..levels).fold(last, |inner, _| doc! { "$or": [inner, { "b": 1 }] });
        assert_eq!(code(&nested(3, doc! { "a": 1 })), None);
        assert_eq!(code(&nested(3, doc! { "a": { "$in": [1, 2] } })), None);
        assert_eq!(code(&nested(3, doc! { "a": 1, "c": 1 })), Some("too_deep"));
        assert_eq!(code(&nested(3, doc! { "a": { "$gt": 1, "$lt": 3 } })), Some("too_deep"));
        assert_eq!(code(&nested(4, doc! { "a": 1 })), Some("too_deep"));
        assert_eq!(code(&doc! { "$or": [nested(2, doc! { "a": 1 })], "c": 1 }), Some("too_deep"));
    }

    /// Values with operators anywhere, valid or not.
    fn anything() -> impl Strategy<Value = Bson> {
        #[rustfmt::skip]
        let name = prop::sample::select(vec![
            "a", "b.c", "", "$and", "$or", "$not", "$gt", "$in", "$elemMatch", "$where", "$expr", "$regex",
            "$options",
        ]);
        let leaf = prop_oneof![
            any::<i32>().prop_map(Bson::Int32),
            any::<bool>().prop_map(Bson::Boolean),
            Just(Bson::String("a".to_owned())),
            Just(Bson::Undefined),
        ];
        leaf.prop_recursive(6, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Bson::Array),
                prop::collection::vec((name.clone(), inner), 0..4)
                    .prop_map(|fields| Bson::Document(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
            ]
        })
    }

    fn names_code(value: &Bson) -> bool {
        match value {
            Bson::Document(object) => {
                object.iter().any(|(key, value)| matches!(key.as_str(), "$where" | "$expr") || names_code(value))
            }
            Bson::Array(values) => values.iter().any(names_code),
            other => *other == Bson::Undefined,
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_has_no_code_in_it_and_is_unchanged(value in anything()) {
            let filter = doc! { "a": value };
            if let Ok(parsed) = Filter::parse(&filter) {
                prop_assert!(!names_code(&Bson::Document(filter.clone())));
                prop_assert_eq!(parsed.into_document(), filter);
            }
        }
    }
}
