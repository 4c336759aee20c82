//! The depth of a partial index's filter, as MongoDB counts it.

use bson::{Bson, Document};

use crate::domain::Invalid;

/// The deepest tree of conditions in a partial index on MongoDB 6.0 (its error 67, "depth may not exceed 4"). A
/// condition is one level, and each `$and` and `$or` around it another, including the implicit `$and` around several
/// conditions side by side.
const LEVELS_MAX: usize = 4;

/// Checks the depth of a filter that is otherwise valid for a partial index.
pub(super) fn check_depth(filter: &Document) -> Result<(), Invalid> {
    if levels(filter) > LEVELS_MAX {
        let why = format!("must not nest conditions deeper than {LEVELS_MAX} levels in a partial index");
        return Err(Invalid::new("too_deep", why));
    }
    Ok(())
}

fn levels(filter: &Document) -> usize {
    let deepest = filter.iter().map(|(key, value)| levels_of(key, value)).max().unwrap_or(1);
    let conditions: usize = filter.values().map(conditions).sum();
    deepest + usize::from(conditions > 1)
}

fn levels_of(key: &str, value: &Bson) -> usize {
    match (key, value) {
        ("$and" | "$or", Bson::Array(clauses)) => {
            1 + clauses.iter().filter_map(Bson::as_document).map(levels).max().unwrap_or(0)
        }
        _ => 1,
    }
}

fn conditions(value: &Bson) -> usize {
    match value {
        Bson::Document(operators) if operators.keys().any(|key| key.starts_with('$')) => operators.len(),
        _ => 1,
    }
}
