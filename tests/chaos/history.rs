//! What the clients were told, organization by organization: from it follows what must be in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Instant;

use crate::client::{Request, Told};

/// How much of an organization's history is printed with a violation: of its changes, and of its documents.
const PRINTED: [usize; 2] = [80, 10];

/// When the program began; the events count from there.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a thing can be, by what the client was told: one value after an acknowledgement, more after an attempt whose end
/// it does not know.
#[derive(Debug, Clone)]
pub(crate) struct Possible<T> {
    now: BTreeSet<T>,
    /// What an attempt may still make of it that nobody waits for any more: it has no end.
    late: BTreeSet<T>,
}

impl<T: Ord + Clone> Possible<T> {
    pub(crate) fn certainly(value: T) -> Self {
        Self { now: BTreeSet::from([value]), late: BTreeSet::new() }
    }

    /// What an attempt to make it so leaves.
    pub(crate) fn attempt(&mut self, value: T, told: &Told) {
        match told {
            Told::Done(_) => self.now = BTreeSet::from([value]),
            Told::Unknown(_) => {
                self.now.insert(value);
            }
            Told::Silence => {
                self.late.insert(value);
            }
            Told::Refused(_) | Told::Later(_) => {}
        }
    }

    pub(crate) fn allows(&self, value: &T) -> bool {
        self.now.contains(value) || self.late.contains(value)
    }

    pub(crate) fn is_certainly(&self, value: &T) -> bool {
        self.late.is_empty() && self.now.len() == 1 && self.now.contains(value)
    }

    pub(crate) fn all(&self) -> BTreeSet<T> {
        self.now.union(&self.late).cloned().collect()
    }
}

/// Whether an organization is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// It was never made, or is deleted for good.
    Gone,
    /// Everybody finds it.
    Live,
    /// It was deleted, and its admin can bring it back.
    PutAway,
}

/// What a rename or a change of credentials changes, all at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: String,
}

/// Everything that is known of one organization to the clients that made it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Unique; stands in its email and in the field `org` of each of its documents.
    pub(crate) key: String,
    pub(crate) id: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) life: Possible<Life>,
    pub(crate) shape: Possible<Shape>,
    /// The value in the field `v` of each document, or nothing where there is none.
    pub(crate) documents: BTreeMap<String, Possible<Option<i64>>>,
    /// Nobody does anything with it any more.
    pub(crate) is_retired: bool,
    /// The change that the client wants and that has no end yet, with the request that it sends for it.
    intent: Option<(String, Request)>,
    intents: u64,
    /// What happened to the organization, and what to its documents.
    events: [Vec<String>; 2],
}

/// A record that the clients of one organization share.
#[derive(Debug, Clone)]
pub(crate) struct SharedRecord(Arc<Mutex<Record>>);

impl SharedRecord {
    /// Of an organization that is about to be created.
    pub(crate) fn new(key: &str, name: &str) -> Self {
        let shape = Shape {
            name: name.to_owned(),
            email: format!("{key}@chaos.example"),
            password: format!("password of {key}"),
        };
        Self(Arc::new(Mutex::new(Record {
            key: key.to_owned(),
            id: None,
            token: None,
            life: Possible::certainly(Life::Gone),
            shape: Possible::certainly(shape),
            documents: BTreeMap::new(),
            is_retired: false,
            intent: None,
            intents: 0,
            events: [Vec::new(), Vec::new()],
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("no panic")
    }

    /// One of the same history, which goes its own way from here, with other idempotency keys.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = self.lock().clone();
        copy.intents += 1_000;
        Self(Arc::new(Mutex::new(copy)))
    }

    pub(crate) fn key(&self) -> String {
        self.lock().key.clone()
    }
}

impl Record {
    /// Writes down what was sent about the organization, and what was told.
    pub(crate) fn note(&mut self, what: &str, told: &Told) {
        let event = format!("{what} -> {told}");
        // Waiting is one event.
        if self.events[0].last().is_none_or(|last| !last.ends_with(&event)) {
            self.events[0].push(now(&event));
        }
    }

    /// The same about a document.
    pub(crate) fn note_document(&mut self, what: &str, told: &Told) {
        self.events[1].push(now(&format!("{what} -> {told}")));
    }

    /// What an attempt to give a document this value, or to remove it, leaves.
    pub(crate) fn document_told(&mut self, id: &str, value: Option<i64>, told: &Told) {
        let possible = self.documents.entry(id.to_owned()).or_insert_with(|| Possible::certainly(None));
        possible.attempt(value, told);
    }

    /// Writes down what was done to the servers meanwhile.
    pub(crate) fn remark(&mut self, what: &str) {
        self.events[0].push(now(&format!("[{what}]")));
    }

    /// The request of this change, if it was sent before and has no end yet.
    pub(crate) fn pending(&self, intent: &str) -> Option<Request> {
        self.intent.as_ref().filter(|(pending, _)| pending == intent).map(|(_, request)| request.clone())
    }

    /// Gives a request for a new change the key under which it can be repeated.
    pub(crate) fn intend(&mut self, intent: String, request: Request) -> Request {
        self.intents += 1;
        let request = request.key(format!("{}-{}", self.key, self.intents));
        self.intent = Some((intent, request.clone()));
        request
    }

    /// The change is over.
    pub(crate) fn give_up_intent(&mut self) {
        self.intent = None;
    }

    /// The last events, and what is possible after them.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut lines = vec![format!("the organization {:?}", self.id)];
        for (events, printed) in self.events.iter().zip(PRINTED) {
            let skipped = events.len().saturating_sub(printed);
            lines.push(format!("({skipped} earlier events)"));
            lines.extend(events.iter().skip(skipped).cloned());
        }
        lines.push(format!("so it is {:?}, as {:?}", self.life.all(), self.shape.all()));
        lines
    }

    /// A value that the organization can have now; the one that it has, when that is certain.
    pub(crate) fn any_shape(&self) -> Option<Shape> {
        self.shape.all().into_iter().next()
    }

    /// Whether there is something to work with.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_retired && self.token.is_some() && self.life.allows(&Life::Live)
    }
}

/// An event with its time.
fn now(event: &str) -> String {
    format!("{:>8.3} s  {event}", BEGAN.elapsed().as_secs_f64())
}

/// Starts the clock of the events.
pub(crate) fn begin() {
    LazyLock::force(&BEGAN);
}
