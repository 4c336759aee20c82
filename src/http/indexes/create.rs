//! `POST /org/{organization_name}/indexes`

use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::timeout;
use tracing::{Instrument, Span, error, info};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::IndexAnswer;
use crate::domain::indexes::Index;
use crate::domain::permission::{Allowed, SchemaWrite};
use crate::extjson::read_query;
use crate::http::body::JsonText;
use crate::http::location;
use crate::http::problem::{Failed, Problem, calls, kinds};
use crate::http::state::{HttpState, Service};
use crate::service::data::StoredIndex;
use crate::service::{DataError, DataService};

/// An index to be built.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document's view of what Index reads")]
pub(in crate::http) struct CreateIndexBody {
    /// Its fields in their order: 1 ascending, -1 descending.
    #[schema(schema_with = keys_schema)]
    keys: (),
    /// Its name; made from its keys if it is left out.
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 120, pattern = r"^[^$*\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "email_1")]
    name: (),
    /// Whether no two documents may have the same value.
    #[schema(value_type = Option<bool>, nullable = false, example = true)]
    unique: (),
    /// Whether documents without its fields are left out.
    #[schema(value_type = Option<bool>, nullable = false)]
    sparse: (),
    /// After how many seconds, from the date in its one field, MongoDB removes a document.
    #[schema(value_type = Option<i64>, nullable = false, minimum = 0, maximum = 2_147_483_647)]
    expire_after_seconds: (),
    /// Which documents alone are in it: a filter of `$eq $exists $gt $gte $lt $lte $type $in $and $or`.
    #[schema(value_type = Option<Object>, nullable = false)]
    partial_filter: (),
}

/// The keys of an index in the document: at least one field, each 1 or -1.
fn keys_schema() -> Object {
    let direction = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1, -1]));
    // The parts of a path, none of them empty or with a `$` in front.
    let path = r"^[^.$\u0000][^.\u0000]*(\.[^.$\u0000][^.\u0000]*)*$";
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(path));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Its fields in their order: 1 ascending, -1 descending."))
        .property_names(Some(name))
        .additional_properties(Some(direction))
        .min_properties(Some(1))
        .max_properties(Some(32))
        .examples([json!({ "email": 1 })])
        .build()
}

/// Create an index
///
/// Others read and write meanwhile. If it takes longer than a request may, the answer is 202 and the index goes on being built;
/// the list shows it as `building`, and no longer when it failed. An index that is there already, just so, is answered with 200.
#[utoipa::path(
    post, path = "/org/{organization_name}/indexes", tag = "indexes and schema", operation_id = "create_index",
    request_body = CreateIndexBody,
    responses(
        (status = 201, description = "The index is ready", body = IndexAnswer, headers(("Location" = String, description = "The index's path"))),
        (status = 200, description = "There was just such an index already", body = IndexAnswer),
        (status = 202, description = "The index is being built", body = IndexAnswer)
    )
)]
pub(in crate::http) async fn create(
    tenant: Allowed<SchemaWrite>,
    data: Service<DataService>,
    State(state): State<HttpState>,
    OriginalUri(uri): OriginalUri,
    JsonText(text, _held): JsonText,
) -> Result<Response, Failed<DataError, { calls::BUILD_INDEX }>> {
    let index = read_query(&text).map_err(Problem::from)?;
    let index = Index::parse(&index).map_err(Problem::invalid)?;
    let path = location::beneath(uri.path(), &index.name);
    let asked = index.clone();
    let build = async move {
        let built = data.create_index(&tenant, &index).await;
        // Here, because nobody may be waiting for it any more.
        built.inspect_err(|error| {
            if error.is_ordinary() {
                info!(%error, "an index was not built");
            } else {
                error!(%error, "an index was not built");
            }
        })
    };
    // A build can take hours. In a task of its own, so that it goes on when nobody waits for it any more.
    let build = state.tasks.spawn(build.instrument(Span::current()));
    let (status, is_building) = match timeout(state.limits.timeout / 2, build).await {
        Ok(Ok(outcome)) => (if outcome? { StatusCode::CREATED } else { StatusCode::OK }, false),
        Ok(Err(_panicked)) => return Err(Problem::new(kinds::INTERNAL_ERROR).into()),
        Err(_elapsed) => (StatusCode::ACCEPTED, true),
    };
    let mut response = (status, Json(IndexAnswer::from(StoredIndex { index: asked, is_building }))).into_response();
    if status == StatusCode::CREATED {
        location::insert(&mut response, &path);
    }
    Ok(response)
}
