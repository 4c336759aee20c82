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
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{Instrument, Span, info};

use super::client::Client;
use super::problem::{Problem, kinds};
use super::sending::hold_until_sent;
use super::state::HttpState;
use crate::shares::PATIENCE;

/// The routes that are served also when nothing else can be, because they cost next to nothing: an orchestrator that hears
/// nothing from `/health/live` restarts the server.
pub(super) const ALWAYS_SERVED: [&str; 4] = ["/", "/health/live", "/health/ready", "/metrics"];

/// Answers a request within so long as a client waits; its work goes on to its end in any case. A panic ends that work alone;
/// the hook in [`crate::telemetry`] has logged it.
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
    // A server that stops waits for it, wherever it goes on.
    let tracked = state.tasks.token();
    let work = async move {
        let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        drop(tracked);
        // Whatever the panic left behind was the request's own.
        let response = response.unwrap_or_else(|_panic| Problem::new(kinds::INTERNAL_ERROR).into_response());
        hold_until_sent(response, share)
    };
    let limit = state.limits.timeout;
    let work = Unstoppable { work: Some(work.boxed()), state, client };
    timeout(limit, work).await.unwrap_or_else(|_elapsed| {
        info!("the request took too long; it goes on without its client");
        Problem::new(kinds::REQUEST_TIMEOUT).into_response()
    })
}

/// The work of a request, which goes on elsewhere when it is dropped before its end.
struct Unstoppable {
    work: Option<BoxFuture<'static, Response>>,
    state: HttpState,
    client: Client,
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
            self.client.leave();
            self.state.tasks.spawn_on(work.instrument(Span::current()), &runtime);
        }
    }
}
