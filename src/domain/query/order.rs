//! The order of BSON types in MongoDB's sort, and conditions that exclude parts of it.
//!
//! MongoDB compares values of one class with `$gt` and `$lt`, and sorts the classes one after another (MongoDB manual,
//! "Comparison/Sort Order"; verified on 6.0). A condition across classes therefore says what its values are *not*: that
//! is one condition, which MongoDB turns into index ranges. A list of types would need further conditions for missing
//! fields and for arrays, and matching arrays by type makes MongoDB read the whole index.

use bson::{Binary, Bson, DateTime, Decimal128, Document, Timestamp, doc, oid::ObjectId, spec::BinarySubtype};

use super::path::FieldPath;

/// A class of values that MongoDB compares with each other, in sort order. A listing can continue from these only:
/// arrays have no definite place in an order, and patterns, code and deprecated types cannot be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// `null` and missing fields.
    Null,
    /// All numeric types; NaN is the smallest.
    Number,
    Text,
    Object,
    Binary,
    ObjectId,
    Boolean,
    Date,
    Timestamp,
}

impl Class {
    /// All classes, in order.
    #[rustfmt::skip]
    pub(super) const ALL: [Self; 9] = [
        Self::Null, Self::Number, Self::Text, Self::Object, Self::Binary, Self::ObjectId, Self::Boolean, Self::Date,
        Self::Timestamp,
    ];

    /// The class of a value; `None` when no listing can continue from it.
    pub(super) fn of(value: &Bson) -> Option<Self> {
        match value {
            Bson::Null => Some(Self::Null),
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => Some(Self::Number),
            Bson::String(_) => Some(Self::Text),
            Bson::Document(_) => Some(Self::Object),
            Bson::Binary(_) => Some(Self::Binary),
            Bson::ObjectId(_) => Some(Self::ObjectId),
            Bson::Boolean(_) => Some(Self::Boolean),
            Bson::DateTime(_) => Some(Self::Date),
            Bson::Timestamp(_) => Some(Self::Timestamp),
            _ => None,
        }
    }

    /// The condition that a field has no value of this class.
    pub(super) fn left_out(self, path: &FieldPath) -> Document {
        let condition = match self {
            Self::Null => doc! { "$ne": Bson::Null },
            Self::Number => doc! { "$not": { "$gte": f64::NEG_INFINITY }, "$ne": f64::NAN },
            Self::Text => doc! { "$not": { "$gte": "" } },
            Self::Object => doc! { "$not": { "$gte": {} } },
            Self::Binary => {
                doc! { "$not": { "$gte": Binary { subtype: BinarySubtype::Generic, bytes: Vec::new() } } }
            }
            Self::ObjectId => doc! { "$not": { "$gte": ObjectId::from_bytes([0; 12]) } },
            Self::Boolean => doc! { "$not": { "$gte": false } },
            Self::Date => doc! { "$not": { "$gte": DateTime::MIN } },
            Self::Timestamp => doc! { "$not": { "$gte": Timestamp { time: 0, increment: 0 } } },
        };
        doc! { path.as_str(): condition }
    }
}

/// Whether a number is NaN, which MongoDB sorts before all other numbers but compares with none.
pub(super) fn is_nan(value: &Bson) -> bool {
    match value {
        Bson::Double(number) => number.is_nan(),
        Bson::Decimal128(number) => is_decimal_nan(*number),
        _ => false,
    }
}

/// Five set bits after the sign make a decimal NaN (IEEE 754-2008, 3.5.2); the sign is in the last byte of its BSON
/// form.
fn is_decimal_nan(number: Decimal128) -> bool {
    const NAN: u8 = 0b0111_1100;
    let [.., last] = number.bytes();
    last & NAN == NAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_known_in_each_of_its_forms() {
        let decimal = |text: &str| Bson::Decimal128(text.parse().expect("a decimal"));
        assert!(is_nan(&Bson::Double(f64::NAN)));
        assert!(is_nan(&Bson::Double(-f64::NAN)));
        assert!(is_nan(&decimal("NaN")));
        for other in [decimal("Infinity"), decimal("-Infinity"), decimal("-1E6144"), Bson::Int32(0), Bson::Null] {
            assert!(!is_nan(&other), "{other}");
        }
    }
}
