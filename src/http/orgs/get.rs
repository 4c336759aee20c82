//! `GET /org/get`

use axum::Json;
use axum::extract::RawQuery;
use serde::Serialize;
use utoipa::ToSchema;

use super::{OrganizationAnswer, invalid_parameter, named_in_query};
use crate::domain::{Caller, Invalid};
use crate::http::client::Client;
use crate::http::old_names::OldNameNote;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;

/// What this call can answer besides its success.
pub(in crate::http) const PROBLEMS: &[Kind] =
    &[kinds::ORGANIZATION_NOT_FOUND, kinds::VALIDATION_FAILED, kinds::TOO_MANY_ATTEMPTS];

/// The organization was found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct FoundOrg {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// What was found.
    organization: OrganizationAnswer,
}

/// Get an organization
///
/// Public. With a valid token of the organization itself the answer also shows `admin`; any other token, also a
/// broken one, shows no more than none. A network that asks for too many names that no organization has waits for a
/// while; the organization's own admin does not.
#[utoipa::path(
    get, path = "/org/get", tag = "organizations", operation_id = "get_organization",
    security((), ("bearer" = []), ("password" = [])),
    params((
        "organization_name" = String, Query, description = "The organization's name, in any spelling",
        min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon"
    )),
    responses((status = 200, description = "The organization", body = FoundOrg))
)]
pub(in crate::http) async fn get(
    services: Services,
    caller: Option<Caller>,
    client: Client,
    note: OldNameNote,
    RawQuery(query): RawQuery,
) -> Result<Json<FoundOrg>, Problem> {
    let reference =
        named_in_query(query.as_deref())?.ok_or_else(|| invalid_parameter(Invalid::new("required", "is required")))?;
    let org = note.of(services.orgs.get(&reference, caller.as_ref(), client.network()).await?);
    let organization = match caller.filter(|caller| caller.org.id == org.id) {
        Some(caller) => OrganizationAnswer::for_admin(&org, &caller.admin),
        None => OrganizationAnswer::public(&org),
    };
    Ok(Json(FoundOrg { ok: true, organization }))
}
