//! `PUT /org/update`

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationAnswer;
use crate::domain::{Caller, Email, NewPassword, OrgName, OrgReference};
use crate::http::auth::TokenAnswer;
use crate::http::body::JsonFields;
use crate::http::fields::Fields;
use crate::http::problem::{Kind, Problem, kinds};
use crate::http::state::Services;
use crate::service::org::UpdateOrg;

/// What this call can answer besides its success.
pub(in crate::http) const PROBLEMS: &[Kind] = &[
    kinds::MISSING_TOKEN,
    kinds::INVALID_TOKEN,
    kinds::FORBIDDEN,
    kinds::ORGANIZATION_NOT_FOUND,
    kinds::NEW_NAME_TAKEN,
    kinds::EMAIL_TAKEN,
    kinds::COLLECTION_OCCUPIED,
    kinds::ORGANIZATION_BUSY,
    kinds::VALIDATION_FAILED,
    kinds::PASSWORD_QUEUE_FULL,
    kinds::OUTCOME_UNKNOWN,
    kinds::TENANT_COLLECTION_REPLACED,
];

/// What changes; what is left out or null stays.
#[derive(Debug, ToSchema)]
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
    /// The address that its admin gets.
    #[schema(value_type = Option<String>, format = Email, max_length = 254, example = "admin@amazon.example")]
    email: Option<Email>,
    /// The password that its admin gets: at least 8 characters, at most 72 bytes of UTF-8.
    #[schema(
        value_type = Option<String>, format = Password, min_length = 8, max_length = 72, pattern = r"^[^\u0000]*$", example = "a finer password"
    )]
    password: Option<NewPassword>,
}

impl UpdateOrgBody {
    fn read(mut fields: Fields) -> Result<Self, Problem> {
        let reference = fields.required("organization_name", OrgReference::parse);
        let new_organization_name = fields.optional("new_organization_name", OrgName::parse);
        let email = fields.optional("email", Email::parse);
        let password = fields.optional("password", NewPassword::parse);
        let organization_name = fields.finish(reference)?;
        Ok(Self { organization_name, new_organization_name, email, password })
    }
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
/// the organization's collection with all its documents and indexes, and tokens go on working. A new password ends
/// every token; the answer then has a fresh one.
#[utoipa::path(
    put, path = "/org/update", tag = "organizations", operation_id = "update_organization",
    security(("bearer" = []), ("password" = [])),
    request_body = UpdateOrgBody,
    responses((status = 200, description = "The organization was updated", body = UpdatedOrg))
)]
pub(in crate::http) async fn update(
    caller: Caller,
    services: Services,
    JsonFields(fields): JsonFields,
) -> Result<([(HeaderName, HeaderValue); 1], Json<UpdatedOrg>), Problem> {
    let UpdateOrgBody { organization_name, new_organization_name: new_name, email, password } =
        UpdateOrgBody::read(fields)?;
    let updated = services.orgs.update(caller, &organization_name, UpdateOrg { new_name, email, password }).await?;
    let Caller { admin, org } = &updated.caller;
    let fresh = updated.access_token.as_ref().map(TokenAnswer::from);
    let answer = UpdatedOrg {
        ok: true,
        message: "Organization updated successfully",
        organization: OrganizationAnswer::for_admin(org, admin),
        token_type: fresh.as_ref().map(|token| token.token_type),
        expires_in: fresh.as_ref().map(|token| token.expires_in),
        access_token: fresh.map(|token| token.access_token),
    };
    // The answer may hold a token.
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)))
}
