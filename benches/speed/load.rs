//! HTTP/1.1 clients that use next to no CPU: on a small machine they take it from the servers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

use crate::stats::Measured;

/// A kept-open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it has `Retry-After`.
    pub(crate) says_when: bool,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, received: Vec::with_capacity(16 << 10) }
    }

    /// Sends a request and waits for its whole answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("sent");
        self.received.clear();
        loop {
            let read = self.stream.read_buf(&mut self.received).await.expect("an answer");
            assert!(read > 0, "the connection was closed: {}", String::from_utf8_lossy(&self.received));
            if let Some((status, body_at, length)) = head(&self.received)
                && self.received.len() >= body_at + length
            {
                let says_when = memchr::memmem::find(&self.received[..body_at], b"\r\nretry-after:").is_some();
                return Answer { status, says_when, body: self.received[body_at..body_at + length].to_vec() };
            }
        }
    }

    /// Sends a request that must succeed, and returns the body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let Answer { status, body, .. } = self.send(request).await;
        assert!(
            (200..300).contains(&status),
            "{} was answered {status}: {}",
            String::from_utf8_lossy(request),
            String::from_utf8_lossy(&body)
        );
        body
    }
}

/// The status, the start of the body and its length; `None` while the head is incomplete.
fn head(received: &[u8]) -> Option<(u16, usize, usize)> {
    let end = memchr::memmem::find(received, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).expect("ASCII");
    let status = head.get(9..12)?.parse().expect("a status");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    assert!(length.is_some() || status == 204, "the answer does not say how long it is");
    Some((status, end + 4, length.unwrap_or_default()))
}

/// A request without a body.
pub(crate) fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    request("GET", path, token, None)
}

/// A request, with or without a JSON body.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, json: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    if let Some(token) = token {
        text.extend(["authorization: Bearer ", token, "\r\n"]);
    }
    match json {
        Some(json) => {
            let length = json.len().to_string();
            text.extend(["content-type: application/json\r\ncontent-length: ", &length, "\r\n\r\n", json]);
        }
        None => text += "\r\n",
    }
    text.into_bytes()
}

/// Measures both. The second meets the machine as the first left it, so they swap places every other round.
pub(crate) async fn in_turns<T>(round: usize, one: impl AsyncFnOnce() -> T, other: impl AsyncFnOnce() -> T) -> (T, T) {
    if round.is_multiple_of(2) {
        let one = one().await;
        (one, other().await)
    } else {
        let other = other().await;
        (one().await, other)
    }
}

/// Clients that each send their next request as soon as the last is answered. `make` builds the n-th request. Answers count
/// during `time`, after a warm-up of a quarter of it.
pub(crate) async fn without_pause(
    address: SocketAddr,
    clients: usize,
    time: Duration,
    make: impl Fn(u64) -> Vec<u8>,
) -> Measured {
    let counted_from = Instant::now() + time / 4;
    let end = counted_from + time;
    let answered = send_while(address, clients, make, |_, now| now < end).await;
    let counted = answered.into_iter().filter(|(_, answered)| (counted_from..end).contains(answered));
    Measured::of(counted.map(|(sent, answered)| answered - sent).collect(), time)
}

/// The same for a total number of requests.
pub(crate) async fn so_often(
    address: SocketAddr,
    clients: usize,
    times: u64,
    make: impl Fn(u64) -> Vec<u8>,
) -> Measured {
    let began = Instant::now();
    let answered = send_while(address, clients, make, |number, _| number < times).await;
    let time = began.elapsed();
    Measured::of(answered.into_iter().map(|(sent, answered)| answered - sent).collect(), time)
}

/// Sends requests while the number and the time allow it. Returns when each was sent and answered.
async fn send_while(
    address: SocketAddr,
    clients: usize,
    make: impl Fn(u64) -> Vec<u8>,
    goes_on: impl Fn(u64, Instant) -> bool,
) -> Vec<(Instant, Instant)> {
    let (next, answered) = (Cell::new(0_u64), RefCell::new(Vec::new()));
    let client = async || {
        let mut connection = Connection::open(address).await;
        loop {
            let number = next.replace(next.get() + 1);
            let request = make(number);
            let sent = Instant::now();
            if !goes_on(number, sent) {
                return;
            }
            connection.ask(&request).await;
            answered.borrow_mut().push((sent, Instant::now()));
        }
    };
    join_all((0..clients).map(|_| client())).await;
    answered.into_inner()
}

/// Requests at a fixed rate. A request that was due while all connections were busy is timed from then, so that a server
/// cannot hide a stall by receiving fewer requests.
pub(crate) async fn paced(
    address: SocketAddr,
    per_second: f64,
    time: Duration,
    make: impl Fn(u64) -> Vec<u8>,
) -> Measured {
    /// More than are ever busy, unless the server cannot keep up.
    const CONNECTIONS: usize = 64;
    let every = Duration::from_secs_f64(1.0 / per_second);
    let (next, latencies) = (Cell::new(0_u32), RefCell::new(Vec::new()));
    let began = Instant::now();
    let client = async || {
        let mut connection = Connection::open(address).await;
        loop {
            let number = next.replace(next.get() + 1);
            let due = began + every * number;
            if due >= began + time {
                return;
            }
            let request = make(number.into());
            // A late timer of the client is not the server's fault.
            let from = if due > Instant::now() {
                sleep_until(due.into()).await;
                Instant::now()
            } else {
                due
            };
            connection.ask(&request).await;
            latencies.borrow_mut().push(from.elapsed());
        }
    };
    join_all((0..CONNECTIONS).map(|_| client())).await;
    Measured::of(latencies.into_inner(), time)
}
