//! Goes on with a listing after a document: by the values it was sorted by, and never by counting, so that what others
//! write in between neither hides a document nor shows one twice.

use bson::{Bson, Document, RawBsonRef, RawDocument, doc};

use super::order::{Class, is_nan};
use super::path::FieldPath;
use super::sort::{Direction, Sort, SortKey};
use crate::domain::Invalid;

/// Where a document stands in an order: one value for each of the order's fields, `null` for what is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Position(Vec<Bson>);

/// A document that has no one place in an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a document's field {field} holds an array, or a value of a type that cannot be sorted by")]
pub struct Unsortable {
    /// The path that was to be sorted by.
    pub field: String,
}

impl Position {
    /// Reads the values that a cursor carried.
    ///
    /// # Errors
    /// Not one value for each field of the order, or one that [`Sort::position_of`] never gives.
    pub fn from_values(sort: &Sort, values: Vec<Bson>) -> Result<Self, Invalid> {
        if values.len() != sort.keys().len() {
            return Err(Invalid::new("invalid_value", "must hold one value for each field of the order"));
        }
        if values.iter().any(|value| Class::of(value).is_none()) {
            return Err(Invalid::new("wrong_type", "must hold values of types that can be sorted by"));
        }
        Ok(Self(values))
    }

    /// The values, for a cursor to carry.
    pub fn values(&self) -> &[Bson] {
        &self.0
    }
}

impl Sort {
    /// Where a document stands in this order.
    ///
    /// # Errors
    /// There is an array on the way to one of the fields, or the field's value is an array, a regular expression, code,
    /// or of a type that BSON gave up; or its BSON is broken. The listing ends here, as nobody can say what comes next.
    pub fn position_of(&self, document: &RawDocument) -> Result<Position, Unsortable> {
        let value = |key: &SortKey| {
            value_at(document, &key.path).ok_or_else(|| Unsortable { field: key.path.as_str().to_owned() })
        };
        self.keys().iter().map(value).collect::<Result<_, _>>().map(Position)
    }

    /// A filter for MongoDB: the documents that come after this position.
    ///
    /// Of the documents that have a place in this order, it finds exactly those. Of the documents without one it finds
    /// all that were not due on an earlier page, and maybe others: so a listing that asks for the position of *each*
    /// document it shows, and not only of the last one, shows everything once and in order, or fails.
    ///
    /// For each field there is one branch of an `$or`: equal in all fields before, and later in this one. MongoDB
    /// reads each branch from an index on the order, if there is one, and merges them without sorting. While it
    /// merges, MongoDB 6.0 takes a missing field for less than `null`, though it sorts them as equal. Therefore no two
    /// branches hold documents that are equal up to a `null`.
    pub fn after(&self, position: &Position) -> Document {
        let reached: Vec<Reached<'_>> = self.keys().iter().zip(&position.0).collect();
        doc! { "$or": after_all(&[], &reached) }
    }
}

/// One field of an order, and the value at which the listing is.
type Reached<'a> = (&'a SortKey, &'a Bson);

/// The conditions of which one holds for each document that comes later by the fields that are left, when it is equal
/// in those that are done.
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

/// The same as the `$or` of these conditions, but read from the index in one go. That its first field does not come
/// before is in each of the conditions, and said again because it is all that MongoDB finds in an index here.
fn in_one_scan(conditions: Vec<Document>, done: &[Reached<'_>], left: &[Reached<'_>]) -> Document {
    let next =
        left.first().filter(|(key, _)| done.iter().all(|(earlier, _)| earlier.path.common_with(&key.path).is_none()));
    let mut all = next.map(|(key, value)| later(key, value, true)).unwrap_or_default();
    all.push(any_unscanned(conditions));
    doc! { "$and": all }
}

/// An `$or` that MongoDB does not take apart into scans of their own: it is a double negation.
fn any_unscanned(conditions: Vec<Document>) -> Document {
    doc! { "$nor": [{ "$nor": conditions }] }
}

/// Of an array that several of the order's fields lead through, MongoDB sorts by one element, and a condition speaks
/// of all: so documents with such an array are found in any case, and refused when their turn comes.
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

/// A field's value as it is sorted by; `None` when it cannot be.
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

/// The conditions that together say that a document comes later by this field alone, or, if so asked, is equal in it; or
/// has no place in the order.
fn later(key: &SortKey, value: &Bson, or_equal: bool) -> Vec<Document> {
    let mut all = passed_classes_left_out(key, value);
    all.extend(later_in_class(key, value, or_equal));
    all
}

/// The condition for `undefined`, which has no place in the order but comes after `null` on the way down. MongoDB 6.0
/// also finds it as `null`, so [`later`] leaves it out there. An identifier is never `undefined`.
fn undefined_after_null(key: &SortKey, value: &Bson) -> Option<Document> {
    let is_next = key.direction == Direction::Descending && *value == Bson::Null && !key.is_id();
    is_next.then(|| doc! { key.path.as_str(): { "$type": "undefined" } })
}

/// The conditions that together leave out all classes that come before a value's own.
fn passed_classes_left_out(key: &SortKey, value: &Bson) -> Vec<Document> {
    let class = Class::of(value);
    let passed = Class::ALL.into_iter().filter(|other| match key.direction {
        Direction::Ascending => Some(*other) < class,
        Direction::Descending => Some(*other) > class,
    });
    passed.map(|class| class.left_out(&key.path)).collect()
}

/// The condition that no value of the same class comes before or, unless it may, is equal; `None` when there is none that
/// could. NaN comes before all other numbers, and `$gte` and `$lte` know it as equal to itself, and as nothing else.
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

/// The condition that a document is equal in this field. Equality with `null` also finds what is missing; but not what
/// is missing beyond an array, which has no place in the order and which [`later`] finds.
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
