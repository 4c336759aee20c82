//! Runs every request in a task of its own.
//!
//! When a client hangs up or a limit is reached, axum drops the handler's future, and with it the driver's: that costs
//! the driver a connection each time and leaves a change in the middle. A task goes on to its end whoever waits for
//! it; only its handle is dropped.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{Gauge, gauge};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{Instrument, Span, warn};

use super::problem::{Problem, kinds};
use super::state::HttpState;

/// The routes that ask nothing of MongoDB and are served also when nothing else can be: an orchestrator that hears
/// nothing from `/health/live` restarts the server.
const ALWAYS_SERVED: [&str; 3] = ["/", "/health/live", "/metrics"];

/// Runs a request in a task of its own, for at most so long as a client waits. A panic ends that task alone; the hook
/// in [`crate::telemetry`] has logged it.
pub(super) async fn detach(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let permit = if route.is_some_and(|route| ALWAYS_SERVED.contains(&route)) {
        None
    } else {
        match state.permits.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_none_left) => return Problem::new(kinds::SERVER_BUSY).into_response(),
        }
    };
    let counted = Running::count(gauge!("http_requests_running"), permit);
    let work = async move {
        let response = next.run(request).await;
        drop(counted);
        response
    };
    let task = state.requests.spawn(work.instrument(Span::current()));
    match timeout(state.limits.timeout, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panicked)) => Problem::new(kinds::INTERNAL_ERROR).into_response(),
        Err(_elapsed) => {
            warn!("the request took too long; it goes on without its client");
            Problem::new(kinds::REQUEST_TIMEOUT).into_response()
        }
    }
}

/// Counts something as running, with its permit, until it is dropped, also by a panic.
pub(super) struct Running {
    count: Gauge,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Running {
    pub(super) fn count(count: Gauge, permit: Option<OwnedSemaphorePermit>) -> Self {
        count.increment(1);
        Self { count, _permit: permit }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.count.decrement(1);
    }
}
