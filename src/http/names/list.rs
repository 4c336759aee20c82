//! `GET /org/{organization_name}/names`

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::permission::{Allowed, OrgRead};
use crate::domain::{OldName, Org};
use crate::http::orgs::rfc3339;
use crate::http::problem::{Failed, calls};
use crate::http::state::Service;
use crate::service::{OrgError, OrgService};

/// The names of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Names {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// The present name first, then the old ones that still lead to the organization.
    names: Vec<NameAnswer>,
}

/// A name of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationName)]
struct NameAnswer {
    /// The name, as it was typed.
    #[schema(example = "amazon")]
    name: String,
    /// Whether it is the present one.
    #[schema(example = false)]
    current: bool,
    /// Since when it is the organization's (RFC 3339, UTC).
    #[schema(format = DateTime, example = "2026-11-25T09:30:00.123Z")]
    since: String,
    /// Until when it leads to the organization (RFC 3339, UTC); null for the present one.
    #[schema(required = true, format = DateTime, example = "2026-12-25T09:30:00.123Z")]
    until: Option<String>,
    /// When a call last found the organization by it (RFC 3339, UTC); null when none did, and for the present one.
    #[schema(required = true, format = DateTime, example = "2026-11-26T09:30:00.123Z")]
    last_used: Option<String>,
    /// How many calls found the organization by it; null for the present one. A server that was killed may have forgotten its
    /// last seconds.
    #[schema(required = true, minimum = 0, example = 17)]
    use_count: Option<i64>,
}

impl NameAnswer {
    fn current(org: &Org) -> Self {
        Self {
            name: org.name.clone(),
            current: true,
            since: rfc3339(org.name_since),
            until: None,
            last_used: None,
            use_count: None,
        }
    }
}

impl From<&OldName> for NameAnswer {
    fn from(old: &OldName) -> Self {
        Self {
            name: old.name.clone(),
            current: false,
            since: rfc3339(old.since),
            until: Some(rfc3339(old.until)),
            last_used: old.last_used_at.map(rfc3339),
            use_count: Some(old.uses),
        }
    }
}

/// List the names that lead to an organization
///
/// Its present name, and the old ones that a rename kept with `keep_old_name_days` and whose time is not over.
#[utoipa::path(
    get, path = "/org/{organization_name}/names", tag = "organizations", operation_id = "list_names",
    responses((status = 200, description = "The names", body = Names))
)]
pub(in crate::http) async fn list(
    org: Allowed<OrgRead, Org>,
    orgs: Service<OrgService>,
) -> Result<Json<Names>, Failed<OrgError, { calls::REACH }>> {
    let (org, old) = orgs.names(&org).await?;
    let names = std::iter::once(NameAnswer::current(&org)).chain(old.iter().map(NameAnswer::from)).collect();
    Ok(Json(Names { ok: true, names }))
}
