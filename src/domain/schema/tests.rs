//! How each keyword is translated, and what is refused.

use bson::{Document, doc};

use super::CollectionSchema;

fn enforced(schema: &Document) -> Document {
    CollectionSchema::parse(schema).expect("a schema that can be translated").enforced().clone()
}

/// A schema for a property, so that nothing in it describes the whole document.
fn property(schema: Document) -> Document {
    doc! { "properties": { "x": schema } }
}

/// The pointers and codes of the refusals.
fn refused(schema: &Document) -> Vec<(String, &'static str)> {
    let errors = CollectionSchema::parse(schema).expect_err("a schema that cannot be translated");
    errors.into_iter().map(|error| (error.pointer, error.code)).collect()
}

fn nested(levels: usize, wrap: impl Fn(Document) -> Document) -> Document {
    (1..levels).fold(doc! { "required": ["q"] }, |schema, _| wrap(schema))
}

#[test]
fn the_rules_of_a_value_keep_their_meaning() {
    let cases = [
        (doc! { "type": "string", "minLength": 1.0 }, doc! { "type": "string", "minLength": 1_i64 }),
        (doc! { "type": "integer" }, doc! { "type": ["number"], "multipleOf": 1 }),
        (doc! { "type": ["integer", "null"] }, doc! { "type": ["number", "null"], "multipleOf": 1 }),
        (doc! { "type": ["integer", "number"] }, doc! { "type": "number" }),
        (doc! { "type": ["number"] }, doc! { "type": "number" }),
        (doc! { "type": ["number", "null"] }, doc! { "type": ["null", "number"] }),
        (doc! { "type": "integer", "multipleOf": 2 }, doc! { "type": ["number"], "multipleOf": 2 }),
        (
            doc! { "type": "integer", "multipleOf": 1.5 },
            doc! { "type": ["number"], "multipleOf": 1, "allOf": [{ "multipleOf": 1.5 }] },
        ),
        (doc! { "bsonType": ["date", "int"] }, doc! { "bsonType": ["date", "int"] }),
        (
            doc! { "type": "object", "bsonType": "object" },
            doc! { "type": "object", "allOf": [{ "bsonType": ["object"] }] },
        ),
        (doc! { "exclusiveMinimum": 3 }, doc! { "minimum": 3, "exclusiveMinimum": true }),
        (
            doc! { "minimum": 4, "exclusiveMinimum": 3 },
            doc! { "minimum": 4, "allOf": [{ "minimum": 3, "exclusiveMinimum": true }] },
        ),
        (doc! { "maximum": 4, "exclusiveMaximum": true }, doc! { "maximum": 4, "exclusiveMaximum": true }),
        (doc! { "maximum": 4, "exclusiveMaximum": false }, doc! { "maximum": 4 }),
        (doc! { "exclusiveMaximum": false }, doc! {}),
        (doc! { "const": null }, doc! { "enum": [null] }),
        (doc! { "enum": [1, 2], "const": 1 }, doc! { "enum": [1, 2], "allOf": [{ "enum": [1] }] }),
        (
            doc! { "enum": [1, 1.0, { "a": 1, "b": 2 }, { "b": 2, "a": 1.0 }, true, "1"] },
            doc! { "enum": [1, { "a": 1, "b": 2 }, true, "1"] },
        ),
        (doc! { "minProperties": 1 }, doc! { "minProperties": 1_i64 }),
    ];
    for (schema, expected) in cases {
        assert_eq!(enforced(&property(schema.clone())), property(expected), "{schema}");
    }
}

