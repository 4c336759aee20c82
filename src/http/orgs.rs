//! `/org/*`: create, get, update and delete an organization.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::problem::Problem;
use super::{Services, bearer, json_object, token_answer};
use crate::domain::{Admin, Email, Invalid, NewPassword, Org, OrgName, OrgReference};
use crate::service::org::{CreateOrg, UpdateOrg};

pub(super) async fn create(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut fields = json_object(&headers, &body)?;
    let name = fields.required("organization_name", OrgName::parse);
    let email = fields.required("email", Email::parse);
    let password = fields.required("password", |text| Ok(NewPassword::parse(text)));
    // Alone, a bad password is the service's to report, after a taken name; with others it is reported with them.
    if let Some(Err(invalid)) = &password
        && fields.has_errors()
    {
        fields.refuse("password", invalid.clone());
    }
    let command = fields.finish(name.zip(email).zip(password))?;
    let ((name, email), password) = command;
    let org = services.orgs.create(CreateOrg { name, email, password }).await?;
    let answer = json!({
        "ok": true, "message": "Organization created successfully", "organization": organization(&org, None),
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

pub(super) async fn get(
    State(services): State<Services>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let reference = named_in_query(query.as_deref())?
        .ok_or_else(|| Problem::invalid(vec![Invalid::new("required", "is required").at("?organization_name")]))?;
    let org = services.orgs.get(&reference).await?;
    // Public: a token that is not valid shows no more than none.
    let caller = bearer(&services, &headers).await.ok().filter(|caller| caller.org.id == org.id);
    let admin = caller.as_ref().map(|caller| &caller.admin);
    Ok(Json(json!({ "ok": true, "organization": organization(&org, admin) })))
}

pub(super) async fn update(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let caller = bearer(&services, &headers).await?;
    let mut fields = json_object(&headers, &body)?;
    let reference = fields.required("organization_name", OrgReference::parse);
    let update = UpdateOrg {
        new_name: fields.optional("new_organization_name", OrgName::parse),
        email: fields.optional("email", Email::parse),
        password: fields.optional("password", NewPassword::parse),
    };
    let reference = fields.finish(reference)?;
    let updated = services.orgs.update(caller, &reference, update).await?;
    let mut answer = json!({
        "ok": true, "message": "Organization updated successfully",
        "organization": organization(&updated.caller.org, Some(&updated.caller.admin)),
    });
    if let (Some(token), Value::Object(answer)) = (&updated.access_token, &mut answer) {
        answer.extend(token_answer(token));
    }
    Ok(Json(answer))
}

pub(super) async fn delete(
    State(services): State<Services>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let caller = bearer(&services, &headers).await?;
    let in_query = named_in_query(query.as_deref())?;
    let in_body = if body.is_empty() {
        None
    } else {
        let mut fields = json_object(&headers, &body)?;
        let reference = fields.optional("organization_name", OrgReference::parse);
        fields.finish(Some(reference))?
    };
    let why = match (in_query, in_body) {
        (Some(one), Some(other)) if one != other => Invalid::new("contradiction", "differs from the one in the query"),
        (Some(reference), _) | (None, Some(reference)) => {
            services.orgs.delete(&caller, &reference).await?;
            return Ok(Json(json!({ "ok": true, "message": "Organization and related data deleted successfully." })));
        }
        (None, None) => Invalid::new("required", "is required, in the body or in the query"),
    };
    Err(Problem::invalid(vec![why.at("/organization_name")]))
}

/// The organization that a query names; other parameters are not ours.
fn named_in_query(query: Option<&str>) -> Result<Option<OrgReference>, Problem> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut named = pairs.filter(|(name, _)| name == "organization_name").map(|(_, value)| value);
    let reference = named.next().map(|value| OrgReference::parse(&value)).transpose();
    let again = named.next().map(|_| Invalid::new("repeated", "must be given once"));
    match (reference, again) {
        (Ok(reference), None) => Ok(reference),
        (Err(invalid), _) | (Ok(_), Some(invalid)) => Err(Problem::invalid(vec![invalid.at("?organization_name")])),
    }
}

/// An organization for the public, or with what only its admin may see.
fn organization(org: &Org, admin: Option<&Admin>) -> Value {
    let time = |at: time::OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let extra = admin.and_then(|_| serde_json::to_value(&org.connection.extra).ok()).unwrap_or_else(|| json!({}));
    let mut answer = json!({
        "id": org.id.to_string(),
        "organization_name": org.name,
        "collection_name": org.collection_name,
        "admin_user_id": org.admin_id.map(|id| id.to_string()),
        "connection": {
            "db_name": org.connection.db_name, "collection_name": org.connection.collection_name, "extra": extra,
        },
        "created_at": time(org.created_at),
        "updated_at": time(org.updated_at),
    });
    if let (Some(admin), Some(answer)) = (admin, answer.as_object_mut()) {
        answer.insert("admin".to_owned(), json!({ "id": admin.id.to_string(), "email": admin.email.as_str() }));
    }
    answer
}
