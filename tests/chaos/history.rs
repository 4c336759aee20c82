//! What clients were told, organization by organization. It determines what the database must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Instant;

use crate::client::{Request, Told};
use crate::report::{Invariant, Violation};

/// How many events a violation prints: of the organization's changes, and of its documents.
const PRINTED: [usize; 2] = [80, 10];

/// When the program began; events are timed from here.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The values that something may have, given what the client was told: one after an acknowledgement, more after an attempt
/// with an unknown outcome.
#[derive(Debug, Clone)]
pub(crate) struct Possible<T> {
    now: BTreeSet<T>,
    /// Values that an abandoned attempt may still set, at any time.
    late: BTreeSet<T>,
}

impl<T: Ord + Clone> Possible<T> {
    pub(crate) fn certainly(value: T) -> Self {
        Self { now: BTreeSet::from([value]), late: BTreeSet::new() }
    }

    /// Records an attempt to set it.
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

/// Whether an organization exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    /// Never created, or deleted for good.
    Gone,
    Live,
    /// Deleted, but its admin can restore it.
    PutAway,
}

/// What an update changes, all at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) password: String,
}

/// Everything that an organization's clients know about it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Unique; part of its email, and the field `org` of each of its documents.
    pub(crate) key: String,
    pub(crate) id: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) life: Possible<Life>,
    pub(crate) shape: Possible<Shape>,
    /// The field `v` of each document; `None` for a document that does not exist.
    pub(crate) documents: BTreeMap<String, Possible<Option<i64>>>,
    /// No longer used by its clients.
    pub(crate) is_retired: bool,
    /// The change that is not finished yet, and its request.
    intent: Option<(String, Request)>,
    intents: u64,
    /// What happened to the organization, and to its documents.
    events: [Vec<String>; 2],
}

/// A record that an organization's clients share.
#[derive(Debug, Clone)]
pub(crate) struct SharedRecord(Arc<Mutex<Record>>);

impl SharedRecord {
    /// An organization that is about to be created.
    pub(crate) fn new(key: &str, name: &str) -> Self {
        Self::with_email(key, name, &format!("{key}@chaos.example"))
    }

    pub(crate) fn with_email(key: &str, name: &str, email: &str) -> Self {
        let shape = Shape { name: name.to_owned(), email: email.to_owned(), password: format!("password of {key}") };
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

    /// A copy with the same history, independent from here on, with idempotency keys of its own.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = self.lock().clone();
        copy.intents += 1_000;
        Self(Arc::new(Mutex::new(copy)))
    }

    pub(crate) fn key(&self) -> String {
        self.lock().key.clone()
    }

    pub(crate) fn violation(&self, invariant: Invariant, text: impl Into<String>) -> Violation {
        let record = self.lock();
        Violation { history: record.history(), ..Violation::new(invariant, &record.key, text) }
    }
}

impl Record {
    /// Records a call about the organization and its outcome.
    pub(crate) fn note(&mut self, what: &str, told: &Told) {
        let event = format!("{what} -> {told}");
        // Repeated waiting is one event.
        if self.events[0].last().is_none_or(|last| !last.ends_with(&event)) {
            self.events[0].push(now(&event));
        }
    }

    /// Records a call about a document and its outcome.
    pub(crate) fn note_document(&mut self, what: &str, told: &Told) {
        self.events[1].push(now(&format!("{what} -> {told}")));
    }

    /// Records an attempt to set a document's value, or to remove it.
    pub(crate) fn document_told(&mut self, id: &str, value: Option<i64>, told: &Told) {
        let possible = self.documents.entry(id.to_owned()).or_insert_with(|| Possible::certainly(None));
        possible.attempt(value, told);
    }

    /// Records what was done to the servers.
    pub(crate) fn remark(&mut self, what: &str) {
        self.events[0].push(now(&format!("[{what}]")));
    }

    /// The request of this change, if it was sent before and is not finished.
    pub(crate) fn pending(&self, intent: &str) -> Option<Request> {
        self.intent.as_ref().filter(|(pending, _)| pending == intent).map(|(_, request)| request.clone())
    }

    /// Gives the request for a new change an idempotency key, so that it can be repeated.
    pub(crate) fn intend(&mut self, intent: String, request: Request) -> Request {
        self.intents += 1;
        let request = request.key(format!("{}-{}", self.key, self.intents));
        self.intent = Some((intent, request.clone()));
        request
    }

    pub(crate) fn give_up_intent(&mut self) {
        self.intent = None;
    }

    /// The last events, and what they leave possible.
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

    /// One of the possible shapes; the real one, when that is certain.
    pub(crate) fn any_shape(&self) -> Option<Shape> {
        self.shape.all().into_iter().next()
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.is_retired && self.token.is_some() && self.life.allows(&Life::Live)
    }
}

fn now(event: &str) -> String {
    format!("{:>8.3} s  {event}", BEGAN.elapsed().as_secs_f64())
}

/// Starts the events' clock.
pub(crate) fn begin() {
    LazyLock::force(&BEGAN);
}
