//! Tests of both directions together.

use bson::raw::{RawBson, RawDocumentBuf};
use bson::{Bson, DateTime, Decimal128, Document, Timestamp, doc};
use proptest::prelude::*;

use super::*;

fn written(document: &Document) -> String {
    let mut text = Vec::new();
    write_document(&mut text, &RawDocumentBuf::try_from(document).expect("BSON")).expect("written");
    String::from_utf8(text).expect("text")
}

/// Any value that clients can store, a few levels deep.
fn values() -> impl Strategy<Value = Bson> {
    let leaves = prop_oneof![
        any::<i32>().prop_map(Bson::Int32),
        // Smaller ones come back as 32 bits, which is the same number.
        any::<i64>().prop_filter("64 bits", |number| i32::try_from(*number).is_err()).prop_map(Bson::Int64),
        any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(Bson::Double),
        any::<String>().prop_map(Bson::String),
        any::<bool>().prop_map(Bson::Boolean),
        Just(Bson::Null),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(bson::oid::ObjectId::from_bytes(bytes))),
        // The library's own writer gives all times after the year 9999 the same text.
        (i64::MIN..253_402_300_800_000).prop_map(|millis| Bson::DateTime(DateTime::from_millis(millis))),
        any::<[u8; 16]>()
            .prop_map(|bytes| Bson::Decimal128(Decimal128::from_bytes(bytes)))
            .prop_filter("canonical", |value| {
                value.to_string().parse::<Decimal128>().is_ok_and(|read| Bson::Decimal128(read) == *value)
            }),
        (any::<u32>(), any::<u32>()).prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        prop::collection::vec(any::<u8>(), 0..9)
            .prop_map(|bytes| Bson::Binary(bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes })),
    ];
    leaves.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Bson::Array),
            prop::collection::btree_map("[a-z.~/\"\\\\]{0,3}", inner, 0..6)
                .prop_map(|members| Bson::Document(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_what_it_was(value in values()) {
        let document = doc! { "value": value };
        let read = read_stored(written(&document).as_bytes()).expect("read");
        prop_assert_eq!(Document::try_from(read.fields).expect("BSON"), document);
    }

    #[test]
    fn what_is_written_is_what_the_library_writes(value in values()) {
        let document = doc! { "value": value };
        let text: serde_json::Value = serde_json::from_str(&written(&document)).expect("JSON");
        prop_assert_eq!(text, Bson::Document(document).into_relaxed_extjson());
    }

    #[test]
    fn whatever_is_sent_is_read_or_refused(text in any::<Vec<u8>>()) {
        let _either = (read_stored(&text), read_query(&text), read_value(&text));
    }

    #[test]
    fn json_is_read_as_other_readers_read_it(text in "[\\[\\]{}:,\"a0-9eE.+ \\\\-]{0,20}") {
        let ours = read_query(format!("{{\"v\":{text}}}").as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&format!("{{\"v\":{text}}}"));
        // Beyond JSON's own rules, we refuse repeated names and numbers that do not fit.
        prop_assert!(!(ours.is_ok() && theirs.is_err()));
        prop_assert_eq!(matches!(ours, Err(ReadError::Syntax { .. })), theirs.is_err());
    }
}

#[test]
fn what_json_lacks_has_its_own_notation() {
    let document =
        doc! { "a": f64::NAN, "b": -f64::NAN, "c": f64::INFINITY, "d": f64::NEG_INFINITY, "e": -0.0, "f": 1.0 };
    let expected = concat!(
        r#"{"a":{"$numberDouble":"NaN"},"b":{"$numberDouble":"NaN"},"c":{"$numberDouble":"Infinity"},"#,
        r#""d":{"$numberDouble":"-Infinity"},"e":-0.0,"f":1.0}"#
    );
    assert_eq!(written(&document), expected);
    let late =
        doc! { "a": DateTime::from_millis(253_402_300_799_999), "b": DateTime::from_millis(253_402_300_800_000) };
    let expected = r#"{"a":{"$date":"9999-12-31T23:59:59.999Z"},"b":{"$date":{"$numberLong":"253402300800000"}}}"#;
    assert_eq!(written(&late), expected);
    assert_eq!(written(&doc! {}), "{}");
    assert_eq!(written(&doc! { "_rev": 1 }), "{}");
    assert_eq!(written(&doc! { "_rev": 1, "a": { "_rev": 2 } }), r#"{"a":{"_rev":2}}"#);
}

#[test]
fn integers_that_do_not_fit_are_found_among_doubles_that_do() {
    let read = |text: &str| match read_stored(text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(ReadError::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
        Err(ReadError::Syntax { .. }) => vec!["no JSON".to_owned()],
    };
    assert_eq!(read(r#"{"a":[-9223372036854775808,9223372036854775807,1e19,-1E300,9223372036854775808.0]}"#), [""; 0]);
    assert_eq!(
        read(r#"{"a":[1e19,9223372036854775808,{"b":-9223372036854775809}],"9223372036854775808":1}"#),
        ["/a/1", "/a/2/b"]
    );
}

#[test]
fn an_object_with_thousands_of_names_is_read_in_their_order() {
    let members: Vec<String> = (0..5_000).rev().map(|n| format!("\"n{n}\":{n}")).collect();
    let read = read_stored(format!("{{{}}}", members.join(",")).as_bytes()).expect("read");
    let first = read.fields.into_iter().next().expect("one").expect("BSON");
    assert_eq!((first.0.as_str(), RawBson::from(first.1)), ("n4999", RawBson::Int32(4_999)));
    let twice = format!("{{{},\"n7\":1}}", members.join(","));
    assert!(matches!(read_stored(twice.as_bytes()), Err(ReadError::Invalid(errors)) if errors[0].code == "repeated"));
}
