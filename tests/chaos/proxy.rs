//! A proxy between a server and MongoDB that loses messages on order.
//!
//! It parses MongoDB's wire messages (`OP_MSG`: 16 bytes of header, flags, then a section of kind 0 with the command as BSON)
//! and passes them on. It can lose a command's request or its answer; both ends then see a broken connection.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bson::RawDocument;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The operation code of `OP_MSG` (MongoDB's wire protocol).
const OP_MSG: i32 = 2013;
/// The bytes of a message's header.
const HEADER: usize = 16;
/// The largest message that MongoDB accepts (`maxMessageSizeBytes`).
const LARGEST: usize = 48_000_000;
/// The most that MongoDB needs for a command that nothing blocks.
const CARRIED_OUT: Duration = Duration::from_millis(500);
/// Commands that the driver sends on its own.
const NOT_COUNTED: [&str; 8] =
    ["hello", "isMaster", "ismaster", "ping", "endSessions", "killCursors", "buildInfo", "abortTransaction"];

/// What happens to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It does not arrive.
    Request,
    /// It arrives and is carried out, but its answer is lost.
    Answer,
    /// It arrives after this time, when its sender has given up.
    Late(Duration),
}

/// Which commands are lost.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The name, as [`Message::command_name`] gives it.
    pub(crate) command: String,
    /// The first to be lost, counted from 1.
    pub(crate) first: u32,
    /// How many in a row: the second is the repetition of the first.
    pub(crate) times: u32,
    pub(crate) loss: Loss,
}

#[derive(Debug, Default)]
struct State {
    rule: Option<Rule>,
    seen: BTreeMap<String, u32>,
    /// How many late commands are still on their way.
    late: u32,
    /// The requests whose answers will be lost: the connection's number and the request's.
    doomed: HashSet<(u64, i32)>,
    connections: u64,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Proxy {
    /// Listens in front of the mongod on this port.
    pub(crate) async fn start(mongod: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (state, stop) = (Arc::new(Mutex::new(State::default())), CancellationToken::new());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(listener, mongod, state.clone(), stop.clone())));
        Self { port, state, stop }
    }

    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&heartbeatFrequencyMS=500", self.port)
    }

    /// Sets the rule, and counts from zero.
    pub(crate) fn lose(&self, rule: Option<Rule>) {
        let mut state = self.state.lock().expect("no panic");
        state.rule = rule;
        state.seen.clear();
    }

    /// How often each command was seen since the last rule.
    pub(crate) fn seen(&self) -> BTreeMap<String, u32> {
        self.state.lock().expect("no panic").seen.clone()
    }

    /// Whether all late commands have arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().expect("no panic").late == 0
    }
}

impl State {
    fn judge(&mut self, connection: u64, message: &Message) -> Option<Loss> {
        let name = message.command_name()?;
        let seen = self.seen.entry(name.clone()).or_default();
        *seen += 1;
        let rule = self.rule.as_ref().filter(|rule| rule.command == name)?;
        if !(rule.first..rule.first + rule.times).contains(seen) {
            return None;
        }
        let loss = rule.loss;
        match loss {
            Loss::Request => {}
            Loss::Answer => drop(self.doomed.insert((connection, message.id()))),
            Loss::Late(_) => self.late += 1,
        }
        Some(loss)
    }
}

async fn accept(listener: TcpListener, mongod: u16, state: Arc<Mutex<State>>, stop: CancellationToken) {
    while let Ok((server, _)) = listener.accept().await {
        let number = {
            let mut state = state.lock().expect("no panic");
            state.connections += 1;
            state.connections
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(server, mongod, number, state.clone())));
    }
}

/// Relays one connection until either end closes it or a message is lost.
async fn serve(server: TcpStream, mongod: u16, number: u64, state: Arc<Mutex<State>>) {
    let Ok(mongo) = TcpStream::connect(("127.0.0.1", mongod)).await else { return };
    // Commands are small, and each waits for its answer.
    let _faster = (server.set_nodelay(true), mongo.set_nodelay(true));
    let (from_server, to_server) = server.into_split();
    let (from_mongo, to_mongo) = mongo.into_split();
    tokio::select! {
        () = pass_requests(from_server, to_mongo, number, &state) => {}
        () = pass_answers(from_mongo, to_server, number, &state) => {}
    }
}

async fn pass_requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, state: &Arc<Mutex<State>>) {
    while let Some(message) = Message::read(&mut from).await {
        let loss = state.lock().expect("no panic").judge(number, &message);
        match loss {
            Some(Loss::Request) => return,
            Some(Loss::Late(time)) => {
                // In a task of its own, so that it arrives even though the server has closed its end.
                tokio::spawn(deliver_late(message, time, to, state.clone()));
                return;
            }
            Some(Loss::Answer) | None => {}
        }
        if to.write_all(&message.0).await.is_err() {
            return;
        }
    }
}

/// Delivers a command that its sender has given up, and keeps the connection open until MongoDB has carried it out.
async fn deliver_late(message: Message, time: Duration, mut to: OwnedWriteHalf, state: Arc<Mutex<State>>) {
    tokio::time::sleep(time).await;
    let _gone = to.write_all(&message.0).await;
    tokio::time::sleep(CARRIED_OUT).await;
    state.lock().expect("no panic").late -= 1;
}

async fn pass_answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: u64, state: &Mutex<State>) {
    while let Some(message) = Message::read(&mut from).await {
        if state.lock().expect("no panic").doomed.remove(&(number, message.answers())) {
            return;
        }
        if to.write_all(&message.0).await.is_err() {
            return;
        }
    }
}

/// A message in wire format.
struct Message(Vec<u8>);

impl Message {
    async fn read(from: &mut OwnedReadHalf) -> Option<Self> {
        let mut bytes = vec![0; HEADER];
        from.read_exact(&mut bytes).await.ok()?;
        let length = usize::try_from(number_at(&bytes, 0)?).ok().filter(|length| (HEADER..LARGEST).contains(length))?;
        bytes.resize(length, 0);
        from.read_exact(&mut bytes[HEADER..]).await.ok()?;
        Some(Self(bytes))
    }

    fn id(&self) -> i32 {
        number_at(&self.0, 4).unwrap_or_default()
    }

    /// The id of the request that it answers.
    fn answers(&self) -> i32 {
        number_at(&self.0, 8).unwrap_or_default()
    }

    /// The command, with its collection if that holds master data; `None` for what is not counted.
    fn command_name(&self) -> Option<String> {
        if number_at(&self.0, 12)? != OP_MSG {
            return None;
        }
        // Skips the flags and the kind of the first section, which is 0: the command itself.
        let body = self.0.get(HEADER + 5..)?;
        let length = usize::try_from(number_at(body, 0)?).ok()?;
        let command = RawDocument::from_bytes(body.get(..length)?).ok()?;
        let (name, value) = command.iter().next()?.ok()?;
        let name = name.as_str();
        if NOT_COUNTED.contains(&name) {
            return None;
        }
        let about = value.as_str().filter(|about| matches!(*about, "organizations" | "admins"));
        Some(about.map_or_else(|| name.to_owned(), |about| format!("{name} {about}")))
    }
}

/// The wire protocol is little-endian.
fn number_at(bytes: &[u8], place: usize) -> Option<i32> {
    bytes.get(place..place + 4)?.try_into().ok().map(i32::from_le_bytes)
}
