//! `DELETE /org/{organization_name}/indexes/{name}`

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::domain::indexes::check_index_name;
use crate::domain::permission::{Allowed, SchemaWrite};
use crate::http::problem::{Failed, Problem, answers, calls, kinds};
use crate::http::state::{HttpState, Service};
use crate::http::tenant::path_parameter;
use crate::service::{DataError, DataService};

/// The index that every collection has and needs.
const ID_INDEX: &str = "_id_";

/// The name of an index in its path.
pub(in crate::http) struct IndexName(String);

impl FromRequestParts<HttpState> for IndexName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let name = path_parameter(parts, "name").await?;
        // Above all not `*`, which would be all of them.
        check_index_name(&name).map_err(|invalid| Problem::invalid(vec![invalid.at("{name}")]))?;
        if name == ID_INDEX { Err(Problem::new(kinds::INDEX_PROTECTED)) } else { Ok(Self(name)) }
    }
}

answers! { IndexName = [VALIDATION_FAILED, INDEX_PROTECTED]; }

/// Drop an index
#[utoipa::path(
    delete, path = "/org/{organization_name}/indexes/{name}", tag = "indexes and schema", operation_id = "delete_index",
    params(
        ("name" = String, Path, description = "The index's name", min_length = 1, max_length = 120,
            pattern = r"^[^$*\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$", example = "email_1")
    ),
    responses((status = 204, description = "The index is gone"))
)]
pub(in crate::http) async fn delete(
    tenant: Allowed<SchemaWrite>,
    data: Service<DataService>,
    IndexName(name): IndexName,
) -> Result<StatusCode, Failed<DataError, { calls::DROP_INDEX }>> {
    data.drop_index(&tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
