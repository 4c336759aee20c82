//! Sends an answer in pieces. Its shares of requests and of bytes are held until the last piece is taken. Other requests get a
//! turn between pieces, because compressing a large answer at once would block the thread.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::bytes::UntilSent;
use crate::domain::Network;
use crate::shares::Share;

/// The largest piece, which gzip compresses in about a millisecond.
const PIECE_BYTES: usize = 32 << 10;

/// The body of an answer on its way.
struct Sending {
    body: Body,
    /// What is left of a large frame.
    rest: Bytes,
    /// Whether to yield before the next piece.
    is_others_turn: bool,
    /// The shares that the answer holds until it is sent.
    held: Option<(Option<Share<Network>>, Option<UntilSent>)>,
}

/// Makes an answer hold its shares until it is sent. Small answers are sent at once and need not.
pub(super) fn hold_until_sent(mut response: Response, request: Option<Share<Network>>) -> Response {
    let bytes = response.extensions_mut().remove::<UntilSent>();
    let length = response.body().size_hint().upper();
    if bytes.is_none() && length.is_some_and(|length| length <= PIECE_BYTES as u64) {
        return response;
    }
    // A body of unknown length is a stream, which may take long and has a share of its own.
    let request = request.filter(|_| length.is_some());
    let held = Some((request, bytes));
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
