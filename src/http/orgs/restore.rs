//! `POST /org/restore`

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationAnswer;
use crate::domain::{EmailQuery, Org, OrgName, PasswordAttempt};
use crate::http::body::RawBody;
use crate::http::client::Client;
use crate::http::fields::Fields;
use crate::http::idempotency::{DESCRIPTION, success};
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::service::idempotency::{Answer, Repeatable, RequestKey};
use crate::service::orgs::{ChangeIds, RestoreOrg};
use crate::service::{IdempotencyService, OrgError, OrgService};

/// Who wants a deleted organization back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body; `read` reads it")]
pub(in crate::http) struct RestoreOrgBody {
    /// The address of its admin; its case does not matter.
    #[schema(value_type = String, max_length = 254, pattern = r"^[^\u0000]*@[^\u0000]*$", example = "admin@amazon.example")]
    email: EmailQuery,
    /// The password of its admin.
    #[schema(value_type = String, format = Password, example = "a fine password")]
    password: PasswordAttempt,
    /// The name that it gets, if the one that it had was taken meanwhile.
    #[schema(
        value_type = Option<String>, min_length = 1, max_length = 64,
        pattern = "^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9])?$", example = "amazon_reborn"
    )]
    organization_name: Option<OrgName>,
}

/// The organization is back.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct RestoredOrg {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// For people.
    #[schema(value_type = String, example = "Organization restored successfully")]
    message: &'static str,
    /// What came back.
    organization: OrganizationAnswer,
    /// The change that this was, for `GET /org/{organization_name}/changes/{id}`.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1d")]
    change_id: String,
}

/// Bring a deleted organization back
///
/// With all its documents, indexes and its admin, while `restorable_until` of its deletion is not over. Old names that it had
/// kept are gone. Tokens of its former life stay dead: log in. Attempts are limited as those of a login are.
#[utoipa::path(
    post, path = "/org/restore", tag = "organizations", operation_id = "restore_organization",
    params(("Idempotency-Key" = Option<String>, Header, description = DESCRIPTION, min_length = 1, max_length = 255)),
    request_body = RestoreOrgBody,
    responses((status = 200, description = "The organization is back", body = RestoredOrg))
)]
pub(in crate::http) async fn restore(
    orgs: Service<OrgService>,
    idempotency: Service<IdempotencyService>,
    key: RequestKey,
    client: Client,
    body: RawBody,
) -> Result<Answer, Failed<OrgError, { calls::RESTORE }>> {
    let (email, password, new_name) = read(body.json_fields()?)?;
    let command = RestoreOrg { email, password, from: client.network(), new_name };
    // First, so that a repetition also proves who sends it, and counts as one attempt.
    let org = orgs.identify(&command).await?;
    let org_id = org.id;
    let (orgs, org, command) = (&*orgs, &org, &command);
    let request = Repeatable {
        call: "restore_organization",
        sender: &org_id.to_string(),
        account: ("organization", &org_id.0.bytes()),
        content: &body.bytes(),
        ids: ChangeIds::of(org_id),
        if_known: || Ok(()),
        recall: |ids| async move { Ok(orgs.outcome(ids, |org, _| restored(&org, ids)).await?.unwrap_or_default()) },
        carry_out: |ids: ChangeIds| async move { restored(&orgs.restore(ids.change, org, command).await?, ids) },
    };
    Ok(idempotency.run(key, request).await?)
}

fn read(mut fields: Fields) -> Result<(EmailQuery, PasswordAttempt, Option<OrgName>), Problem> {
    let email = fields.required("email", EmailQuery::parse);
    let password = fields.required("password", |text| Ok(PasswordAttempt::new(text)));
    let new_name = fields.optional("organization_name", OrgName::parse);
    let (email, password) = fields.finish(email.zip(password))?;
    Ok((email, password, new_name))
}

fn restored(org: &Org, ids: ChangeIds) -> Result<Answer, Problem> {
    let answer = RestoredOrg {
        ok: true,
        message: "Organization restored successfully",
        organization: OrganizationAnswer::public(org),
        change_id: ids.change.to_string(),
    };
    success(StatusCode::OK, &answer)
}
