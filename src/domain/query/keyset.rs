//! Continues a listing after a document, by its sort values and never by counting. Concurrent writes neither hide a
//! document nor show one twice.

use bson::{Bson, Document, RawBsonRef, RawDocument, doc};

use super::order::{Class, is_nan};
use super::path::FieldPath;
use super::sort::{Direction, Sort, SortKey};
use crate::domain::Invalid;

/// A document's place in an order: one value per sort field, `null` for missing ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Position(Vec<Bson>);

/// A document without a definite place in an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a document's field {field} holds an array, or a value of a type that cannot be sorted by")]
pub struct Unsortable {
    /// The path of the sort field.
    pub field: String,
}

impl Position {
    /// Checks a cursor's values.
    ///
    /// # Errors
    /// The values are not one per sort field, or [`Sort::position_of`] never returns one of them.
    pub fn from_values(sort: &Sort, values: Vec<Bson>) -> Result<Self, Invalid> {
        if values.len() != sort.keys().len() {
            return Err(Invalid::new("invalid_value", "must hold one value for each field of the order"));
        }
        if values.iter().any(|value| Class::of(value).is_none()) {
            return Err(Invalid::new("wrong_type", "must hold values of types that can be sorted by"));
        }
        Ok(Self(values))
    }

    /// The values to store in a cursor.
    pub fn values(&self) -> &[Bson] {
        &self.0
    }
}

impl Sort {
    /// Returns a document's place in this order.
    ///
    /// # Errors
    /// The path to a field leads through an array, or the field's value is an array, a regular expression, code, or of
    /// a deprecated BSON type; or the BSON is malformed. The listing ends here, because what comes next is undefined.
    pub fn position_of(&self, document: &RawDocument) -> Result<Position, Unsortable> {
        let value = |key: &SortKey| {
            value_at(document, &key.path).ok_or_else(|| Unsortable { field: key.path.as_str().to_owned() })
        };
        self.keys().iter().map(value).collect::<Result<_, _>>().map(Position)
    }

    /// A filter for the documents after this position.
    ///
    /// Of the documents with a place in this order, it finds exactly those. Of the documents without one, it finds all
    /// that were not due on an earlier page, and maybe others. So a listing that determines the position of *each*
    /// document it shows, not only of the last one, shows everything once and in order, or fails.
    ///
    /// There is one branch of an `$or` per field: equal in all earlier fields, and later in this one. MongoDB reads
    /// each branch from an index on the order, if there is one, and merges them without sorting. While merging, MongoDB
    /// 6.0 treats a missing field as less than `null`, though it sorts them as equal. Therefore no two branches hold
    /// documents that are equal up to a `null`.
    pub fn after(&self, position: &Position) -> Document {
        let reached: Vec<Reached<'_>> = self.keys().iter().zip(&position.0).collect();
        doc! { "$or": after_all(&[], &reached) }
    }
}

/// A sort field, and the listing's value in it.
type Reached<'a> = (&'a SortKey, &'a Bson);

/// Alternative conditions for documents that are equal in the `done` fields and later by the `left` ones.
fn after_all<'a>(done: &[Reached<'a>], left: &[Reached<'a>]) -> Vec<Document> {
    let Some(((key, value), rest)) = left.split_first() else {
        return Vec::new();
    };
    let done_now = [done, &[(*key, *value)]].concat();
    let still_left = match after_all(&done_now, rest) {
        several if **value == Bson::Null && several.len() > 1 => vec![in_one_scan(several, &done_now, rest)],
        branches => branches,
    };
    let equal = same(&key.path, value);
    let mut branches = vec![or_array_in_common(done, key, doc! { "$and": later(key, value, false) })];
    branches.extend(undefined_after_null(key, value));
    branches.extend(still_left.into_iter().map(|condition| doc! { "$and": [equal.clone(), condition] }));
    branches
}

/// Equivalent to the `$or` of these conditions, but read from the index in a single scan. Each condition already
/// implies that its first field does not come earlier; that is repeated because it is all that MongoDB can look up in
/// an index here.
fn in_one_scan(conditions: Vec<Document>, done: &[Reached<'_>], left: &[Reached<'_>]) -> Document {
    let next =
        left.first().filter(|(key, _)| done.iter().all(|(earlier, _)| earlier.path.common_with(&key.path).is_none()));
    let mut all = next.map(|(key, value)| later(key, value, true)).unwrap_or_default();
    all.push(any_unscanned(conditions));
    doc! { "$and": all }
}

