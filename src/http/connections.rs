//! Limits connections: how many in all, how many per client, and how long one may stall.

use std::future::{Ready, ready};
use std::io::{self, ErrorKind, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::domain::Network;
use crate::shares::{Refused, Share, Shares};

/// A client must take at least [`STALL_BYTES`] of a pending answer within this time.
const STALL_LIMIT: Duration = Duration::from_secs(10);
const STALL_BYTES: usize = 16 << 10;

/// The answer to a client with too many connections, sent only if that needs no waiting.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 163\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":429,\"code\":\"share_used_up\",\
    \"detail\":\"There are as many connections from your address as one may have.\"}\n";

/// Admits connections and cuts stalled ones.
#[derive(Debug, Clone)]
pub struct Gate {
    connections: Arc<Shares<Network>>,
    /// Proxies, whose connections stand for many clients.
    proxies: Arc<[IpNet]>,
}

impl Gate {
    /// Admits at most `max_connections` at once.
    pub fn new(max_connections: usize, proxies: Arc<[IpNet]>) -> Self {
        Self { connections: Shares::new("http_connections", max_connections), proxies }
    }

    fn admit(&self, address: IpAddr) -> Result<Share<Network>, Refused> {
        let site = Network::of(address).site();
        let address = address.to_canonical();
        if self.proxies.iter().any(|proxy| proxy.contains(&address)) {
            self.connections.try_take_for_many(site, 1)
        } else {
            self.connections.try_take(site, 1)
        }
    }
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = stream.peer_addr().and_then(|peer| {
            let share = self.admit(peer.ip()).map_err(|refused| {
                // Best effort: never waits for the client.
                let _unsent = stream.try_write(TOO_MANY);
                io::Error::new(ErrorKind::ConnectionRefused, refused)
            })?;
            // Otherwise the kernel holds back the next piece of an answer until the client acknowledges the last one, which
            // clients delay by up to 40 ms.
            stream.set_nodelay(true)?;
            Ok(share)
        });
        ready(admitted.map(|share| (Connection { stream, stalled: None, _share: share }, service)))
    }
}

/// A client's connection. It fails when the client stalls for too long.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// While the client takes less than is offered: the time left, and what it has taken.
    stalled: Option<(Pin<Box<Sleep>>, usize)>,
    _share: Share<Network>,
}

impl Connection {
    /// Passes on the result of writing `bytes`, or fails if the client has stalled for too long.
    fn unless_stalled(
        &mut self,
        context: &mut Context<'_>,
        bytes: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&written, &mut self.stalled) {
            // Some of it, but too little to reset the timer.
            (Poll::Ready(Ok(taken)), Some((_, before))) if *taken < bytes && *before + taken < STALL_BYTES => {
                *before += taken;
                written
            }
            (Poll::Ready(_), _) => {
                self.stalled = None;
                written
            }
            (Poll::Pending, stalled) => {
                let (patience, _) = stalled.get_or_insert_with(|| (Box::pin(sleep(STALL_LIMIT)), 0));
                patience.as_mut().poll(context).map(|()| Err(ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_stalled(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.unless_stalled(context, pieces.iter().map(|piece| piece.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_too_many_connections_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }

    #[test]
    fn one_client_leaves_room_for_others_and_a_proxy_stands_for_many() {
        let gate = Gate::new(8, ["192.0.2.0/24".parse().expect("a network")].into());
        let admit_all = |address: &str| -> Vec<_> {
            let address = address.parse().expect("an address");
            std::iter::from_fn(|| gate.admit(address).ok()).collect()
        };
        let own = admit_all("198.51.100.1");
        assert_eq!(own.len(), 4);
        assert_eq!(admit_all("::ffff:192.0.2.9").len(), 4, "all that are left");
    }
}
