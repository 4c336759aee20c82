//! `GET /org/{organization_name}/changes/{id}`

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi;
use super::orgs::rfc3339;
use super::problem::{Failed, Problem, answers, calls};
use super::state::{HttpState, Service};
use super::tenant::path_parameter;
use crate::domain::permission::{Allowed, OrgRead};
use crate::domain::{Change, ChangeId, ChangeKind, Org, Progress};
use crate::service::{OrgError, OrgService};

openapi::calls![get];

/// The id in a path; nothing when it can be no change's.
#[derive(Debug)]
pub(super) struct PathChange(Option<ChangeId>);

impl FromRequestParts<HttpState> for PathChange {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        path_parameter(parts, "id").await.map(|text| Self(ChangeId::from_hex(&text)))
    }
}

answers! { PathChange = []; }

/// A change was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FoundChange {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// What was found.
    change: ChangeAnswer,
}

/// A change of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeAnswer {
    /// Its identity.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1d")]
    id: String,
    /// `create`, `update`, `delete`, `restore`, `purge` or `repair`.
    #[schema(value_type = String, example = "update")]
    kind: &'static str,
    /// `running`, `finished`, or `undone`: refused, with everything as it was before.
    #[schema(value_type = String, example = "finished")]
    state: &'static str,
    /// The step that was begun last; null when it is over.
    #[schema(required = true, example = "move-collection")]
    step: Option<String>,
    /// When it was recorded (RFC 3339, UTC).
    #[schema(format = DateTime, example = "2026-11-25T09:30:00.123Z")]
    started: String,
    /// How many servers have worked on it, one after another; more than 1 after one died or stalled.
    #[schema(minimum = 1, example = 1)]
    attempts: i64,
    /// When it was over (RFC 3339, UTC); null while it runs.
    #[schema(required = true, format = DateTime, example = "2026-11-25T09:30:00.456Z")]
    finished: Option<String>,
    /// Why it was undone: a code of the errors of the call that made it; null otherwise.
    #[schema(required = true, example = "email_taken")]
    error: Option<String>,
}

impl From<Change> for ChangeAnswer {
    fn from(change: Change) -> Self {
        let (state, step, finished, error) = match change.progress {
            Progress::Running { step } => ("running", Some(step), None, None),
            Progress::Finished { at } => ("finished", None, Some(at), None),
            Progress::Undone { at, why } => ("undone", None, Some(at), Some(why)),
        };
        Self {
            id: change.id.to_string(),
            kind: match change.kind {
                // What clients call it: it also changes credentials.
                ChangeKind::Rename => "update",
                other => other.name(),
            },
            state,
            step,
            started: rfc3339(change.started_at),
            attempts: change.attempts,
            finished: finished.map(rfc3339),
            error,
        }
    }
}

/// Watch a change
///
/// The answer of every change of an organization names its `change_id`; so does `outcome_unknown`, when a server could not
/// say what became of it: another server, or the same one later, ends every change that was begun. After a deletion nobody has
/// a token to ask with; repeat that request with its `Idempotency-Key` instead. Changes are remembered for 90 days, at most
/// the last hundred.
#[utoipa::path(
    get, path = "/org/{organization_name}/changes/{id}", tag = "organizations", operation_id = "get_change",
    params(
        ("id" = String, Path, description = "The change's id", example = "691f2a3b4c5d6e7f80910a1d")
    ),
    responses((status = 200, description = "The change", body = FoundChange))
)]
pub(super) async fn get(
    org: Allowed<OrgRead, Org>,
    orgs: Service<OrgService>,
    PathChange(id): PathChange,
) -> Result<Json<FoundChange>, Failed<OrgError, { calls::WATCH_CHANGE }>> {
    let change = orgs.change(&org, id).await?.into();
    Ok(Json(FoundChange { ok: true, change }))
}
