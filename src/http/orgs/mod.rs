//! `/org/*`: organizations. One file for each call; here is what they share.

pub(super) mod create;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod restore;
pub(super) mod update;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::openapi;
use super::problem::{Problem, answers};
use super::state::HttpState;
use crate::domain::{Admin, Invalid, Org, OrgReference};

openapi::calls![create::create, get::get, update::update, delete::delete, restore::restore];

/// The one parameter of `/org/get` and `/org/delete`.
const NAME_PARAMETER: &str = "organization_name";

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(super) struct OrganizationAnswer {
    /// Its identity: 24 hex digits, the same for ever.
    #[schema(pattern = "^[0-9a-f]{24}$", example = "691f2a3b4c5d6e7f80910a1b")]
    id: String,
    /// Its name, as it was typed.
    #[schema(example = "Amazon")]
    organization_name: String,
    /// The collection that holds its data.
    #[schema(example = "org_amazon")]
    collection_name: String,
    /// Its admin's identity; null when an older program left it without one.
    #[schema(required = true, example = "691f2a3b4c5d6e7f80910a1c")]
    admin_user_id: Option<String>,
    /// Where its data lives.
    connection: ConnectionAnswer,
    /// When it was created (RFC 3339, UTC).
    #[schema(format = DateTime, example = "2026-11-25T09:30:00.123Z")]
    created_at: String,
    /// When its name or its admin's credentials last changed (RFC 3339, UTC).
    #[schema(format = DateTime, example = "2026-11-25T09:30:00.123Z")]
    updated_at: String,
    /// Its admin; only for that admin's own eyes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    admin: Option<AdminAnswer>,
}

/// Where an organization's data lives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
struct ConnectionAnswer {
    /// The database.
    #[schema(example = "master_db")]
    db_name: String,
    /// The collection.
    #[schema(example = "org_amazon")]
    collection_name: String,
    /// Whatever else was kept there; empty for everybody but the organization's own admin.
    #[schema(value_type = Object, example = json!({}))]
    extra: Value,
}

/// An organization's admin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Admin)]
struct AdminAnswer {
    /// Its identity.
    #[schema(example = "691f2a3b4c5d6e7f80910a1c")]
    id: String,
    /// Its address, in lower case.
    #[schema(example = "admin@amazon.example")]
    email: String,
}

impl OrganizationAnswer {
    /// What everybody may see.
    fn public(org: &Org) -> Self {
        let connection = &org.connection;
        Self {
            id: org.id.to_string(),
            organization_name: org.name.clone(),
            collection_name: org.collection_name.clone(),
            admin_user_id: org.admin_id.map(|id| id.to_string()),
            connection: ConnectionAnswer {
                db_name: connection.db_name.clone(),
                collection_name: connection.collection_name.clone(),
                extra: Value::Object(Map::new()),
            },
            created_at: rfc3339(org.created_at),
            updated_at: rfc3339(org.updated_at),
            admin: None,
        }
    }

    /// What its own admin may see.
    fn for_admin(org: &Org, admin: &Admin) -> Self {
        let mut answer = Self::public(org);
        answer.connection.extra = bson::Bson::Document(org.connection.extra.clone()).into_relaxed_extjson();
        answer.admin = Some(AdminAnswer { id: admin.id.to_string(), email: admin.email.as_str().to_owned() });
        answer
    }
}

/// A time as the answers show it. Only years that RFC 3339 cannot write (after 9999) come out empty.
pub(super) fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

/// The organization that a query names. Parameters that are not ours are left alone, as the original did.
fn named_in_query(query: Option<&str>) -> Result<Option<OrgReference>, Problem> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut named = pairs.filter(|(name, _)| name == NAME_PARAMETER).map(|(_, value)| value);
    let reference = named.next().map(|value| OrgReference::parse(&value)).transpose();
    let again = named.next().map(|_| Invalid::new("repeated", "must be given once"));
    match (reference, again) {
        (Ok(reference), None) => Ok(reference),
        (Err(invalid), _) | (Ok(_), Some(invalid)) => Err(invalid_parameter(invalid)),
    }
}

/// The organization that a query must name.
pub(super) struct OrgInQuery(OrgReference);

impl FromRequestParts<HttpState> for OrgInQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let named = named_in_query(parts.uri.query())?;
        named.map(Self).ok_or_else(|| invalid_parameter(Invalid::new("required", "is required")))
    }
}

answers! { OrgInQuery = [VALIDATION_FAILED]; }

/// The one parameter is missing or wrong.
fn invalid_parameter(why: Invalid) -> Problem {
    Problem::invalid(vec![why.at(format!("?{NAME_PARAMETER}"))])
}
