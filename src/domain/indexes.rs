//! An index over a tenant's documents.

use bson::{Bson, Document};

use super::query::{FieldPath, Filter};
use super::{FieldError, Invalid};

/// The most keys in one index (MongoDB's own limit).
const MAX_KEYS: usize = 32;
/// The fields of an index description.
const FIELDS: [&str; 6] = ["keys", "name", "unique", "sparse", "expire_after_seconds", "partial_filter"];
/// The longest name of an index, in bytes.
const NAME_MAX_BYTES: usize = 120;
/// The longest time until documents expire (MongoDB's own limit).
const MAX_EXPIRE_SECONDS: i64 = 2_147_483_647;

/// An index that exists or is to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its fields in order, each 1 or -1; an index made by an operator may have other kinds.
    pub keys: Document,
    /// Whether its values must be unique.
    pub is_unique: bool,
    /// Whether to leave out documents without its fields.
    pub is_sparse: bool,
    /// How many seconds after the date in its only field a document expires.
    pub expire_after_seconds: Option<i64>,
    /// Restricts the index to the documents that match.
    pub partial_filter: Option<Document>,
}

impl Index {
    /// Parses an index from a JSON object.
    pub fn parse(body: &Document) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let keys = read_keys(body.get("keys"), &mut errors);
        let mut flag = |name: &str| match body.get(name) {
            None => false,
            Some(Bson::Boolean(value)) => *value,
            Some(_) => {
                errors.push(Invalid::new("wrong_type", "must be true or false").at(format!("/{name}")));
                false
            }
        };
        let (is_unique, is_sparse) = (flag("unique"), flag("sparse"));
        let name = read_name(body.get("name"), &keys, &mut errors);
        let expire_after_seconds = read_expiry(body.get("expire_after_seconds"), &keys, &mut errors);
        let partial_filter = read_partial_filter(body.get("partial_filter"), &mut errors);
        if is_sparse && partial_filter.is_some() {
            errors
                .push(Invalid::new("contradiction", "an index with partial_filter cannot be sparse too").at("/sparse"));
        }
        for name in body.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            errors.push(Invalid::new("unknown_field", "is not known to this call").at_member("", name));
        }
        if errors.is_empty() {
            Ok(Self { name, keys, is_unique, is_sparse, expire_after_seconds, partial_filter })
        } else {
            Err(errors)
        }
    }
}

fn read_keys(keys: Option<&Bson>, errors: &mut Vec<FieldError>) -> Document {
    let Some(Bson::Document(keys)) = keys else {
        let why =
            if keys.is_some() { "must be an object such as {\"name\": 1, \"created\": -1}" } else { "is required" };
        let code = if keys.is_some() { "wrong_type" } else { "required" };
        errors.push(Invalid::new(code, why).at("/keys"));
        return Document::new();
    };
    if keys.is_empty() || keys.len() > MAX_KEYS {
        errors.push(Invalid::new("invalid_value", format!("must have 1 to {MAX_KEYS} fields")).at("/keys"));
    }
    if keys.len() == 1 && keys.contains_key("_id") {
        // MongoDB treats it as its own index, under its own name, and refuses every option.
        let why = "every collection has an index over _id, named _id_, which is unique and serves both directions; \
            name further fields, or leave it";
        errors.push(Invalid::new("contradiction", why).at("/keys"));
    }
    let mut read = Document::new();
    for (field, direction) in keys {
        if !matches!(direction, Bson::Int32(1 | -1)) {
            errors.push(Invalid::new("invalid_value", "must be 1 or -1").at_member("/keys", field));
        }
        if let Err(invalid) = FieldPath::parse_from_top(field) {
            errors.push(invalid.at_member("/keys", field));
        }
        read.insert(field, direction.clone());
    }
    read
}

fn read_name(name: Option<&Bson>, keys: &Document, errors: &mut Vec<FieldError>) -> String {
    if name.is_none() && keys.is_empty() {
        // No keys to build a name from, which was already reported.
        return String::new();
    }
    let by_keys = || keys.iter().map(|(field, direction)| format!("{field}_{direction}")).collect::<Vec<_>>().join("_");
    let name = match name {
        None => by_keys(),
        Some(Bson::String(name)) => name.clone(),
        Some(_) => {
            errors.push(Invalid::new("wrong_type", "must be a string").at("/name"));
            return String::new();
        }
    };
    if let Err(invalid) = check_index_name(&name) {
        errors.push(invalid.at("/name"));
    }
    name
}

/// Checks the name of a tenant's index.
///
/// # Errors
/// It is empty, too long, `*` (which means all indexes to MongoDB), or has a control character.
pub fn check_index_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(Invalid::new(
            "invalid_value",
            format!("must have 1 to {NAME_MAX_BYTES} bytes; give a shorter `name`"),
        ));
    }
    // In MongoDB's error texts, " dup key" follows the name, and that is how the name is found.
    if name == "*" || name.starts_with('$') || name.contains(" dup key") || name.chars().any(char::is_control) {
        let why = "must not be '*', begin with '$', or hold control characters or ' dup key'";
        return Err(Invalid::new("invalid_characters", why));
    }
    Ok(())
}

fn read_expiry(seconds: Option<&Bson>, keys: &Document, errors: &mut Vec<FieldError>) -> Option<i64> {
    let seconds = match seconds? {
        Bson::Int32(seconds) => i64::from(*seconds),
        Bson::Int64(seconds) => *seconds,
        _ => -1,
    };
    if !(0..=MAX_EXPIRE_SECONDS).contains(&seconds) {
        let expected = format!("must be a whole number from 0 to {MAX_EXPIRE_SECONDS}");
        errors.push(Invalid::new("invalid_value", expected).at("/expire_after_seconds"));
    } else if keys.len() > 1 || keys.contains_key("_id") {
        let expected = "needs an index over one field that is a date, and not _id";
        errors.push(Invalid::new("contradiction", expected).at("/expire_after_seconds"));
    }
    Some(seconds)
}

fn read_partial_filter(filter: Option<&Bson>, errors: &mut Vec<FieldError>) -> Option<Document> {
    let Bson::Document(filter) = filter? else {
        errors.push(Invalid::new("wrong_type", "must be an object").at("/partial_filter"));
        return None;
    };
    match Filter::parse_partial(filter) {
        Ok(filter) => Some(filter.into_document()),
        Err(found) => {
            errors.extend(found.into_iter().map(|error| error.inside("/partial_filter")));
            None
        }
    }
}