/// An `$or` as a double negation, which MongoDB does not split into separate scans.
fn any_unscanned(conditions: Vec<Document>) -> Document {
    doc! { "$nor": [{ "$nor": conditions }] }
}

/// When several sort fields lead through the same array, MongoDB sorts by one element, but a condition covers all of
/// them. So documents with such an array are always found, and refused when their turn comes.
fn or_array_in_common(done: &[Reached<'_>], key: &SortKey, condition: Document) -> Document {
    let in_common = done.iter().filter_map(|(earlier, _)| earlier.path.common_with(&key.path));
    let mut conditions: Vec<Document> = in_common.map(|path| is_array_on_the_way(&path)).collect();
    if conditions.is_empty() {
        return condition;
    }
    conditions.push(condition);
    any_unscanned(conditions)
}

fn is_array_on_the_way(path: &FieldPath) -> Document {
    let mut ways: Vec<Document> = Vec::new();
    let mut way = String::new();
    for segment in path.segments() {
        way.push_str(segment);
        ways.push(doc! { way.as_str(): { "$type": "array" } });
        way.push('.');
    }
    doc! { "$or": ways }
}

/// A field's value for sorting; `None` when it cannot be sorted by.
fn value_at(document: &RawDocument, path: &FieldPath) -> Option<Bson> {
    let mut value = RawBsonRef::Document(document);
    for segment in path.segments() {
        value = match value {
            RawBsonRef::Document(inner) => inner.get(segment).ok()?.unwrap_or(RawBsonRef::Null),
            RawBsonRef::Array(_) => return None,
            _ => RawBsonRef::Null,
        };
    }
    let value = Bson::try_from(value).ok()?;
    Class::of(&value).map(|_| value)
}

/// Alternative conditions for documents that come later by this field alone, or are equal in it with `or_equal`, or
/// have no place in the order.
fn later(key: &SortKey, value: &Bson, or_equal: bool) -> Vec<Document> {
    let mut all = passed_classes_left_out(key, value);
    all.extend(later_in_class(key, value, or_equal));
    all
}

/// The condition for `undefined`, which has no place in the order but follows `null` in descending order. MongoDB 6.0
/// also matches it as `null`, so [`later`] excludes it there. An identifier is never `undefined`.
fn undefined_after_null(key: &SortKey, value: &Bson) -> Option<Document> {
    let is_next = key.direction == Direction::Descending && *value == Bson::Null && !key.is_id();
    is_next.then(|| doc! { key.path.as_str(): { "$type": "undefined" } })
}

/// Conditions that together exclude all classes before the value's own.
fn passed_classes_left_out(key: &SortKey, value: &Bson) -> Vec<Document> {
    let class = Class::of(value);
    let passed = Class::ALL.into_iter().filter(|other| match key.direction {
        Direction::Ascending => Some(*other) < class,
        Direction::Descending => Some(*other) > class,
    });
    passed.map(|class| class.left_out(&key.path)).collect()
}

/// The condition that no value of the same class comes earlier or, unless `or_equal`, is equal; `None` when no such
/// value can exist. NaN comes before all other numbers, and `$gte` and `$lte` match it only with itself.
fn later_in_class(key: &SortKey, value: &Bson, or_equal: bool) -> Option<Document> {
    let condition = match key.direction {
        _ if *value == Bson::Null => return (!or_equal).then(|| Class::Null.left_out(&key.path)),
        Direction::Ascending if is_nan(value) && or_equal => return None,
        Direction::Descending if is_nan(value) && or_equal => doc! { "$not": { "$gte": f64::NEG_INFINITY } },
        Direction::Descending if is_nan(value) => return Some(Class::Number.left_out(&key.path)),
        Direction::Descending => doc! { "$not": { if or_equal { "$gt" } else { "$gte" }: value } },
        Direction::Ascending => {
            let mut condition = doc! { "$not": { if or_equal { "$lt" } else { "$lte" }: value } };
            if Class::of(value) == Some(Class::Number) {
                condition.insert("$ne", f64::NAN);
            }
            condition
        }
    };
    Some(doc! { key.path.as_str(): condition })
}

/// The condition that a document is equal in this field. Equality with `null` also matches a missing field, but not one
/// that is missing beyond an array. That has no place in the order, and [`later`] finds it.
fn same(path: &FieldPath, value: &Bson) -> Document {
    doc! { path.as_str(): { "$eq": value } }
}

#[cfg(test)]
mod tests {
    use bson::RawDocumentBuf;

    use super::*;

    fn position(sort: &str, document: &Document) -> Result<Vec<Bson>, String> {
        let raw = RawDocumentBuf::try_from(document).expect("BSON");
        let sort = Sort::parse(sort).expect("an order");
        sort.position_of(&raw).map(|position| position.0).map_err(|unsortable| unsortable.field)
    }

    fn branches(sort: &str, values: Vec<Bson>) -> Vec<Document> {
        let sort = Sort::parse(sort).expect("an order");
        let after = sort.after(&Position::from_values(&sort, values).expect("a position"));
        after.get_array("$or").expect("branches").iter().filter_map(Bson::as_document).cloned().collect()
    }

    #[test]
    fn a_position_has_a_value_for_each_field_and_null_for_what_is_missing() {
        let document = doc! { "_id": 1, "a": { "b": "x", "c": { "d": [1] } }, "e": 2 };
        assert_eq!(position("a.b", &document), Ok(vec!["x".into(), 1.into()]));
        assert_eq!(position("-e,a.c.x,none.x", &document), Ok(vec![2.into(), Bson::Null, Bson::Null, 1.into()]));
        assert_eq!(position("e.x.y", &document), Ok(vec![Bson::Null, 1.into()]));
        assert_eq!(position("a.c", &document), Ok(vec![doc! { "d": [1] }.into(), 1.into()]), "an array inside may be");
    }

    #[test]
    fn arrays_and_what_cannot_be_sorted_by_have_no_position() {
        let document = doc! { "_id": 1, "a": [], "b": [{ "c": 1 }], "d": Bson::MinKey, "e": { "f": Bson::Undefined } };
        for field in ["a", "b", "b.c", "a.x", "d", "e.f"] {
            assert_eq!(position(field, &document), Err(field.to_owned()));
            assert_eq!(position(&format!("x,-{field},-_id"), &document), Err(field.to_owned()));
        }
        assert_eq!(position("d.x", &document), Ok(vec![Bson::Null, 1.into()]), "there is nothing inside");
    }

    #[test]
    fn a_cursor_with_other_values_is_refused() {
        let sort = Sort::parse("a").expect("an order");
        let code = |values: Vec<Bson>| Position::from_values(&sort, values).err().map(|invalid| invalid.code);
        assert_eq!(code(vec![Bson::Null, 1.into()]), None);
        assert_eq!(code(vec![1.into()]), Some("invalid_value"));
        assert_eq!(code(vec![1.into(), 1.into(), 1.into()]), Some("invalid_value"));
        assert_eq!(code(vec![Bson::Array(vec![]), 1.into()]), Some("wrong_type"));
        assert_eq!(code(vec![1.into(), Bson::MaxKey]), Some("wrong_type"));
    }

    #[test]
    fn each_field_is_a_branch_of_its_own() {
        assert_eq!(branches("_id", vec![1.into()]).len(), 1);
        assert_eq!(branches("a,-b.c", vec![1.into(), "x".into(), 1.into()]).len(), 3);
    }

    #[test]
    fn documents_that_are_equal_up_to_a_null_are_in_one_branch() {
        assert_eq!(branches("a,b", vec![Bson::Null, 1.into(), 1.into()]).len(), 2);
        assert_eq!(branches("a,b", vec![1.into(), Bson::Null, 1.into()]).len(), 3);
        assert_eq!(branches("a,b,c", vec![1.into(), Bson::Null, 1.into(), 1.into()]).len(), 3);
    }

    #[test]
    fn a_value_is_compared_with_and_never_read_as_an_operator() {
        let value = Bson::Document(doc! { "$where": "1" });
        let found = branches("a", vec![value.clone(), 1.into()]);
        let text = format!("{found:?}");
        assert_eq!(text.matches("$where").count(), 2);
        assert!(
            found.iter().any(|branch| format!("{branch:?}").contains(&format!("{:?}", doc! { "$eq": value.clone() })))
        );
    }
}
