//! Runs every request in a task of its own.
//!
//! When a client hangs up or a limit is reached, axum drops the handler's future, and with it the driver's: that costs
//! the driver a connection each time and leaves a change in the middle. A task goes on to its end whoever waits for
//! it; only its handle is dropped.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{Gauge, gauge};
use tokio::time::timeout;
use tracing::{Instrument, Span, warn};

use super::problem::{Problem, kinds};
use super::state::HttpState;

/// Runs a request in a task of its own, for at most so long as a client waits. A panic ends that task alone; the hook
/// in [`crate::telemetry`] has logged it.
pub(super) async fn detach(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let running = gauge!("http_requests_running");
    running.increment(1);
    let work = async move {
        let _counted = Counted(running);
        next.run(request).await
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

/// Counts a request as running until it is dropped, also by a panic.
struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
