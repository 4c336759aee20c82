//! `PUT /org/{organization_name}/schema`

use axum::Json;
use axum::extract::RawQuery;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::permission::{Allowed, SchemaWrite};
use crate::domain::schema::CollectionSchema;
use crate::extjson::read_query;
use crate::http::body::JsonText;
use crate::http::documents::list::parse_flag;
use crate::http::fields::Fields;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::off_thread::off_thread;
use crate::service::{DataError, DataService};

/// What a schema comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct SchemaAnswer {
    /// Whether it is enforced now; false for a dry run.
    applied: bool,
    /// How many documents that are there already break it. They stay, and the next write of each must mend it.
    violating_documents: u64,
}

/// Set the schema
///
/// A JSON Schema (draft 4 to 2020-12) that MongoDB itself enforces from now on, whoever writes; a write that breaks it is
/// answered with 422 `schema_violated` and the paths that failed. What MongoDB's dialect lacks is translated where the meaning
/// stays (`type: integer`, `const`, `if`, numeric `exclusiveMinimum`, …) and else refused with its place (`$ref`, `format`, …);
/// patterns are bounded as in filters; `bsonType` says what JSON Schema cannot (`date`, `objectId`, `decimal`). `_id` is always allowed.
#[utoipa::path(
    put, path = "/org/{organization_name}/schema", tag = "indexes and schema", operation_id = "set_schema",
    params(
        ("dry_run" = Option<bool>, Query, description = "Only say how many documents break it")
    ),
    request_body(content = Object, content_type = "application/json", example = json!({
        "type": "object", "required": ["name"], "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0 } }
    })),
    responses((status = 200, description = "What it comes to", body = SchemaAnswer))
)]
pub(in crate::http) async fn put(
    tenant: Allowed<SchemaWrite>,
    data: Service<DataService>,
    RawQuery(query): RawQuery,
    JsonText(text, _held): JsonText,
) -> Result<Json<SchemaAnswer>, Failed<DataError, { calls::SET_SCHEMA }>> {
    let mut fields = Fields::of_query(query.as_deref());
    let is_dry_run = fields.optional("dry_run", parse_flag).unwrap_or_default();
    fields.finish(Some(()))?;
    // Patterns are thought about, for longer than the text is read.
    let parsed = text.clone();
    let parse = move || CollectionSchema::parse(&read_query(&parsed)?).map_err(Problem::invalid);
    let schema = off_thread(usize::MAX, parse).await?;
    // It was read as JSON, so it is UTF-8.
    let source = String::from_utf8_lossy(&text);
    let set = data.set_schema(&tenant, source.trim(), &schema, is_dry_run).await?;
    Ok(Json(SchemaAnswer { applied: set.is_applied, violating_documents: set.violating }))
}
