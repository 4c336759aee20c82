//! The HTTP edge: reads requests, asks a service, answers. Every request runs in a task of its own, so that a client
//! that hangs up drops neither a driver's future nor a change in the middle.

mod fields;
mod orgs;
mod problem;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use mongodb::Database;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use tracing::{Instrument, Span, info, info_span};
use uuid::Uuid;

use crate::domain::{Caller, EmailQuery, Invalid, PasswordAttempt};
use crate::service::{AccessToken, AuthService, OrgService};
use fields::Fields;
use problem::Problem;

/// What handlers ask.
#[derive(Debug, Clone)]
pub struct Services {
    /// Who somebody is.
    pub auth: AuthService,
    /// Organizations.
    pub orgs: OrgService,
    /// Asked by `/health/ready` alone.
    pub database: Database,
}

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// How long it may take.
    pub timeout: Duration,
    /// How large its body may be.
    pub max_body_bytes: usize,
}

/// The whole HTTP service.
pub fn router(services: Services, limits: RequestLimits) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({ "message": "Service is running" }))))
        .route("/health/live", get(async || Json(json!({ "status": "live" }))))
        .route("/health/ready", get(ready))
        .route("/org/create", post(orgs::create))
        .route("/org/get", get(orgs::get))
        .route("/org/update", put(orgs::update))
        .route("/org/delete", delete(orgs::delete))
        .route("/admin/login", post(log_in))
        .with_state(services)
        .layer(DefaultBodyLimit::max(limits.max_body_bytes))
        // Outside the routes, so that what the framework answers by itself passes here too.
        .layer(from_fn_with_state(limits.timeout, detach))
        .layer(from_fn(observe))
}

async fn ready(State(services): State<Services>) -> Result<Json<Value>, Problem> {
    crate::repo::ping(&services.database).await.map_err(|_error| Problem::unavailable())?;
    Ok(Json(json!({ "status": "ready" })))
}

async fn log_in(
    State(services): State<Services>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    // The OAuth2 password form (RFC 6749, section 4.3.2) calls the email `username`; its other fields are ignored.
    let is_form = content_type(&headers).is_some_and(|kind| kind.essence_str() == "application/x-www-form-urlencoded");
    let (mut fields, email_field) = if is_form {
        let pairs = form_urlencoded::parse(&body).filter(|(name, _)| matches!(name.as_ref(), "username" | "password"));
        let values = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
        (Fields::new(values), "username")
    } else {
        (json_object(&headers, &body)?, "email")
    };
    let email = fields.required(email_field, EmailQuery::parse);
    let password = fields.required("password", |text| Ok(PasswordAttempt::new(text)));
    let (email, password) = fields.finish(email.zip(password))?;
    let (admin, token) = services.auth.log_in(&email, &password, peer.ip()).await?;
    let mut answer: Map<String, Value> = token_answer(&token).into_iter().collect();
    let admin = json!({
        "id": admin.id.to_string(), "email": admin.email.as_str(), "organization_id": admin.org_id.to_string(),
    });
    answer.insert("admin".to_owned(), admin);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// A token as clients of OAuth2 expect it.
fn token_answer(token: &AccessToken) -> [(String, Value); 3] {
    [
        ("access_token".to_owned(), json!(token.token.expose_secret())),
        ("token_type".to_owned(), json!("bearer")),
        ("expires_in".to_owned(), json!(token.expires_in.as_secs())),
    ]
}

/// Who sends this request, by its Bearer token.
async fn bearer(services: &Services, headers: &HeaderMap) -> Result<Caller, Problem> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let token = token.ok_or_else(|| Problem::unauthenticated("Not authenticated"))?;
    Ok(services.auth.recognize(token).await?)
}

fn content_type(headers: &HeaderMap) -> Option<mime::Mime> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}

/// The fields of a JSON object.
fn json_object(headers: &HeaderMap, body: &[u8]) -> Result<Fields, Problem> {
    let is_json =
        content_type(headers).is_some_and(|kind| kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON));
    if !is_json {
        let detail = "Send the body as application/json, and say so in Content-Type";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(values)) => Ok(Fields::new(values)),
        Ok(_) => Err(Problem::invalid(vec![Invalid::new("wrong_type", "must be a JSON object").at("")])),
        Err(error) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid_json", format!("The body is not JSON: {place}")))
        }
    }
}

/// Runs a request in a task of its own, for at most so long as a client waits. A panic ends the task alone.
async fn detach(State(timeout): State<Duration>, request: Request, next: Next) -> Response {
    let task = tokio::spawn(next.run(request).instrument(Span::current()));
    match tokio::time::timeout(timeout, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => Problem::internal().into_response(),
        Err(_elapsed) => {
            let detail = "The server did not finish in time; look at the result before you try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "request_timeout", detail).into_response()
        }
    }
}

/// Gives each request its id, its log line, and each error its one shape.
async fn observe(request: Request, next: Next) -> Response {
    const REQUEST_ID: &str = "x-request-id";
    let is_plain =
        |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(is_plain);
    let id = given.map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let mut response = next.run(request).instrument(info_span!("request", request_id = %id)).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let problem = match response.extensions_mut().remove::<Problem>() {
            Some(problem) => problem,
            None if status == StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(status, "body_too_large", "The body is larger than this server reads")
            }
            None => Problem::of_status(status),
        };
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(&id);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    info!(request_id = %id, %method, route, status = status.as_u16(), duration_ms = started.elapsed().as_millis(), "request");
    response
}
