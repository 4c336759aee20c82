//! `DELETE /org/{organization_name}/names/{old_name}`

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use crate::domain::permission::{Allowed, OrgManage};
use crate::domain::{Org, OrgReference};
use crate::http::problem::{Failed, Problem, answers, calls};
use crate::http::state::{HttpState, Service};
use crate::http::tenant::path_parameter;
use crate::service::{OrgError, OrgService};

/// The parameter of the path that names what is given up.
const OLD_NAME: &str = "old_name";

/// The old name in a path.
#[derive(Debug)]
pub(in crate::http) struct PathOldName(OrgReference);

impl FromRequestParts<HttpState> for PathOldName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let name = path_parameter(parts, OLD_NAME).await?;
        let reference = OrgReference::parse(&name);
        reference.map(Self).map_err(|invalid| Problem::invalid(vec![invalid.at(format!("{{{OLD_NAME}}}"))]))
    }
}

answers! { PathOldName = [VALIDATION_FAILED]; }

/// Give up an old name
///
/// It does not lead to the organization any more, and anybody can take it.
#[utoipa::path(
    delete, path = "/org/{organization_name}/names/{old_name}", tag = "organizations", operation_id = "give_up_name",
    params(
        (
            "old_name" = String, Path, description = "The old name, in any spelling",
            min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon"
        )
    ),
    responses((status = 204, description = "The name is free"))
)]
pub(in crate::http) async fn delete(
    org: Allowed<OrgManage, Org>,
    orgs: Service<OrgService>,
    PathOldName(name): PathOldName,
) -> Result<StatusCode, Failed<OrgError, { calls::GIVE_UP_NAME }>> {
    orgs.give_up_name(&org, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
