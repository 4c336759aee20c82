//! `GET /org/get`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::{OrgInQuery, OrganizationAnswer};
use crate::domain::Actor;
use crate::http::client::Client;
use crate::http::old_names::OldNameNote;
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::service::{OrgError, OrgService};

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
    orgs: Service<OrgService>,
    actor: Option<Actor>,
    client: Client,
    note: OldNameNote,
    OrgInQuery(reference): OrgInQuery,
) -> Result<Json<FoundOrg>, Failed<OrgError, { calls::FIND }>> {
    let org = note.of(orgs.get(&reference, actor.as_ref(), client.network()).await?);
    let organization = match actor.as_ref().and_then(|actor| actor.admin_of(&org)) {
        Some(admin) => OrganizationAnswer::for_admin(&org, admin),
        None => OrganizationAnswer::public(&org),
    };
    Ok(Json(FoundOrg { ok: true, organization }))
}
