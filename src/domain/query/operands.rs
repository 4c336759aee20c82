//! The operators and their operands, checked so that MongoDB never has to refuse one.

use bson::{Bson, Document};

use crate::domain::Invalid;
use crate::domain::documents::BSON_TYPES;
use crate::domain::pattern::Options;

/// The longest pattern of a `$regex`, in bytes.
pub const REGEX_MAX_BYTES: usize = 256;

/// The use of a filter, which decides what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// MongoDB's `find`.
    Find,
    /// The `partialFilterExpression` of an index.
    PartialIndex,
}

impl Dialect {
    /// Whether a filter may use this operator. For partial indexes, these are what MongoDB 6.0 accepts.
    pub(super) fn allows(self, operator: &str) -> bool {
        match operator {
            "$eq" | "$gt" | "$gte" | "$lt" | "$lte" | "$in" | "$exists" | "$type" | "$and" | "$or" => true,
            "$ne" | "$nin" | "$nor" | "$not" | "$all" | "$elemMatch" | "$size" | "$mod" | "$regex" | "$options" => {
                self == Self::Find
            }
            _ => false,
        }
    }
}

/// A value that may be compared with: no pattern, no code, and no deprecated BSON type.
pub(super) fn comparable(value: &Bson) -> Result<(), Invalid> {
    let refused = match value {
        Bson::RegularExpression(_) => "a regular expression; use \"$regex\"",
        Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => "code",
        Bson::Symbol(_) => "a symbol; use a string",
        Bson::DbPointer(_) => "a DBPointer",
        Bson::Undefined => "undefined; use null",
        _ => return Ok(()),
    };
    Err(Invalid::new("wrong_type", format!("must not be {refused}")))
}

/// `$exists`: true or false; an index can only be limited to existing fields.
pub(super) fn exists(operand: &Bson, dialect: Dialect) -> Result<(), Invalid> {
    match operand {
        Bson::Boolean(false) if dialect == Dialect::PartialIndex => {
            Err(Invalid::new("invalid_value", "must be true: MongoDB limits no index to missing fields"))
        }
        Bson::Boolean(_) => Ok(()),
        _ => Err(Invalid::new("wrong_type", "must be true or false")),
    }
}

/// `$type`: a type's name or number, or a list of them.
pub(super) fn types(operand: &Bson) -> Result<(), Invalid> {
    match operand {
        Bson::Array(types) if types.is_empty() => Err(Invalid::new("too_short", "must hold at least one type")),
        Bson::Array(types) if types.len() > BSON_TYPES.len() => {
            Err(Invalid::new("too_many", format!("must hold at most {} types", BSON_TYPES.len())))
        }
        Bson::Array(types) => types.iter().try_for_each(one_type),
        one => one_type(one),
    }
}

fn one_type(operand: &Bson) -> Result<(), Invalid> {
    let is_known = match (operand, integer(operand)) {
        (Bson::String(name), _) => BSON_TYPES.contains(&name.as_str()),
        (_, Some(number)) => matches!(number, -1 | 1..=19 | 127),
        _ => return Err(Invalid::new("wrong_type", "must be the name or the number of a BSON type")),
    };
    if is_known { Ok(()) } else { Err(Invalid::new("invalid_value", "must be the name or the number of a BSON type")) }
}

/// `$size`: a number of elements in MongoDB's range (32 bits).
pub(super) fn size(operand: &Bson) -> Result<(), Invalid> {
    let size = integer(operand).ok_or_else(|| Invalid::new("wrong_type", "must be an integer"))?;
    if (0..=i64::from(i32::MAX)).contains(&size) {
        Ok(())
    } else {
        Err(Invalid::new("invalid_value", format!("must be between 0 and {}", i32::MAX)))
    }
}

/// `$mod`: a divisor and a remainder.
pub(super) fn modulo(operand: &Bson) -> Result<(), Invalid> {
    let shape = || Invalid::new("wrong_type", "must be an array of two integers: divisor and remainder");
    let Bson::Array(pair) = operand else {
        return Err(shape());
    };
    match pair.iter().map(integer).collect::<Option<Vec<i64>>>().as_deref() {
        Some([0, _]) => Err(Invalid::new("invalid_value", "must not divide by 0")),
        Some([_, _]) => Ok(()),
        _ => Err(shape()),
    }
}

/// `$regex`: a pattern with its options.
pub(super) fn regex<'o>(operand: &'o Bson, beside: &Document) -> Result<(&'o str, Options), Invalid> {
    match operand {
        Bson::String(pattern) if pattern.len() > REGEX_MAX_BYTES => {
            Err(Invalid::new("too_long", format!("must have at most {REGEX_MAX_BYTES} bytes")))
        }
        Bson::String(pattern) if pattern.contains('\0') => {
            Err(Invalid::new("invalid_characters", "must not contain a NUL character"))
        }
        // Invalid options are refused at their own place.
        Bson::String(pattern) => {
            Ok((pattern, beside.get("$options").and_then(|o| options(o).ok()).unwrap_or_default()))
        }
        _ => Err(Invalid::new("wrong_type", "must be a pattern, as a string")),
    }
}

/// `$options` of a `$regex` beside it.
pub(super) fn regex_options(operand: &Bson, beside: &Document) -> Result<(), Invalid> {
    if !beside.contains_key("$regex") {
        return Err(Invalid::new("invalid_value", "must stand beside \"$regex\""));
    }
    options(operand).map(drop)
}

fn options(operand: &Bson) -> Result<Options, Invalid> {
    match operand {
        Bson::String(letters) => Options::parse(letters),
        _ => Err(Invalid::new("wrong_type", "must be a string")),
    }
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}
