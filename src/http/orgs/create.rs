//! `POST /org/create`

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationAnswer;
use crate::domain::{Email, Invalid, NewPassword, Org, OrgName};
use crate::http::body::RawBody;
use crate::http::caller::AnyToken;
use crate::http::client::Client;
use crate::http::fields::Fields;
use crate::http::idempotency::{DESCRIPTION, success};
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::service::idempotency::{Answer, Repeatable, RequestKey};
use crate::service::orgs::{ChangeIds, CreateOrg};
use crate::service::{IdempotencyService, OrgError, OrgService};

/// A new organization and its admin.
#[derive(Debug, ToSchema)]
pub(in crate::http) struct CreateOrgBody {
    /// 1 to 64 of `A-Z a-z 0-9 space _ -`, with a letter or digit first and last. Names that differ in case, or in
    /// spaces where the other has `_`, are the same name.
    #[schema(
        value_type = String, min_length = 1, max_length = 64,
        pattern = "^[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9])?$", example = "amazon"
    )]
    organization_name: OrgName,
    /// The admin's address; compared in lower case, unique over all admins.
    #[schema(value_type = String, format = Email, max_length = 254, example = "admin@amazon.example")]
    email: Email,
    /// The admin's password: at least 8 characters, at most 72 bytes of UTF-8.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 72, pattern = r"^[^\u0000]*$", example = "a fine password")]
    password: Result<NewPassword, Invalid>,
}

impl CreateOrgBody {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let name = fields.required("organization_name", OrgName::parse);
        let email = fields.required("email", Email::parse);
        let password = fields.required("password", |text| Ok(NewPassword::parse(text)));
        // Alone, a bad password is the service's to report, after a taken name; with others it is reported with them.
        if let Some(Err(invalid)) = &password
            && fields.has_errors()
        {
            fields.refuse("password", invalid.clone());
        }
        let ((organization_name, email), password) = fields.finish(name.zip(email).zip(password))?;
        Ok(Self { organization_name, email, password })
    }
}

/// The organization was created.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CreatedOrg {
    /// Always true.
    #[schema(example = true)]
    ok: bool,
    /// For people.
    #[schema(value_type = String, example = "Organization created successfully")]
    message: &'static str,
    /// What was created.
    organization: OrganizationAnswer,
    /// The change that this was, for `GET /org/{organization_name}/changes/{id}`.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1d")]
    change_id: String,
}

/// Create an organization with its admin
///
/// Makes the organization, its admin and its own empty collection `org_<slug>`, all or nothing. A taken name is
/// answered with 409 even when the password breaks a rule; all other broken fields are reported together. With an
/// `Idempotency-Key` the request can be repeated safely when its answer was lost. Attempts are limited for each client's
/// network. Where the server is run with `REGISTRATION=token`, whoever holds that token may create, and as many as it likes.
#[utoipa::path(
    post, path = "/org/create", tag = "organizations", operation_id = "create_organization",
    security((), ("registration" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = DESCRIPTION, min_length = 1, max_length = 255)),
    request_body = CreateOrgBody,
    responses((status = 201, description = "The organization was created", body = CreatedOrg))
)]
pub(in crate::http) async fn create(
    orgs: Service<OrgService>,
    idempotency: Service<IdempotencyService>,
    AnyToken(token): AnyToken,
    client: Client,
    key: RequestKey,
    body: RawBody,
) -> Result<Answer, Failed<OrgError, { calls::CREATE }>> {
    let by = orgs.admit(token.as_ref(), client.network()).map_err(OrgError::from)?;
    let CreateOrgBody { organization_name: name, email, password } = CreateOrgBody::read(body.json_fields()?)?;
    orgs.count_creation(by)?;
    let command = CreateOrg { name, email: email.clone(), password, by };
    let orgs = &*orgs;
    let request = Repeatable {
        call: "create_organization",
        // Nothing else is known of the sender, and strangers with the same key must not meet.
        sender: email.as_str(),
        account: ("email", email.as_str().as_bytes()),
        content: &body.bytes(),
        ids: ChangeIds::generate(),
        if_known: || Ok(orgs.count_repetition(by, &email)?),
        recall: |ids| async move { Ok(orgs.outcome(ids, |org, _| created(&org, ids)).await?.unwrap_or_default()) },
        carry_out: |ids| async move { created(&orgs.create(ids, command).await?, ids) },
    };
    Ok(idempotency.run(key, request).await?)
}

fn created(org: &Org, ids: ChangeIds) -> Result<Answer, Problem> {
    let message = "Organization created successfully";
    let organization = OrganizationAnswer::public(org);
    let answer = CreatedOrg { ok: true, message, organization, change_id: ids.change.to_string() };
    success(StatusCode::CREATED, &answer)
}
