//! HTTP/1.1 on a plain socket, for clients that are slow, rude or at another address, and need to know how they were refused.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

/// How much of an answer is kept: enough for every problem.
const KEPT_BYTES: usize = 64 << 10;

/// A connection from a chosen address.
pub(crate) struct Wire {
    stream: TcpStream,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A complete answer.
    Answered { status: u16, code: Option<String>, is_last: bool },
    /// The connection ended before the answer did.
    Cut,
    /// No connection.
    Unreachable,
    /// No answer in time.
    Silent,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, code: Some(code), .. } => write!(f, "{status} {code}"),
            Self::Answered { status, .. } => write!(f, "{status}"),
            Self::Cut => f.write_str("cut"),
            Self::Unreachable => f.write_str("no connection"),
            Self::Silent => f.write_str("no answer"),
        }
    }
}

impl Outcome {
    /// Whether the connection can be reused.
    pub(crate) fn leaves_open(&self) -> bool {
        matches!(self, Self::Answered { is_last: false, .. })
    }

    pub(crate) fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Answered { status, .. } if *status == wanted)
    }
}

impl Wire {
    /// Connects from one of this machine's addresses.
    pub(crate) async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        Self::connect(TcpSocket::new_v4()?, from, to).await
    }

    /// The same with so small a receive buffer that the server soon cannot send.
    pub(crate) async fn open_narrow(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4 << 10)?;
        Self::connect(socket, from, to).await
    }

    async fn connect(socket: TcpSocket, from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        socket.bind((from, 0).into())?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads up to `most` bytes; none at the end.
    pub(crate) async fn take(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let read = self.stream.read(&mut bytes).await?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads an answer's head, without waiting for the body.
    pub(crate) async fn beginning(&mut self) -> Outcome {
        let received = self.take(2 << 10).await.unwrap_or_default();
        Head::read(&received).map_or(Outcome::Cut, |head| head.outcome(&received))
    }

    /// Sends a request and reads its answer. If that may have no length, the request must say `Connection: close`.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Outcome {
        // The server may refuse before everything is sent.
        let _sent = self.send(request).await;
        answer(&mut self.stream).await
    }

    /// Sends the beginning of a request, and then pieces of its body at intervals, until there is an answer.
    pub(crate) async fn ask_slowly(&mut self, head: &[u8], piece: &[u8], every: Duration) -> Outcome {
        let (mut arriving, mut leaving) = self.stream.split();
        tokio::select! {
            outcome = answer(&mut arriving) => outcome,
            never = drip(&mut leaving, head, piece, every) => never,
        }
    }

    /// Sends several requests at once, and waits until as many answers have begun. Returns how many did.
    pub(crate) async fn ask_at_once(&mut self, requests: &[u8], answers: usize) -> usize {
        let _sent = self.send(requests).await;
        let (mut received, mut begun) = (Vec::new(), 0);
        while begun < answers && self.stream.read_buf(&mut received).await.is_ok_and(|read| read > 0) {
            begun = memchr::memmem::find_iter(&received, b"HTTP/1.1 ").count();
        }
        begun
    }
}

/// Reads an answer to its end: as long as its head says, or until the connection ends.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Outcome {
    let (mut kept, mut length) = (Vec::new(), 0);
    let mut piece = vec![0; 64 << 10];
    loop {
        let head = Head::read(&kept);
        if let Some(head) = &head
            && head.ends_at.is_some_and(|end| length >= end)
        {
            return head.outcome(&kept);
        }
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => {
                let room = KEPT_BYTES.saturating_sub(kept.len());
                kept.extend_from_slice(&piece[..read.min(room)]);
                length += read;
            }
            _ => return head.filter(|head| head.ends_at.is_none()).map_or(Outcome::Cut, |head| head.outcome(&kept)),
        }
    }
}

/// Never ends; the answer ends the wait.
async fn drip(stream: &mut (impl AsyncWrite + Unpin), head: &[u8], piece: &[u8], every: Duration) -> Outcome {
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        sleep(every).await;
        sent = stream.write_all(piece).await;
    }
    std::future::pending().await
}

/// An answer's head.
struct Head {
    status: u16,
    body_at: usize,
    /// The length of head and body together, if the head has a length.
    ends_at: Option<usize>,
    is_last: bool,
}

impl Head {
    /// `None` while it is incomplete.
    fn read(received: &[u8]) -> Option<Self> {
        let body_at = memchr::memmem::find(received, b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&received[..body_at]).to_ascii_lowercase();
        let status = text.get(9..12)?.parse().ok()?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let length = value("content-length").and_then(|length| length.parse::<usize>().ok());
        let length = length.or((status == 204).then_some(0));
        let is_last = value("connection").is_some_and(|connection| connection == "close");
        Some(Self { status, body_at, ends_at: length.map(|length| body_at + length), is_last })
    }

    fn outcome(&self, received: &[u8]) -> Outcome {
        // The last line of a stream that was cut says why. The chunks' frames are no JSON objects.
        let lines = received[self.body_at..].rsplit(|byte| *byte == b'\n');
        let last = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).find(Value::is_object);
        let last = last.unwrap_or_default();
        let code = if self.status >= 400 { &last["code"] } else { &last["error"]["code"] };
        let code = code.as_str().map(str::to_owned);
        Outcome::Answered { status: self.status, code, is_last: self.is_last || self.ends_at.is_none() }
    }
}
