//! Sends an answer piece by piece. Until the last piece is taken, what the answer holds is held: the right to be at work, and the
//! bytes. Between two pieces other requests get their turn, because packing a large piece takes the thread for long.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::bytes::UntilSent;
use crate::domain::Network;
use crate::shares::Share;

/// The largest piece: gzip takes about a millisecond for so many bytes.
const PIECE_BYTES: usize = 32 << 10;

/// What an answer holds until it is sent; dropped with the body.
struct Held {
    _request: Option<Share<Network>>,
    _bytes: Option<UntilSent>,
}

/// An answer's body that is on its way.
struct Sending {
    body: Body,
    /// What is left of a large piece.
    rest: Bytes,
    /// Whether others get their turn first.
    is_others_turn: bool,
    held: Option<Held>,
}

/// Makes an answer hold the right to be at work until it is sent. Small answers are not worth it: they are on their way at once.
pub(super) fn hold_until_sent(mut response: Response, request: Option<Share<Network>>) -> Response {
    let bytes = response.extensions_mut().remove::<UntilSent>();
    let length = response.body().size_hint().upper();
    if bytes.is_none() && length.is_some_and(|length| length <= PIECE_BYTES as u64) {
        return response;
    }
    // A stream, which nobody knows the length of, has a share of its own, and may go on for long.
    let request = request.filter(|_| length.is_some());
    let held = Some(Held { _request: request, _bytes: bytes });
    response.map(|body| Body::new(Sending { body, rest: Bytes::new(), is_others_turn: false, held }))
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if std::mem::take(&mut self.is_others_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                last => {
                    self.held = None;
                    return Poll::Ready(last);
                }
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        self.is_others_turn = length == PIECE_BYTES;
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
