//! Runs every request to its end.
//!
//! When a client hangs up or a limit is reached, axum drops the handler's future and with it the driver's. That costs
//! the driver a connection each time and leaves a change half done. So a future dropped early continues in its own
//! task, even if nobody waits for it. (One task per request from the start would be simpler, but would cost each the
//! wake-up of another thread.)

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{Instrument, Span, info};

use super::client::Client;
use super::problem::{Problem, kinds};
use super::sending::hold_until_sent;
use super::state::HttpState;
use crate::shares::PATIENCE;

/// The routes that are served even under overload, because they cost next to nothing: an orchestrator that gets no
/// answer from `/health/live` restarts the server.
pub(super) const ALWAYS_SERVED: [&str; 4] = ["/", "/health/live", "/health/ready", "/metrics"];

/// Answers a request within the time-out; its work runs to its end anyway. A panic ends only that work, and the hook in
/// [`crate::telemetry`] has logged it.
pub(super) async fn run(state: HttpState, mut request: Request, next: Next) -> Response {
    let client = Client::of(&request, &state);
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let share = if route.is_some_and(|route| ALWAYS_SERVED.contains(&route)) {
        None
    } else {
        match state.requests.take(client.site(), 1, PATIENCE).await {
            Ok(share) => Some(share),
            Err(refused) => return Problem::from(refused).into_response(),
        }
    };
    request.extensions_mut().insert(client.clone());
    // A stopping server waits for it, whichever task it runs in.
    let tracked = state.tasks.token();
    let work = async move {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        drop(tracked);
        // Whatever state the panic left behind belonged to this request alone.
        let response = response.unwrap_or_else(|_panic| Problem::new(kinds::INTERNAL_ERROR).into_response());
        hold_until_sent(response, share)
    };
    let limit = state.limits.timeout;
    let work = Unstoppable { work: Some(work.boxed()), state, client };
    timeout(limit, work).await.unwrap_or_else(|_elapsed| {
        info!("the request took too long; it continues without its client");
        Problem::new(kinds::REQUEST_TIMEOUT).into_response()
    })
}

/// The work of a request. Dropped before its end, it continues in its own task.
struct Unstoppable {
    work: Option<BoxFuture<'static, Response>>,
    state: HttpState,
    client: Client,
}

impl Future for Unstoppable {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        // Taken out while it is polled: work that panics anyway must not continue.
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
        // Without a runtime the server is gone, and with it everything that the work needs.
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.client.leave();
            self.state.tasks.spawn_on(work.instrument(Span::current()), &runtime);
        }
    }
}