#[test]
fn the_rules_of_lists_keep_their_meaning() {
    let cases = [
        (doc! { "items": true }, doc! { "items": {} }),
        (doc! { "items": false }, doc! { "items": { "not": {} } }),
        (
            doc! { "items": [{}, false], "additionalItems": false },
            doc! { "items": [{}, { "not": {} }], "additionalItems": false },
        ),
        (doc! { "items": {}, "additionalItems": false }, doc! { "items": {} }),
        (doc! { "prefixItems": [{}], "items": false }, doc! { "items": [{}], "additionalItems": false }),
        (
            doc! { "prefixItems": [{}], "additionalItems": { "type": "null" } },
            doc! { "items": [{}], "additionalItems": { "type": "null" } },
        ),
        (
            doc! { "contains": { "type": "null" } },
            doc! { "oneOf": [{ "not": { "type": "array", "items": { "not": { "type": "null" } } } }] },
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(enforced(&property(schema.clone())), property(expected), "{schema}");
    }
}

#[test]
fn conditions_become_alternatives() {
    let schema = doc! { "if": { "required": ["a"] }, "then": { "required": ["b"] }, "else": { "required": ["c"] } };
    let expected = doc! { "allOf": [
        { "anyOf": [{ "not": { "not": { "required": ["a"] } } }, { "required": ["c"] }] },
        { "anyOf": [{ "not": { "required": ["a"] } }, { "required": ["b"] }] },
    ] };
    assert_eq!(enforced(&schema), expected);
    assert_eq!(enforced(&doc! { "if": false, "allOf": [true] }), doc! { "allOf": [{}] });
    assert_eq!(enforced(&doc! { "then": false, "else": false }), doc! {});
}

#[test]
fn dependencies_have_one_name_in_mongodb() {
    let schema = doc! {
        "dependentRequired": { "a": ["b"], "c": [] },
        "dependentSchemas": { "a": false },
    };
    let expected = doc! { "dependencies": { "a": ["b"] }, "allOf": [{ "dependencies": { "a": { "not": {} } } }] };
    assert_eq!(enforced(&schema), expected);
    assert_eq!(
        enforced(&doc! { "dependencies": { "a": ["b"], "c": {} } }),
        doc! { "dependencies": { "a": ["b"], "c": {} } }
    );
}

#[test]
fn what_speaks_to_people_is_not_enforced() {
    let schema = doc! {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "$comment": "x", "title": "x",
        "description": "x", "default": 1, "examples": [1], "deprecated": true, "readOnly": true, "writeOnly": false,
        "$defs": { "a": { "$ref": "#" } }, "definitions": {},
    };
    assert_eq!(enforced(&schema), doc! {});
}

#[test]
fn the_fields_of_the_server_are_always_allowed() {
    let closed = doc! { "properties": { "a": true }, "additionalProperties": false };
    let open_for_own = doc! { "properties": { "a": {}, "_id": {}, "_rev": {} }, "additionalProperties": false };
    assert_eq!(enforced(&closed), open_for_own);
    for keyword in ["allOf", "anyOf", "oneOf"] {
        assert_eq!(enforced(&doc! { keyword: [closed.clone()] }), doc! { keyword: [open_for_own.clone()] });
    }
    assert_eq!(enforced(&doc! { "not": closed.clone() }), doc! { "not": open_for_own.clone() });
    assert_eq!(
        enforced(&property(closed.clone())),
        property(doc! { "properties": { "a": {} }, "additionalProperties": false })
    );
    assert_eq!(
        enforced(&doc! { "properties": { "_id": { "type": "string" } }, "additionalProperties": { "type": "null" } }),
        doc! {
            "properties": { "_id": { "type": "string" }, "_rev": {} },
            "additionalProperties": { "type": "null" },
        }
    );
}

#[test]
fn patterns_for_the_whole_document_spare_the_revision() {
    let schema = doc! { "patternProperties": { "^_|(b)": { "type": "null" } } };
    let spared = doc! { "patternProperties": { r"\A(?!_rev\z)(?s:.*?)(?:^_|(b))": { "type": "null" } } };
    assert_eq!(enforced(&schema), spared);
    assert_eq!(enforced(&property(schema.clone())), property(schema));
}

#[test]
fn the_revision_is_counted_among_the_properties_of_the_document() {
    let schema = doc! { "minProperties": 1, "maxProperties": i64::MAX };
    assert_eq!(enforced(&schema), doc! { "minProperties": 2_i64, "maxProperties": i64::MAX });
}

#[test]
fn the_document_is_known_to_be_an_object() {
    assert_eq!(enforced(&doc! { "type": ["object", "null"], "minimum": 1, "pattern": "a", "items": false }), doc! {});
    assert_eq!(enforced(&doc! { "type": "string" }), doc! { "allOf": [{ "not": {} }] });
    assert_eq!(enforced(&doc! { "bsonType": "object" }), doc! {});
}

#[test]
fn what_cannot_be_enforced_is_refused_with_its_place() {
    #[rustfmt::skip]
    let keywords = [
        "$ref",
        "$dynamicRef", "format", "propertyNames", "unevaluatedProperties", "minContains", "contentEncoding",
        "nullable", "encrypt", "typo",
    ];
    for keyword in keywords {
        assert_eq!(
            refused(&property(doc! { keyword: true })),
            [(format!("/properties/x/{keyword}"), "unsupported_keyword")]
        );
    }
    for keyword in ["enum", "const"] {
        assert_eq!(refused(&doc! { keyword: [{}] }), [(format!("/{keyword}"), "unsupported_keyword")]);
    }
}

#[test]
fn wrong_values_of_keywords_are_refused() {
    let cases = [
        (doc! { "$schema": "http://json-schema.org/draft-03/schema#" }, "/$schema", "invalid_value"),
        (doc! { "title": 1 }, "/title", "wrong_type"),
        (doc! { "type": "strnig" }, "/type", "unknown_type"),
        (doc! { "type": [] }, "/type", "invalid_value"),
        (doc! { "type": ["null", "null"] }, "/type/1", "invalid_value"),
        (doc! { "type": 1 }, "/type", "wrong_type"),
        (doc! { "bsonType": "integer" }, "/bsonType", "unknown_type"),
        (doc! { "minLength": "x" }, "/minLength", "wrong_type"),
        (doc! { "minLength": -1 }, "/minLength", "invalid_value"),
        (doc! { "maxItems": 1.5 }, "/maxItems", "invalid_value"),
        (doc! { "minimum": f64::NAN }, "/minimum", "invalid_value"),
        (doc! { "multipleOf": 0 }, "/multipleOf", "invalid_value"),
        (doc! { "exclusiveMinimum": true }, "/exclusiveMinimum", "invalid_value"),
        (doc! { "required": [] }, "/required", "invalid_value"),
        (doc! { "required": ["a", "a"] }, "/required/1", "invalid_value"),
        (doc! { "required": "a" }, "/required", "wrong_type"),
        (doc! { "enum": [] }, "/enum", "invalid_value"),
        (doc! { "enum": [{ "a\0": 1 }] }, "/enum", "invalid_value"),
        (doc! { "allOf": [] }, "/allOf", "invalid_value"),
        (doc! { "anyOf": [1] }, "/anyOf/0", "wrong_type"),
        (doc! { "not": [] }, "/not", "wrong_type"),
        (doc! { "items": [] }, "/items", "invalid_value"),
        (doc! { "items": 1 }, "/items", "wrong_type"),
        (doc! { "prefixItems": {} }, "/prefixItems", "wrong_type"),
        (doc! { "prefixItems": [{}], "items": {}, "additionalItems": {} }, "/additionalItems", "invalid_value"),
        (doc! { "uniqueItems": 1 }, "/uniqueItems", "wrong_type"),
        (doc! { "properties": [] }, "/properties", "wrong_type"),
        (doc! { "properties": { "a/b~": 1 } }, "/properties/a~1b~0", "wrong_type"),
        (doc! { "dependentRequired": { "a": {} } }, "/dependentRequired/a", "wrong_type"),
        (doc! { "dependentSchemas": { "a": [] } }, "/dependentSchemas/a", "wrong_type"),
        (doc! { "pattern": 1 }, "/pattern", "wrong_type"),
        (doc! { "pattern": "(" }, "/pattern", "invalid_value"),
        (doc! { "patternProperties": { "a)|(b": {} } }, "/patternProperties/a)|(b", "invalid_value"),
        (doc! { "properties": { "": {} } }, "/properties/", "unsupported_name"),
        (doc! { "required": ["a.b"] }, "/required/0", "unsupported_name"),
    ];
    for (schema, pointer, code) in cases {
        let expected = [(format!("/properties/x{pointer}"), code)];
        assert_eq!(refused(&property(schema.clone())), expected, "{schema}");
    }
}

#[test]
fn the_revision_is_not_for_clients_to_speak_of() {
    let cases = [
        (doc! { "properties": { "_rev": {} } }, "/properties/_rev"),
        (doc! { "required": ["_rev"] }, "/required/0"),
        (doc! { "dependencies": { "_rev": ["a"] } }, "/dependencies/_rev"),
        (doc! { "dependentRequired": { "a": ["_rev"] } }, "/dependentRequired/a/0"),
    ];
    for (schema, pointer) in cases {
        assert_eq!(refused(&schema), [(pointer.to_owned(), "reserved_field")]);
        assert_eq!(refused(&doc! { "if": schema.clone() }), [(format!("/if{pointer}"), "reserved_field")]);
        assert!(CollectionSchema::parse(&property(schema)).is_ok());
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let schema = doc! { "type": "a", "properties": { "b": { "format": "date" }, "c": { "minLength": -1 } } };
    let places: Vec<String> = refused(&schema).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["/type", "/properties/b/format", "/properties/c/minLength"]);
}

#[test]
fn depth_and_number_of_schemas_are_bounded() {
    let in_property = |schema| doc! { "properties": { "a": schema } };
    assert!(CollectionSchema::parse(&nested(30, in_property)).is_ok());
    assert_eq!(refused(&nested(31, in_property))[0].1, "too_deep");
    assert_eq!(refused(&nested(25, |schema| doc! { "if": true, "then": schema })), [(String::new(), "too_deep")]);

    let wide = |count: usize| doc! { "allOf": vec![doc! {}; count] };
    assert!(CollectionSchema::parse(&wide(1_000)).is_ok());
    assert_eq!(refused(&wide(1_001)), [("/allOf/1000".to_owned(), "too_many")]);
    assert_eq!(refused(&wide(5_000)).len(), 1);
    let doubling = nested(29, |schema| doc! { "if": schema, "then": true, "else": true });
    assert_eq!(refused(&doubling)[0].1, "too_many");
}
