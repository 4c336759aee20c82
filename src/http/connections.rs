//! Connections as a resource: how many there may be, how many of one client, and how long one may stand still.

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

/// In what time a client must take so much of what it asked for, if there is more.
const STALL_LIMIT: Duration = Duration::from_secs(10);
const STALL_BYTES: usize = 16 << 10;

/// What is said to a client that has too many connections already, if it can be said without waiting.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    Content-Type: application/problem+json\r\nContent-Length: 163\r\nRetry-After: 1\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Too Many Requests\",\"status\":429,\"code\":\"share_used_up\",\
    \"detail\":\"There are as many connections from your address as one may have.\"}\n";

/// Lets connections in, and keeps an eye on them.
#[derive(Debug, Clone)]
pub struct Gate {
    connections: Arc<Shares<Network>>,
    /// Proxies, which have connections on behalf of many clients.
    proxies: Arc<[IpNet]>,
}

impl Gate {
    /// Lets in at most so many at once.
    #[must_use]
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
                // Whoever has it to spare may read it; nobody waits for it.
                let _unsent = stream.try_write(TOO_MANY);
                io::Error::new(ErrorKind::ConnectionRefused, refused)
            })?;
            // Else the kernel keeps the next piece of an answer back until the client has confirmed the last one, which
            // clients put off for up to 40 ms.
            stream.set_nodelay(true)?;
            Ok(share)
        });
        ready(admitted.map(|share| (Connection { stream, stalled: None, _share: share }, service)))
    }
}

/// A client's connection. It breaks when the client takes next to nothing for too long.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Since the client takes less than there is: the end of the patience with it, and what it has taken.
    stalled: Option<(Pin<Box<Sleep>>, usize)>,
    _share: Share<Network>,
}

impl Connection {
    /// What came of writing so many bytes, unless it has come to next to nothing for too long.
    fn patiently(
        &mut self,
        context: &mut Context<'_>,
        bytes: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&written, &mut self.stalled) {
            // All of it, or enough to go on hoping.
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
        self.patiently(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.patiently(context, pieces.iter().map(|piece| piece.len()).sum(), written)
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
    fn what_a_client_with_too_many_connections_is_told_is_as_long_as_it_says() {
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
