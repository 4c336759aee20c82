//! Completes every answer, whether a handler, the framework, a limit or a panic made it. A single layer does it all,
//! because each layer of a router costs every request a few allocations.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::observe::RequestId;
use super::old_names::OldNameNote;
use super::problem::Problem;
use super::state::HttpState;
use super::{detach, headers, old_names};

/// Runs a request and completes its answer.
pub(super) async fn complete(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let (note, uri) = (OldNameNote::default(), request.uri().clone());
    request.extensions_mut().insert(note.clone());
    let mut response = match headers::check_host(&request) {
        Ok(()) => detach::run(state, request, next).await,
        Err(problem) => problem.into_response(),
    };
    render_problem(&mut response, id.as_ref().map_or("", |id| &id.0));
    old_names::tell(&mut response, &note, &uri);
    headers::harden(&mut response, &uri);
    response
}

/// Turns an error into an RFC 9457 problem.
fn render_problem(response: &mut Response, id: &str) {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return;
    }
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| Problem::of_status(status));
    let mut rendered = problem.render(id);
    // A 405 must have it (RFC 9110, section 15.5.6), and only the framework knows the methods.
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    *response = rendered;
}
