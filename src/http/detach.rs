//! Lets no request end in the middle.
//!
//! When a client hangs up or a limit is reached, axum drops the handler's future, and with it the driver's: that costs
//! the driver a connection each time and leaves a change in the middle. So a future that is dropped before its end goes on in a
//! task of its own, whoever waits for it. (A task for every request from the beginning would be simpler, and would cost
//! each one the wake-up of another thread.)

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use metrics::Gauge;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{Instrument, Span, warn};

use super::problem::{Problem, kinds};
use super::state::HttpState;

/// The routes that ask nothing of MongoDB and are served also when nothing else can be: an orchestrator that hears
/// nothing from `/health/live` restarts the server.
const ALWAYS_SERVED: [&str; 3] = ["/", "/health/live", "/metrics"];

/// Answers a request within so long as a client waits; its work goes on to its end in any case. A panic ends that work alone;
/// the hook in [`crate::telemetry`] has logged it.
pub(super) async fn run(state: HttpState, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let permit = if route.is_some_and(|route| ALWAYS_SERVED.contains(&route)) {
        None
    } else {
        match state.permits.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_none_left) => return Problem::new(kinds::SERVER_BUSY).into_response(),
        }
    };
    let counted = Running::count(state.running.clone(), permit);
    // A server that stops waits for it, wherever it goes on.
    let tracked = state.requests.token();
    let work = async move {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        drop((counted, tracked));
        // Whatever the panic left behind was the request's own.
        response.unwrap_or_else(|_panic| Problem::new(kinds::INTERNAL_ERROR).into_response())
    };
    let limit = state.limits.timeout;
    let work = Unstoppable { work: Some(work.boxed()), state };
    timeout(limit, work).await.unwrap_or_else(|_elapsed| {
        warn!("the request took too long; it goes on without its client");
        Problem::new(kinds::REQUEST_TIMEOUT).into_response()
    })
}

/// The work of a request, which goes on elsewhere when it is dropped before its end.
struct Unstoppable {
    work: Option<BoxFuture<'static, Response>>,
    state: HttpState,
}

impl Future for Unstoppable {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        // Taken out meanwhile: what panics in spite of all must not go on.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl Drop for Unstoppable {
    fn drop(&mut self) {
        // Without a runtime the server is gone already, and with it all that the work needs.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.state.requests.spawn_on(work.instrument(Span::current()), &runtime);
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
