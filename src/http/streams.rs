//! Answers that continue after their handler has returned: lines of JSON (`application/x-ndjson`).
//!
//! A stream runs in its own task, holds a share of `MAX_RUNNING_STREAMS`, gives up on a client that is too slow, and
//! ends with an error line when the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, unfold};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::bytes::HeldBytes;
use super::problem::{Failure, Problem};
use super::state::{HttpState, RequestLimits};
use crate::domain::OrgId;
use crate::shares::{PATIENCE, Share};

/// The content type of JSON lines.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// `Cache-Control` of an answer that proxies must not buffer or transform (RFC 9111, section 5.2.2.6).
pub(super) const AS_IT_COMES: HeaderValue = HeaderValue::from_static("no-store, no-transform");

/// How many pieces may wait for the client: one is sent while the next is prepared.
const WAITING_PIECES: usize = 2;

/// Sends the lines of a stream.
#[derive(Debug)]
pub(super) struct LineSender {
    pieces: mpsc::Sender<Bytes>,
    /// How fast the client must receive.
    pace: Pace,
    /// Whether everything was sent, or the client was told why not.
    is_whole: Arc<AtomicBool>,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

/// The client is gone.
#[derive(Debug)]
pub(super) struct ClientGone;

/// Why something was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The client is gone.
    ClientGone,
    /// It receives too slowly, or the stream's time is over.
    TooSlow,
}

/// A stream was cut short and the client could not be told: breaks the connection, so that it notices.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut")]
struct Cut;

/// How fast a stream must progress, and when it must end: no client may hold one forever.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// How long the client may send or receive nothing.
    pause: Duration,
    bytes_a_second: u64,
    ends: Instant,
    /// How long the server waited for the client; `moved` is for how many bytes.
    waited: Duration,
    moved: u64,
}

/// A client is too slow, or the stream's time is over.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Pace {
    /// Starts the pace of a stream.
    pub(super) fn begin(limits: &RequestLimits) -> Self {
        let RequestLimits { timeout, min_stream_rate, max_stream_time, .. } = limits;
        let ends = Instant::now() + *max_stream_time;
        Self { pause: *timeout, bytes_a_second: *min_stream_rate, ends, waited: Duration::ZERO, moved: 0 }
    }

    /// Waits for the client to send or receive something.
    pub(super) async fn wait_for<T>(
        &mut self,
        client: impl Future<Output = T>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, TooSlow> {
        let began = Instant::now();
        if began >= self.ends {
            return Err(TooSlow);
        }
        let until = self.ends.min(began + self.pause);
        let moved = timeout_at(until, client).await.map_err(|_elapsed| TooSlow)?;
        self.waited += began.elapsed();
        self.moved += u64::try_from(bytes(&moved)).unwrap_or(u64::MAX);
        // The average means nothing in the first seconds.
        let due = self.waited.saturating_sub(self.pause).as_secs().saturating_mul(self.bytes_a_second);
        if self.moved < due { Err(TooSlow) } else { Ok(moved) }
    }
}

impl HttpState {
    /// The right to run one more stream for this organization.
    pub(super) async fn stream_share(&self, org_id: OrgId) -> Result<Share<OrgId>, Problem> {
        Ok(self.streams.take(org_id, 1, PATIENCE).await?)
    }

    /// Answers with whatever `work` sends. The stream's shares are held until `work` ends.
    pub(super) fn stream<F: Future<Output = ()> + Send + 'static>(
        &self,
        held: (Share<OrgId>, HeldBytes<OrgId>),
        work: impl FnOnce(LineSender) -> F,
    ) -> Response {
        let (pieces, received) = mpsc::channel(WAITING_PIECES);
        let (pace, is_whole) = (Pace::begin(&self.limits), Arc::new(AtomicBool::new(false)));
        let work = work(LineSender { pieces, pace, is_whole: is_whole.clone(), stop: self.stop.clone() });
        let counted = async move {
            work.await;
            drop(held);
        };
        self.tasks.spawn(counted.instrument(Span::current()));
        let pieces = unfold(Some((received, is_whole)), |going_on| async {
            let (mut received, is_whole) = going_on?;
            match received.recv().await {
                Some(piece) => Some((Ok(piece), Some((received, is_whole)))),
                None if is_whole.load(Ordering::Acquire) => None,
                None => Some((Err(Cut), None)),
            }
        });
        // The server may poll once more after the end.
        let pieces = pieces.fuse();
        ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(pieces)).into_response()
    }
}

impl LineSender {
    /// Sends whole lines, once the client has taken the previous ones.
    pub(super) async fn send(&mut self, lines: Vec<u8>) -> Result<(), Unsent> {
        let bytes = lines.len();
        let sent = self.pace.wait_for(self.pieces.send(lines.into()), |_sent| bytes).await;
        sent.map_err(|TooSlow| Unsent::TooSlow)?.map_err(|_closed| Unsent::ClientGone)
    }

    /// Records that everything was sent. A stream that ends without this breaks its connection.
    pub(super) fn finish(self) {
        self.is_whole.store(true, Ordering::Release);
    }

    /// A handle that tells whether the client still listens, usable while something is sent to it.
    pub(super) fn listener(&self) -> Listener {
        Listener(self.pieces.clone())
    }

    /// Sends a line if the client takes it at once; otherwise drops it.
    pub(super) fn offer(&self, line: &impl Serialize) {
        // Full or closed: either way nobody is reading.
        let _unread = self.pieces.try_send(text(line).into());
    }

    /// Sends the line that ends a stream.
    pub(super) async fn end(self, line: &impl Serialize) {
        // A client whose time is over still hears so, if it is receiving.
        if let Ok(Ok(())) = timeout(self.pace.pause, self.pieces.send(text(line).into())).await {
            self.finish();
        }
    }
}

/// Tells whether the client of a stream still listens.
pub(super) struct Listener(mpsc::Sender<Bytes>);

impl Listener {
    /// Runs work that only the client needs. When a query is dropped, MongoDB ends it too, because the driver closes
    /// its connection.
    pub(super) async fn while_it_listens<T>(&self, work: impl Future<Output = T>) -> Result<T, ClientGone> {
        tokio::select! {
            biased;
            () = self.0.closed() => Err(ClientGone),
            done = work => Ok(done),
        }
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
    // Serializing cannot fail: the values are our own structs, whose keys are field names.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(lasts: Duration) -> Pace {
        let pause = Duration::from_secs(10);
        let ends = Instant::now() + lasts;
        Pace { pause, bytes_a_second: 100, ends, waited: Duration::ZERO, moved: 0 }
    }

    #[tokio::test]
    async fn a_stream_whose_time_is_over_ends_though_its_client_is_ready() {
        assert!(pace(Duration::from_mins(1)).wait_for(async {}, |()| 1).await.is_ok());
        assert!(pace(Duration::ZERO).wait_for(async {}, |()| 1).await.is_err());
    }

    #[tokio::test]
    async fn whoever_was_waited_for_must_have_moved_enough() {
        let waited =
            |seconds: u64, moved| Pace { waited: Duration::from_secs(seconds), moved, ..pace(Duration::from_hours(1)) };
        for (seconds, moved, is_enough) in [(10, 0, true), (12, 199, true), (12, 150, false), (100, 8_999, true)] {
            let went_on = waited(seconds, moved).wait_for(async {}, |()| 1).await;
            assert_eq!(went_on.is_ok(), is_enough, "{seconds} s, {moved} bytes");
        }
    }
}
