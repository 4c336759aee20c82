//! Answers that go on after their handler has returned: lines of JSON (`application/x-ndjson`), for as long as it takes.
//!
//! A stream runs in a task of its own, holds one of `MAX_RUNNING_STREAMS` permits, gives up on a client that does not take
//! what it asked for, and ends with a word when the server stops.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, unfold};
use metrics::gauge;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::detach::Running;
use super::problem::{Failure, Problem, kinds};
use super::state::HttpState;
use crate::domain::OrgId;

/// The content type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// `Cache-Control` of an answer whose lines must come when they are sent (RFC 9111, section 5.2.2.6).
pub(super) const AS_IT_COMES: HeaderValue = HeaderValue::from_static("no-store, no-transform");

/// How many pieces may wait for the client: one is sent while the next is made.
const WAITING_PIECES: usize = 2;

/// The streams that run, by their organizations.
#[derive(Debug)]
pub struct Streams {
    max: usize,
    running: Mutex<HashMap<OrgId, usize>>,
}

/// The right to run a stream, until it is dropped.
pub(super) struct StreamPermit {
    streams: Arc<Streams>,
    org_id: OrgId,
}

impl Streams {
    /// At most so many at once; one organization may have half of them, so that it cannot keep the others out.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, running: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OrgId, usize>> {
        // Nothing that is done while it is locked can leave half a map.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut running = self.streams.lock();
        match running.get_mut(&self.org_id) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(running.remove(&self.org_id)),
        }
    }
}

/// Where a stream puts its lines.
#[derive(Debug)]
pub(super) struct LineSender {
    pieces: mpsc::Sender<Bytes>,
    /// How long the client may take none.
    patience: Duration,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

/// The client is gone, or takes nothing.
#[derive(Debug)]
pub(super) struct ClientGone;

impl HttpState {
    /// The right to run one more stream of this organization.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(super) fn stream_permit(&self, org_id: OrgId) -> Result<StreamPermit, Problem> {
        let mut running = self.streams.lock();
        let (all, own) = (running.values().sum::<usize>(), running.get(&org_id).copied().unwrap_or_default());
        if all >= self.streams.max || own >= self.streams.max.div_ceil(2) {
            return Err(Problem::new(kinds::SERVER_BUSY));
        }
        running.insert(org_id, own + 1);
        drop(running);
        Ok(StreamPermit { streams: self.streams.clone(), org_id })
    }

    /// Answers with whatever `work` sends.
    pub(super) fn stream<F: Future<Output = ()> + Send + 'static>(
        &self,
        permit: StreamPermit,
        work: impl FnOnce(LineSender) -> F,
    ) -> Response {
        let (pieces, received) = mpsc::channel(WAITING_PIECES);
        let lines = LineSender { pieces, patience: self.limits.timeout, stop: self.stop.clone() };
        let running = Running::count(gauge!("http_streams_running"), None);
        let work = work(lines);
        let counted = async move {
            work.await;
            drop((running, permit));
        };
        self.requests.spawn(counted.instrument(Span::current()));
        let pieces = unfold(received, |mut received| async {
            let piece = received.recv().await?;
            Some((Ok::<_, Infallible>(piece), received))
        });
        // The server may ask once more after the end.
        let pieces = pieces.fuse();
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(NDJSON)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (headers, Body::from_stream(pieces)).into_response()
    }
}

impl LineSender {
    /// Sends whole lines, when the client has taken those before.
    ///
    /// # Errors
    /// It has not, for too long.
    pub(super) async fn send(&self, lines: Vec<u8>) -> Result<(), ClientGone> {
        let sent = timeout(self.patience, self.pieces.send(lines.into())).await;
        sent.map_err(|_elapsed| ClientGone)?.map_err(|_closed| ClientGone)
    }

    /// Sends a line, if the client takes it at once; it is a courtesy that nobody waits for.
    pub(super) fn offer(&self, line: &impl Serialize) {
        // Full or closed: both mean that nobody looks.
        let _unread = self.pieces.try_send(text(line).into());
    }

    /// Sends the line that ends a stream.
    pub(super) async fn end(&self, line: &impl Serialize) {
        // A client that is gone needs no end.
        let _gone = self.send(text(line)).await;
    }
}

/// The line that ends a stream which could not be finished.
#[derive(Debug, Serialize)]
pub(super) struct CutLine {
    /// Why.
    pub(super) error: Failure,
}

/// A value as one line.
fn text(value: &impl Serialize) -> Vec<u8> {
    // The values are structs of our own with names for keys, which JSON can always hold.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
