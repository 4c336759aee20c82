//! `DELETE /org/delete`

use axum::Json;
use axum::extract::RawQuery;
use serde::Serialize;
use utoipa::ToSchema;

use super::{NAME_PARAMETER, named_in_query};
use crate::domain::{Caller, Invalid, OrgReference};
use crate::http::body::RawBody;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;

/// What this call can answer besides its success.
pub(in crate::http) const PROBLEMS: &[Kind] = &[
    kinds::MISSING_TOKEN,
    kinds::INVALID_TOKEN,
    kinds::FORBIDDEN,
    kinds::ORGANIZATION_NOT_FOUND,
    kinds::ORGANIZATION_BUSY,
    kinds::VALIDATION_FAILED,
    kinds::OUTCOME_UNKNOWN,
];

/// Which organization goes.
#[derive(Debug, ToSchema)]
pub(in crate::http) struct DeleteOrgBody {
    /// The organization's name, in any spelling.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon_global")]
    organization_name: Option<OrgReference>,
}

impl DeleteOrgBody {
    /// No body at all is as good as one that names nothing.
    fn read(body: &RawBody) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self { organization_name: None });
        }
        let mut fields = body.json_fields()?;
        let reference = fields.optional(NAME_PARAMETER, OrgReference::parse);
        fields.finish(Some(reference)).map(|organization_name| Self { organization_name })
    }
}

/// The organization is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DeletedOrg {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// For people.
    #[schema(value_type = String, example = "Organization and related data deleted successfully.")]
    message: &'static str,
}

/// Delete an organization with everything that belongs to it
///
/// Name it in the body or, because some proxies drop the body of a DELETE, in the query. Its collection, its admin
/// and its tokens are gone; the name is free again.
#[utoipa::path(
    delete, path = "/org/delete", tag = "organizations", operation_id = "delete_organization",
    security(("bearer" = []), ("password" = [])),
    params((
        "organization_name" = Option<String>, Query, description = "The organization's name, in any spelling",
        min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$"
    )),
    request_body = Option<DeleteOrgBody>,
    responses((status = 200, description = "The organization is gone", body = DeletedOrg))
)]
pub(in crate::http) async fn delete(
    caller: Caller,
    services: Services,
    RawQuery(query): RawQuery,
    body: RawBody,
) -> Result<Json<DeletedOrg>, Problem> {
    let in_query = named_in_query(query.as_deref())?;
    let in_body = DeleteOrgBody::read(&body)?.organization_name;
    let refused = |why: Invalid| Err(Problem::invalid(vec![why.at(format!("/{NAME_PARAMETER}"))]));
    let reference = match (in_query, in_body) {
        (Some(one), Some(other)) if one != other => {
            return refused(Invalid::new("contradiction", "differs from the one in the query"));
        }
        (Some(reference), _) | (None, Some(reference)) => reference,
        (None, None) => return refused(Invalid::new("required", "is required, here or in the query")),
    };
    services.orgs.delete(&caller, &reference).await?;
    Ok(Json(DeletedOrg { ok: true, message: "Organization and related data deleted successfully." }))
}
