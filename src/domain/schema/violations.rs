//! Parses MongoDB's account of a document that its validator refused.
//!
//! The account is a tree like the schema, and quotes the document; the result never does, except for property names.

use bson::{Bson, Document};

use super::{FieldError, Invalid, sentences, values};
use crate::domain::pointer_into;

/// More than this many help nobody.
const MAX_VIOLATIONS: usize = 100;

/// Under which names an account holds accounts of its parts.
#[rustfmt::skip]
const PARTS: [&str; 6] = [
    "details", "schemaRulesNotSatisfied", "propertiesNotSatisfied", "schemasNotSatisfied", "clausesNotSatisfied",
    "failingDependencies",
];

/// The violations in the `errInfo` of a write error 121 (`DocumentValidationFailure`): at most 100, and never none.
/// What is not understood becomes one violation of the whole document, with the code `schema`.
pub fn violations(err_info: &Document) -> Vec<FieldError> {
    let mut found = Vec::new();
    if let Some(details) = err_info.get("details") {
        read(details, "", &mut found);
    }
    if found.is_empty() {
        found.push(sentences::unknown().at(""));
    }
    found
}

fn read(account: &Bson, pointer: &str, found: &mut Vec<FieldError>) {
    match account {
        Bson::Array(accounts) => accounts.iter().for_each(|account| read(account, pointer, found)),
        Bson::Document(account) => read_one(account, pointer, found),
        _ => {}
    }
}

fn read_one(account: &Document, pointer: &str, found: &mut Vec<FieldError>) {
    let pointer = &place_of(account, pointer);
    match account.get_str("operatorName").unwrap_or_default() {
        "anyOf" => match consequence(account) {
            Some(consequence) => read_one(consequence, pointer, found),
            None => note(found, pointer, sentences::any_of()),
        },
        "oneOf" if is_lacking_item(account) => note(found, pointer, sentences::contains()),
        "oneOf" => note(found, pointer, sentences::one_of(account.contains_key("matchingSchemaIndexes"))),
        operator => {
            if !read_names(account, pointer, found) && !read_parts(account, pointer, found) && !operator.is_empty() {
                let specified = account.get_document("specifiedAs").ok();
                note(found, pointer, sentences::rule(operator, specified, pointer.is_empty()));
            }
        }
    }
}

/// The place that an account describes: a property or item of the value at `pointer`, or that value.
fn place_of(account: &Document, pointer: &str) -> String {
    let name = account.get_str("propertyName").or_else(|_| account.get_str("failingProperty"));
    let index = account.get("itemIndex").and_then(|index| values::count(index).ok());
    match (name, index) {
        (Ok(name), _) => pointer_into(pointer, name),
        (_, Some(index)) => pointer_into(pointer, &index.to_string()),
        _ => pointer.to_owned(),
    }
}

/// Reads missing properties and those that are not allowed. Returns whether there were any.
fn read_names(account: &Document, pointer: &str, found: &mut Vec<FieldError>) -> bool {
    let condition = account.get_str("conditionalProperty").ok();
    let mut any = false;
    for (list, why) in [
        ("missingProperties", sentences::required(condition)),
        ("additionalProperties", sentences::additional_property()),
    ] {
        for name in account.get_array(list).into_iter().flatten().filter_map(Bson::as_str) {
            note(found, &pointer_into(pointer, name), why.clone());
            any = true;
        }
    }
    any
}

/// Reads the parts of an account; returns whether it has any.
fn read_parts(account: &Document, pointer: &str, found: &mut Vec<FieldError>) -> bool {
    let mut any = false;
    for parts in PARTS.iter().filter_map(|name| account.get(name)) {
        any |= matches!(parts, Bson::Document(_)) || parts.as_array().is_some_and(|parts| !parts.is_empty());
        read(parts, pointer, found);
    }
    any
}

/// The consequence in an account of a condition: the translation writes that as `anyOf: [{ not: … }, …]` (`rules.rs`),
/// and people do too.
fn consequence(account: &Document) -> Option<&Document> {
    match account.get_array("schemasNotSatisfied").ok()?.as_slice() {
        [Bson::Document(condition), Bson::Document(consequence)] if is_bare_not(condition) => Some(consequence),
        _ => None,
    }
}

