//! What a caller may ask of the documents of one tenant: which (`filter`), in which order (`sort`), from where on
//! (`keyset`), and which parts of each (`fields`).
//!
//! All of it is text and BSON to values and back, without a database. What is read here goes into MongoDB's `find` as
//! it is, so a value that exists holds only operators of our own choice, in shapes that MongoDB does not refuse. The
//! one thing that only MongoDB can judge is a detail of a `$regex`, such as the name of a property (its error 51091).
//!
//! The codes of refusals: `unsupported_operator`, `wrong_type`, `invalid_value`, `invalid_characters`, `too_short`,
//! `too_long`, `too_many`, `too_deep`, `repeated`, `reserved_field`, and those of [`super::pattern`].

mod fields;
mod filter;
mod keyset;
mod operands;
mod order;
mod partial;
mod path;
mod patterns;
mod place;
mod reader;
mod sort;

pub use fields::{FIELDS_MAX, Fields};
pub use filter::Filter;
pub use keyset::{Position, Unsortable};
pub use operands::REGEX_MAX_BYTES;
pub use path::{FieldPath, SEGMENTS_MAX};
pub use reader::{CONDITIONS_MAX, DEPTH_MAX, ERRORS_MAX, VALUES_MAX};
pub use sort::{Direction, SORT_KEYS_MAX, Sort};

/// The bytes that say which listing a filter and a sort make, for binding a cursor to it: the same question always has
/// the same bytes, and two different ones never do (the filter is BSON, which begins with its own length).
pub fn fingerprint_source(filter: &Filter, sort: &Sort) -> Vec<u8> {
    let mut source = filter.as_bytes().to_vec();
    source.extend_from_slice(sort.to_string().as_bytes());
    source
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn another_filter_or_order_has_another_fingerprint() {
        let source = |filter: &bson::Document, sort: &str| {
            fingerprint_source(&Filter::parse(filter).expect("a filter"), &Sort::parse(sort).expect("a sort"))
        };
        let known = source(&doc! { "a": 1 }, "-b");
        assert_eq!(known, source(&doc! { "a": 1 }, "-b,_id"), "the appended key is the same question");
        assert_ne!(known, source(&doc! { "a": 1_i64 }, "-b"));
        assert_ne!(known, source(&doc! { "a": 1 }, "b"));
        assert_ne!(known, source(&doc! {}, "-b"));
    }
}
