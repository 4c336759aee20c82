//! `DELETE /org/delete`

use axum::extract::RawQuery;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{NAME_PARAMETER, named_in_query, rfc3339};
use crate::domain::{Deletion, Invalid, OrgReference};
use crate::http::body::RawBody;
use crate::http::caller::Bearer;
use crate::http::idempotency::{DESCRIPTION, success};
use crate::http::old_names::OldNameNote;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::service::idempotency::{Answer, Former, Repeatable, RequestKey};
use crate::service::orgs::ChangeIds;
use crate::service::{IdempotencyService, OrgError, OrgService};

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
    /// The change that this was.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1d")]
    change_id: String,
    /// Until when `POST /org/restore` can bring it back (RFC 3339, UTC); absent when it is gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-12-25T09:30:00.123Z")]
    restorable_until: Option<String>,
}

/// Delete an organization with everything that belongs to it
///
/// Name it in the body or, because some proxies drop the body of a DELETE, in the query. From here on no call finds it, its
/// tokens are dead and its names are free. Its documents and its admin are gone too; or, where the server is run with
/// `DELETE_GRACE_DAYS`, kept so long that its admin can bring everything back, and `restorable_until` says until when. With
/// an `Idempotency-Key` the request can be repeated safely, also with the token that it ended.
#[utoipa::path(
    delete, path = "/org/delete", tag = "organizations", operation_id = "delete_organization",
    params(
        (
            "organization_name" = Option<String>, Query, description = "The organization's name, in any spelling",
            min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$"
        ),
        ("Idempotency-Key" = Option<String>, Header, description = DESCRIPTION, min_length = 1, max_length = 255)
    ),
    request_body = Option<DeleteOrgBody>,
    responses((status = 200, description = "The organization is gone", body = DeletedOrg))
)]
pub(in crate::http) async fn delete(
    bearer: Bearer,
    orgs: Service<OrgService>,
    idempotency: Service<IdempotencyService>,
    key: RequestKey,
    note: OldNameNote,
    RawQuery(query): RawQuery,
    body: RawBody,
) -> Result<Answer, Failed<OrgError, { calls::DELETE }>> {
    let query = query.unwrap_or_default();
    // Before the key is claimed: an attempt that hangs and wakes late then changes only what it saw here. A failure counts
    // only if the request is carried out: a repetition learns its outcome even if it ended its own token.
    let actor = bearer.recognize().await;
    let (orgs, query, body) = (&*orgs, &query, &body);
    let request = Repeatable {
        call: "delete_organization",
        sender: &bearer.subject(),
        account: ("organization", &bearer.claims.org_id.0.bytes()),
        content: &[query.as_bytes(), b"\n", &body.bytes()].concat(),
        ids: ChangeIds::of(bearer.claims.org_id),
        if_known: || Ok(()),
        recall: |ids| async move {
            let outcome = orgs.outcome(ids, |org, _| deleted(ids, org.deletion.as_ref())).await?;
            Ok(outcome.unwrap_or(Former::Done(deleted(ids, None)?)))
        },
        carry_out: |ids: ChangeIds| async move {
            let actor = actor?;
            let reference = named(query, body)?;
            let done = orgs.delete(ids.change, &actor, &reference).await?;
            deleted(ids, note.of(done).as_ref())
        },
    };
    Ok(idempotency.run(key, request).await?)
}

/// The organization that is named in the query or in the body, or in both alike.
fn named(query: &str, body: &RawBody) -> Result<OrgReference, Problem> {
    let in_query = named_in_query(Some(query))?;
    let in_body = DeleteOrgBody::read(body)?.organization_name;
    let refused = |why: Invalid| Err(Problem::invalid(vec![why.at(format!("/{NAME_PARAMETER}"))]));
    match (in_query, in_body) {
        (Some(one), Some(other)) if one != other => {
            refused(Invalid::new("contradiction", "differs from the one in the query"))
        }
        (Some(reference), _) | (None, Some(reference)) => Ok(reference),
        (None, None) => refused(Invalid::new("required", "is required, here or in the query")),
    }
}

fn deleted(ids: ChangeIds, deletion: Option<&Deletion>) -> Result<Answer, Problem> {
    let answer = DeletedOrg {
        ok: true,
        message: "Organization and related data deleted successfully.",
        change_id: ids.change.to_string(),
        restorable_until: deletion.map(|deletion| rfc3339(deletion.until)),
    };
    success(StatusCode::OK, &answer)
}
