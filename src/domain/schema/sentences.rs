//! Describes the rule that a document breaks, from the rule alone.

use bson::{Bson, Document};

use super::{Invalid, values};

/// The most values, and the longest text of them, that a sentence lists.
const MAX_LISTED: usize = 20;
const MAX_LISTED_BYTES: usize = 300;

/// A property is missing; `condition` is the property that requires it, if any.
pub(super) fn required(condition: Option<&str>) -> Invalid {
    match condition {
        None => Invalid::new("required", "is required"),
        Some(condition) => Invalid::new("required", format!("is required where {condition} is given")),
    }
}

/// A property that the schema does not list.
pub(super) fn additional_property() -> Invalid {
    Invalid::new("additional_property", "is not a property that the schema allows")
}

/// No alternative matches.
pub(super) fn any_of() -> Invalid {
    Invalid::new("any_of", "must match at least one of the schema's alternatives")
}

/// No alternative matches, or more than one does.
pub(super) fn one_of(several_match: bool) -> Invalid {
    let detail = "must match exactly one of the schema's alternatives, and matches";
    Invalid::new("one_of", format!("{detail} {}", if several_match { "more" } else { "none" }))
}

/// A list lacks the required item.
pub(super) fn contains() -> Invalid {
    Invalid::new("contains", "must contain an item that matches the schema")
}

/// An unknown violation.
pub(super) fn unknown() -> Invalid {
    Invalid::new("schema", "does not match the schema")
}

/// A rule on a single value. `specified` is MongoDB's form of the rule, which it omits from long accounts.
pub(super) fn rule(operator: &str, specified: Option<&Document>, is_root: bool) -> Invalid {
    let value = specified.and_then(|specified| specified.get(operator));
    let is_exclusive = |name| specified.is_some_and(|specified| specified.get_bool(name).is_ok_and(|given| given));
    // The whole document also holds the server's revision, which users do not see.
    let size = value.and_then(|value| values::count(value).ok()).map(|count| count - i64::from(is_root));
    match operator {
        "type" => Invalid::new("type", types(value, true)),
        "bsonType" => Invalid::new("type", types(value, false)),
        "minimum" if is_exclusive("exclusiveMinimum") => limit("exclusive_minimum", "must be greater than", value),
        "maximum" if is_exclusive("exclusiveMaximum") => limit("exclusive_maximum", "must be less than", value),
        "minimum" => limit("minimum", "must be at least", value),
        "maximum" => limit("maximum", "must be at most", value),
        "multipleOf" if value.is_some_and(|value| values::comparable(value) == "1") => {
            Invalid::new("type", "must be an integer")
        }
        "multipleOf" => limit("multiple_of", "must be a multiple of", value),
        "minLength" => count("min_length", "at least", ["character", "characters"], size),
        "maxLength" => count("max_length", "at most", ["character", "characters"], size),
        "minItems" => count("min_items", "at least", ["item", "items"], size),
        "maxItems" => count("max_items", "at most", ["item", "items"], size),
        "minProperties" => count("min_properties", "at least", ["property", "properties"], size),
        "maxProperties" => count("max_properties", "at most", ["property", "properties"], size),
        "additionalItems" => Invalid::new("additional_items", "must not have more items than the schema lists"),
        "uniqueItems" => Invalid::new("unique_items", "must not have an item twice"),
        "pattern" => match value.and_then(Bson::as_str) {
            Some(pattern) => Invalid::new("pattern", format!("must match the pattern {pattern}")),
            None => Invalid::new("pattern", "must match the schema's pattern"),
        },
        "enum" => Invalid::new("enum", listed(value)),
        "not" => Invalid::new("not", "must not match what the schema excludes"),
        _ => unknown(),
    }
}

/// The translation puts `number` first in `type` for the schema's `integer` (`scalars.rs`).
fn types(value: Option<&Bson>, first_number_is_integer: bool) -> String {
    match value {
        Some(Bson::String(name)) => format!("must be of type {name}"),
        Some(Bson::Array(names)) => {
            let mut names: Vec<&str> = names.iter().filter_map(Bson::as_str).collect();
            if let Some(first @ &mut "number") = names.first_mut()
                && first_number_is_integer
            {
                *first = "integer";
            }
            format!("must be of type {}", names.join(" or "))
        }
        _ => "must be of another type".to_owned(),
    }
}

fn limit(code: &'static str, must_be: &str, value: Option<&Bson>) -> Invalid {
    match value {
        Some(value) => Invalid::new(code, format!("{must_be} {value}")),
        None => Invalid::new(code, "is not a number that the schema allows"),
    }
}

fn count(code: &'static str, bound: &str, [one, many]: [&str; 2], size: Option<i64>) -> Invalid {
    let detail = match size {
        Some(1) => format!("must have {bound} 1 {one}"),
        Some(count) => format!("must have {bound} {count} {many}"),
        None => format!("must have another number of {many}"),
    };
    Invalid::new(code, detail)
}

/// Lists the allowed values if they are few and short.
fn listed(value: Option<&Bson>) -> String {
    let simple = |value: &Bson| match value {
        Bson::Null | Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::String(_) => {
            Some(value.to_string())
        }
        _ => None,
    };
    let names: Option<Vec<String>> =
        value.and_then(Bson::as_array).and_then(|values| values.iter().map(simple).collect());
    match names.as_deref() {
        Some([only]) if only.len() <= MAX_LISTED_BYTES => format!("must be {only}"),
        Some(names)
            if names.len() <= MAX_LISTED && names.iter().map(String::len).sum::<usize>() <= MAX_LISTED_BYTES =>
        {
            format!("must be one of {}", names.join(", "))
        }
        _ => "must be one of the values that the schema lists".to_owned(),
    }
}
