//! Queries on one tenant's documents: which (`filter`), in which order (`sort`), starting where (`keyset`), and which
//! parts of each (`fields`).
//!
//! Everything here parses text and BSON into values and back, without a database. The results go into MongoDB's `find`
//! as they are, so a parsed value holds only operators that we allow, in forms that MongoDB accepts. Only details of a
//! `$regex`, such as a property's name, are left for MongoDB to judge (its error 51091).
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

/// Bytes that identify a listing's filter and sort, to bind a cursor to it. The same query always gives the same bytes,
/// and different queries never do (the filter is BSON, which begins with its own length).
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
