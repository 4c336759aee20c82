//! `POST /admin/login`

use axum::Json;
use serde::Serialize;
use tracing::Span;
use utoipa::ToSchema;

use super::TokenAnswer;
use crate::domain::{EmailQuery, PasswordAttempt};
use crate::http::body::RawBody;
use crate::http::client::Client;
use crate::http::observe::ORGANIZATION_ID;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::Service;
use crate::service::{AuthError, AuthService};

/// An admin's credentials.
#[derive(Debug, ToSchema)]
pub(in crate::http) struct LoginBody {
    /// The admin's address; its case does not matter.
    #[schema(value_type = String, max_length = 254, pattern = r"^[^\u0000]*@[^\u0000]*$", example = "admin@amazon.example")]
    email: EmailQuery,
    /// The admin's password.
    #[schema(value_type = String, format = Password, example = "a fine password")]
    password: PasswordAttempt,
}

/// The same as an HTML form: the OAuth2 password grant (RFC 6749, section 4.3.2). Its other fields are not read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the form; `LoginBody::read` reads both")]
pub(in crate::http) struct LoginForm {
    /// The admin's address; its case does not matter.
    #[schema(max_length = 254, pattern = r"^[^\u0000]*@[^\u0000]*$", example = "admin@amazon.example")]
    username: String,
    /// The admin's password.
    #[schema(format = Password, example = "a fine password")]
    password: String,
}

impl LoginBody {
    fn read(body: &RawBody) -> Result<Self, Problem> {
        let (mut fields, email_field) = match body.form_fields(&["username", "password"]) {
            Some(form) => (form, "username"),
            None => (body.json_fields()?, "email"),
        };
        let email = fields.required(email_field, EmailQuery::parse);
        let password = fields.required("password", |text| Ok(PasswordAttempt::new(text)));
        let (email, password) = fields.finish(email.zip(password))?;
        Ok(Self { email, password })
    }
}

/// The admin is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct LoggedIn {
    /// The token.
    #[serde(flatten)]
    token: TokenAnswer,
    /// Who logged in.
    admin: LoggedInAdmin,
}

/// Who logged in.
#[derive(Debug, Serialize, ToSchema)]
struct LoggedInAdmin {
    /// The admin's identity.
    #[schema(example = "691f2a3b4c5d6e7f80910a1c")]
    id: String,
    /// The admin's address.
    #[schema(example = "admin@amazon.example")]
    email: String,
    /// The organization that the admin may change.
    #[schema(example = "691f2a3b4c5d6e7f80910a1b")]
    organization_id: String,
}

/// Log in as an organization's admin
///
/// Takes JSON, or the form of the OAuth2 password grant. An unknown email and a wrong password get the same answer
/// after the same work. Attempts are limited for each email at each client's network, and more loosely for each network
/// and for each email.
#[utoipa::path(
    post, path = "/admin/login", tag = "authentication", operation_id = "log_in",
    request_body(content((LoginBody = "application/json"), (LoginForm = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "A token", body = LoggedIn))
)]
pub(in crate::http) async fn log_in(
    auth: Service<AuthService>,
    client: Client,
    body: RawBody,
) -> Result<Json<LoggedIn>, Failed<AuthError, { calls::LOG_IN }>> {
    let LoginBody { email, password } = LoginBody::read(&body)?;
    let (admin, token) = auth.log_in(&email, &password, client.network()).await?;
    Span::current().record(ORGANIZATION_ID, tracing::field::display(admin.org_id));
    let answer = LoggedIn {
        token: TokenAnswer::from(&token),
        admin: LoggedInAdmin {
            id: admin.id.to_string(),
            email: admin.email.as_str().to_owned(),
            organization_id: admin.org_id.to_string(),
        },
    };
    Ok(Json(answer))
}