/// Whether it describes `contains`, as the translation writes it (`arrays.rs`).
fn is_lacking_item(account: &Document) -> bool {
    let branches = account.get_array("schemasNotSatisfied").map_or(&[][..], Vec::as_slice);
    matches!(branches, [Bson::Document(branch)] if is_bare_not(branch))
}

fn is_bare_not(branch: &Document) -> bool {
    let details = branch.get_array("details").map_or(&[][..], Vec::as_slice);
    matches!(details, [Bson::Document(only)] if only.get_str("operatorName").is_ok_and(|name| name == "not"))
}

/// Notes a violation once, even if two rules report the same place.
fn note(found: &mut Vec<FieldError>, pointer: &str, why: Invalid) {
    let violation = why.at(pointer);
    if found.len() < MAX_VIOLATIONS && !found.contains(&violation) {
        found.push(violation);
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};

    use super::{Document, violations};

    fn told(rule: impl Into<Bson>) -> Vec<(String, &'static str, String)> {
        let details = doc! { "operatorName": "$jsonSchema", "schemaRulesNotSatisfied": [rule.into()] };
        told_of(&doc! { "failingDocumentId": 1, "details": details })
    }

    fn told_of(err_info: &Document) -> Vec<(String, &'static str, String)> {
        violations(err_info).into_iter().map(|error| (error.pointer, error.code, error.detail)).collect()
    }

    fn of_property(name: &str, details: Vec<Document>) -> Document {
        let property = doc! { "propertyName": name, "details": details };
        doc! { "operatorName": "properties", "propertiesNotSatisfied": [property] }
    }

    fn of_type() -> Document {
        doc! { "operatorName": "type", "specifiedAs": { "type": "string" }, "consideredValue": "secret" }
    }

    #[test]
    fn each_rule_has_its_code_and_its_sentence() {
        let cases = [
            (doc! { "type": ["number", "null"] }, "type", "must be of type integer or null"),
            (doc! { "type": "number" }, "type", "must be of type number"),
            (doc! { "bsonType": ["number", "date"] }, "type", "must be of type number or date"),
            (doc! { "minimum": 3 }, "minimum", "must be at least 3"),
            (doc! { "minimum": 3.5, "exclusiveMinimum": true }, "exclusive_minimum", "must be greater than 3.5"),
            (doc! { "maximum": 3, "exclusiveMaximum": true }, "exclusive_maximum", "must be less than 3"),
            (doc! { "multipleOf": 1 }, "type", "must be an integer"),
            (doc! { "multipleOf": 2 }, "multiple_of", "must be a multiple of 2"),
            (doc! { "minLength": 1_i64 }, "min_length", "must have at least 1 character"),
            (doc! { "maxItems": 2_i64 }, "max_items", "must have at most 2 items"),
            (doc! { "minProperties": 2_i64 }, "min_properties", "must have at least 2 properties"),
            (doc! { "additionalItems": false }, "additional_items", "must not have more items than the schema lists"),
            (doc! { "uniqueItems": true }, "unique_items", "must not have an item twice"),
            (doc! { "pattern": "^a" }, "pattern", "must match the pattern ^a"),
            (doc! { "enum": ["a", 1] }, "enum", "must be one of \"a\", 1"),
            (doc! { "enum": [{}] }, "enum", "must be one of the values that the schema lists"),
            (doc! { "surprise": 1 }, "schema", "does not match the schema"),
        ];
        for (specified, code, detail) in cases {
            let name = specified.keys().next().expect("a rule");
            let rule = doc! { "operatorName": name, "specifiedAs": specified.clone(), "consideredValue": "secret" };
            let expected = [("/a~1b".to_owned(), code, detail.to_owned())];
            assert_eq!(told(of_property("a/b", vec![rule])), expected);
        }
    }

    #[test]
    fn the_place_is_followed_through_properties_and_items() {
        let first = doc! { "itemIndex": 0, "details": [of_type()] };
        let rules = vec![
            doc! { "operatorName": "items", "itemIndex": 2_i64, "details": [of_type()] },
            doc! { "operatorName": "items", "details": [first] },
            of_property("b", vec![of_type()]),
            doc! { "operatorName": "patternProperties", "details": [{ "propertyName": "c", "details": [of_type()] }] },
            doc! { "operatorName": "additionalProperties", "failingProperty": "d", "details": [of_type()] },
            doc! { "operatorName": "additionalProperties", "additionalProperties": ["e"] },
            doc! { "operatorName": "required", "missingProperties": ["f"] },
            doc! { "operatorName": "dependencies", "failingDependencies": [
                { "conditionalProperty": "c", "missingProperties": ["g"] },
                { "conditionalProperty": "c", "details": [of_type()] },
            ] },
            doc! { "operatorName": "allOf", "schemasNotSatisfied": [{ "index": 0, "details": [of_type()] }] },
        ];
        let found: Vec<_> = told(of_property("a", rules)).into_iter().map(|(place, code, _)| (place, code)).collect();
        let expected = [
            ("/a/2", "type"),
            ("/a/0", "type"),
            ("/a/b", "type"),
            ("/a/c", "type"),
            ("/a/d", "type"),
            ("/a/e", "additional_property"),
            ("/a/f", "required"),
            ("/a/g", "required"),
            ("/a", "type"),
        ];
        assert_eq!(found, expected.map(|(place, code)| (place.to_owned(), code)));
    }

    #[test]
    fn alternatives_are_told_as_one_and_conditions_by_what_they_ask() {
        let not = doc! { "details": [{ "operatorName": "not", "reason": "child expression matched" }] };
        let branch = doc! { "details": [of_type()] };
        let cases = [
            ("anyOf", vec![not.clone(), branch.clone()], "type"),
            ("anyOf", vec![not.clone(), not.clone()], "not"),
            ("anyOf", vec![branch.clone(), branch.clone()], "any_of"),
            ("oneOf", vec![not.clone()], "contains"),
            ("oneOf", vec![branch.clone(), not], "one_of"),
            ("allOf", vec![branch], "type"),
        ];
        for (operator, branches, code) in cases {
            let found = told(doc! { "operatorName": operator, "schemasNotSatisfied": branches });
            assert_eq!(found.iter().map(|found| found.1).collect::<Vec<_>>(), [code]);
        }
    }

    #[test]
    fn the_count_of_the_document_leaves_out_the_revision() {
        let rule = doc! { "operatorName": "maxProperties", "specifiedAs": { "maxProperties": 3_i64 } };
        assert_eq!(told(rule)[0].2, "must have at most 2 properties");
    }

    #[test]
    fn the_schema_may_be_one_of_several_clauses() {
        let schema = doc! { "operatorName": "$jsonSchema", "schemaRulesNotSatisfied": [of_type()] };
        let details = doc! { "operatorName": "$and", "clausesNotSatisfied": [{ "index": 0, "details": [schema] }] };
        assert_eq!(told_of(&doc! { "details": details })[0].1, "type");
    }

    #[test]
    fn what_is_not_understood_is_told_as_one_violation_of_the_whole() {
        let unknown = [(String::new(), "schema", "does not match the schema".to_owned())];
        for err_info in [
            doc! {},
            doc! { "details": 1 },
            doc! { "details": {} },
            doc! { "details": { "operatorName": "$jsonSchema", "reason": "expression always evaluates to false" } },
            doc! { "details": { "schemaRulesNotSatisfied": [] } },
            doc! { "details": [[1]] },
        ] {
            assert_eq!(told_of(&err_info), unknown);
        }
    }

    #[test]
    fn repetitions_are_told_once_and_no_more_than_a_hundred() {
        let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        assert_eq!(told(doc! { "operatorName": "required", "missingProperties": names }).len(), 100);
        assert_eq!(told(vec![of_type(), of_type()]).len(), 1);
    }
}
