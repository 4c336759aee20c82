//! `PUT /org/update`

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationAnswer;
use crate::domain::change::OLD_NAME_MAX_DAYS;
use crate::domain::{Email, NewPassword, OrgName, OrgReference};
use crate::http::auth::TokenAnswer;
use crate::http::body::RawBody;
use crate::http::caller::Bearer;
use crate::http::fields::Fields;
use crate::http::idempotency::{DESCRIPTION, success};
use crate::http::old_names::OldNameNote;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::service::idempotency::{Answer, Former, Repeatable, RequestKey};
use crate::service::orgs::{self as service, ByOldName, ChangeIds, UpdateOrg};
use crate::service::{IdempotencyService, OrgError, OrgService};

/// What changes; what is left out or null stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body; `read` reads it")]
pub(in crate::http) struct UpdateOrgBody {
    /// The organization's present name, in any spelling.
    #[schema(value_type = String, min_length = 1, max_length = 240, pattern = r"^[^\u0000]*$", example = "amazon")]
    organization_name: OrgReference,
    /// The name that it gets, by the rules of a new organization's name. Its collection moves along.
    #[schema(
        value_type = Option<String>, min_length = 1, max_length = 64,
        pattern = "^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9])?$", example = "amazon_global"
    )]
    new_organization_name: Option<OrgName>,
    /// For how many days the name that a rename gives up still leads to the organization, and nobody else can take it; 0
    /// frees it at once. Without effect when the name stays.
    #[schema(value_type = Option<u16>, minimum = 0, maximum = 365, default = 0, example = 30)]
    keep_old_name_days: u16,
    /// The address that its admin gets.
    #[schema(value_type = Option<String>, format = Email, max_length = 254, example = "admin@amazon.example")]
    email: Option<Email>,
    /// The password that its admin gets: at least 8 characters, at most 72 bytes of UTF-8.
    #[schema(
        value_type = Option<String>, format = Password, min_length = 8, max_length = 72, pattern = r"^[^\u0000]*$", example = "a finer password"
    )]
    password: Option<NewPassword>,
}

/// The organization was updated.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UpdatedOrg {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// For people.
    #[schema(value_type = String, example = "Organization updated successfully")]
    message: &'static str,
    /// What it is now.
    organization: OrganizationAnswer,
    /// The change that this was, for `GET /org/{organization_name}/changes/{id}`; absent when there was nothing to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1d")]
    change_id: Option<String>,
    /// A fresh token, only when the password was changed: that ends every older one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI2OTFmIn0.c2lnbmF0dXJl")]
    access_token: Option<String>,
    /// `bearer`; with `access_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "bearer")]
    token_type: Option<&'static str>,
    /// How long the token is valid, in seconds; with `access_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 3600)]
    expires_in: Option<u64>,
}

/// Rename an organization, or change its admin's email or password
///
/// Everything that is given happens, or nothing does: a 409 on one part leaves the others untouched. A rename moves
/// the organization's collection with all its documents and indexes, and tokens go on working. The old name can be kept for
/// a while: every call finds the organization by it, and says so in `Deprecation`, `Sunset` and `Link`. A new password ends
/// every token; the answer then has a fresh one. With an `Idempotency-Key` the request can be repeated safely, also with the
/// token that it ended.
#[utoipa::path(
    put, path = "/org/update", tag = "organizations", operation_id = "update_organization",
    params(("Idempotency-Key" = Option<String>, Header, description = DESCRIPTION, min_length = 1, max_length = 255)),
    request_body = UpdateOrgBody,
    responses((status = 200, description = "The organization was updated", body = UpdatedOrg))
)]
pub(in crate::http) async fn update(
    bearer: Bearer,
    orgs: Service<OrgService>,
    idempotency: Service<IdempotencyService>,
    key: RequestKey,
    note: OldNameNote,
    body: RawBody,
) -> Result<Answer, Failed<OrgError, { calls::UPDATE }>> {
    // Before the key is claimed: an attempt that hangs and wakes late then changes only what it saw here. A failure counts
    // only if the request is carried out: a repetition learns its outcome even if it ended its own token.
    let actor = bearer.recognize().await;
    let (orgs, body) = (&*orgs, &body);
    let request = Repeatable {
        call: "update_organization",
        sender: &bearer.subject(),
        account: ("organization", &bearer.claims.org_id.0.bytes()),
        content: &body.bytes(),
        ids: ChangeIds::of(bearer.claims.org_id),
        if_known: || Ok(()),
        recall: |ids| async move {
            Ok(match orgs.outcome(ids, |_, change| Ok::<_, Problem>(change)).await? {
                Some(Former::Done(change)) => Former::Done(updated(&orgs.updated(bearer.claims, &change).await?)?),
                Some(Former::Running) => Former::Running,
                Some(Former::Nothing) | None => Former::Nothing,
            })
        },
        carry_out: |ids: ChangeIds| async move {
            let actor = actor?;
            let (reference, command) = read(body.json_fields()?)?;
            let done = orgs.update(ids.change, actor, &reference, command).await?;
            // The name that it has now, not the one that it had when it was found.
            let org = &done.org;
            let by = done.by.clone().filter(|by| by.old.slug != org.slug);
            note.leave(by.map(|by| ByOldName { current: org.name.clone(), ..by }));
            updated(&done)
        },
    };
    Ok(idempotency.run(key, request).await?)
}

fn read(mut fields: Fields) -> Result<(OrgReference, UpdateOrg), Problem> {
    let reference = fields.required("organization_name", OrgReference::parse);
    let new_name = fields.optional("new_organization_name", OrgName::parse);
    let keep_old_name_days = fields.optional_number("keep_old_name_days", OLD_NAME_MAX_DAYS).unwrap_or_default();
    let email = fields.optional("email", Email::parse);
    let password = fields.optional("password", NewPassword::parse);
    let reference = fields.finish(reference)?;
    Ok((reference, UpdateOrg { new_name, keep_old_name_days, email, password }))
}

fn updated(done: &service::UpdatedOrg) -> Result<Answer, Problem> {
    let fresh = done.access_token.as_ref().map(TokenAnswer::from);
    let answer = UpdatedOrg {
        ok: true,
        message: "Organization updated successfully",
        organization: OrganizationAnswer::for_admin(&done.org, &done.admin),
        change_id: done.change_id.map(|id| id.to_string()),
        token_type: fresh.as_ref().map(|token| token.token_type),
        expires_in: fresh.as_ref().map(|token| token.expires_in),
        access_token: fresh.map(|token| token.access_token),
    };
    Ok(Answer { is_unchanged: done.change_id.is_none(), ..success(StatusCode::OK, &answer)? })
}
