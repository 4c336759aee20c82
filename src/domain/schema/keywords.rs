//! The keywords of JSON Schema: which are translated, which have no effect on documents, and what to use instead of
//! those that MongoDB cannot check.

use bson::Bson;

use super::{Invalid, values};

/// The keywords that are translated.
#[rustfmt::skip]
const TRANSLATED: [&str; 37] = [
    "additionalItems", "additionalProperties", "allOf", "anyOf", "bsonType", "const", "contains", "dependencies",
    "dependentRequired", "dependentSchemas", "else", "enum", "exclusiveMaximum", "exclusiveMinimum", "if", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "multipleOf", "not", "oneOf", "pattern", "patternProperties", "prefixItems", "properties", "required", "then",
    "type", "uniqueItems",
    // Nothing can refer to their contents, because `$ref` is refused.
    "$defs", "definitions",
];

/// The supported drafts, without `http://` and a final `#`.
const DRAFTS: [&str; 5] = [
    "json-schema.org/draft-04/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
];

/// Checks a keyword, and the value if it is not enforced: such values are for people and forms, and MongoDB would copy
/// some of them into each refusal.
pub(super) fn keyword(name: &str, value: &Bson) -> Result<(), Invalid> {
    match name {
        "$schema" => draft(value),
        "$id" | "id" | "$comment" | "title" | "description" => values::text(value).map(drop),
        "deprecated" | "readOnly" | "writeOnly" => values::boolean(value).map(drop),
        "examples" => values::list(value, "values").map(drop),
        "default" => Ok(()),
        _ if TRANSLATED.contains(&name) => Ok(()),
        _ => Err(Invalid::new("unsupported_keyword", unsupported(name))),
    }
}

fn draft(value: &Bson) -> Result<(), Invalid> {
    let uri = values::text(value)?;
    let address = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://")).unwrap_or(uri);
    if DRAFTS.contains(&address.strip_suffix('#').unwrap_or(address)) {
        return Ok(());
    }
    Err(Invalid::new("invalid_value", "must be the address of JSON Schema's draft 4, 6, 7, 2019-09 or 2020-12"))
}

fn unsupported(name: &str) -> &'static str {
    match name {
        "$ref" | "$dynamicRef" | "$recursiveRef" => "cannot be followed: write the schema in its place",
        "format" => "cannot be checked: use pattern, or bsonType date for a date",
        "propertyNames" => "cannot be checked: use patternProperties with additionalProperties false",
        "unevaluatedProperties" => "cannot be checked: use additionalProperties in a schema that lists all properties",
        "unevaluatedItems" => "cannot be checked: use items, or additionalItems beside a list of items",
        "minContains" | "maxContains" => "cannot be checked: contains alone asks for one item or more",
        "contentEncoding" | "contentMediaType" | "contentSchema" => {
            "cannot be checked: use pattern for the text's form"
        }
        "nullable" => "is not JSON Schema: add \"null\" to type",
        "$anchor" | "$dynamicAnchor" | "$recursiveAnchor" | "$vocabulary" => {
            "is of no use here, as nothing refers to it"
        }
        _ => "is not a keyword that can be enforced",
    }
}
