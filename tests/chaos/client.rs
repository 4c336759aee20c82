//! Careful clients that record what they are told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::history::{Life, Shape, SharedRecord};
use crate::report::{Invariant, Tally, Violation, count};
use crate::support::Answer;
use crate::support::client::Call;
use crate::support::server::by_name;

/// Longer than anything that happens to a server here, so that an answer arrives or the connection breaks.
const PATIENCE: Duration = Duration::from_secs(40);
/// The pause before a retry. `Retry-After` says a second or more, for people's sake; more attempts make a better storm.
const PAUSE: Duration = Duration::from_millis(150);

/// What a client knows after a call.
#[derive(Debug)]
pub(crate) enum Told {
    /// It was done.
    Done(Box<Answer>),
    /// It was not done, and never will be.
    Refused(Box<Answer>),
    /// It was not done, and a retry may help.
    Later(String),
    /// It may have been done, or soon will be: the connection broke, or the answer says so.
    Unknown(String),
    /// There was no answer in time; it may be done at any time.
    Silence,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(answer) => write!(f, "done, {}", answer.status),
            Self::Refused(answer) => write!(f, "refused, {} {}", answer.status, answer.code()),
            Self::Later(why) => write!(f, "later: {why}"),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
            Self::Silence => write!(f, "silence"),
        }
    }
}

impl Told {
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// The body of a success; null otherwise.
    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Done(answer) => &answer.body,
            _ => &Value::Null,
        }
    }

    pub(crate) fn is_refused_as(&self, code: &str) -> bool {
        matches!(self, Self::Refused(answer) if answer.code() == code)
    }

    pub(crate) fn is_worth_repeating(&self) -> bool {
        matches!(self, Self::Later(_) | Self::Unknown(_))
    }

    fn of(answer: Answer) -> Self {
        let text = format!("{} {}", answer.status, answer.code());
        match (answer.status, answer.code()) {
            (200..=299, _) => Self::Done(Box::new(answer)),
            (503, "outcome_unknown" | "request_timeout") => Self::Unknown(text),
            (409, "organization_busy" | "document_busy" | "request_in_progress" | "collection_held")
            | (429 | 503, _) => Self::Later(text),
            (500.., _) => Self::Unknown(text),
            _ => Self::Refused(Box::new(answer)),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<Value>,
    /// The same for all attempts at one change.
    pub(crate) idempotency_key: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), ..Self::default() }
    }

    pub(crate) fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn key(mut self, key: String) -> Self {
        self.idempotency_key = Some(key);
        self
    }
}

/// A client that sticks to one server until that fails it.
#[derive(Debug)]
pub(crate) struct Client {
    fleet: Arc<Fleet>,
    http: reqwest::Client,
    slot: AtomicUsize,
    is_pinned: bool,
    tally: Arc<Tally>,
}

impl Client {
    pub(crate) fn new(fleet: &Arc<Fleet>, slot: usize, tally: &Arc<Tally>) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { fleet: fleet.clone(), http, slot: AtomicUsize::new(slot), is_pinned: false, tally: tally.clone() }
    }

    /// A client that never changes its server.
    pub(crate) fn pinned(fleet: &Arc<Fleet>, slot: usize, tally: &Arc<Tally>) -> Self {
        Self { is_pinned: true, ..Self::new(fleet, slot, tally) }
    }

    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    pub(crate) async fn send(&self, request: &Request) -> Told {
        let slot = self.slot.load(Ordering::Relaxed);
        let url = self.fleet.url(slot);
        if url.is_empty() {
            return Told::Later("no server".to_owned());
        }
        let told = send(&self.http, &url, request, &self.tally).await;
        if !self.is_pinned && matches!(told, Told::Later(_) | Told::Unknown(_) | Told::Silence) {
            self.slot.store((slot + 1) % self.fleet.size(), Ordering::Relaxed);
        }
        told
    }

    /// Sends a change until it is done or refused, or until there were enough attempts.
    async fn persist(&self, record: &SharedRecord, what: &str, request: &Request, attempts: u32) -> Told {
        let mut was_unknown = None;
        for attempt in 1..=attempts {
            let told = self.send(request).await;
            let sent = request.body.as_ref().map(ToString::to_string).unwrap_or_default();
            record.lock().note(&format!("{what} ({sent})"), &told);
            match told {
                Told::Unknown(why) => was_unknown = Some(why),
                Told::Later(_) if attempt < attempts => {}
                Told::Later(_) if was_unknown.is_some() => break,
                // A refusal covers the earlier attempts too: they all have the same key, so if one of them had succeeded,
                // this one would have been told.
                told => {
                    if !told.is_worth_repeating() {
                        record.lock().give_up_intent();
                    }
                    return told;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Told::Unknown(was_unknown.unwrap_or_default())
    }

    pub(crate) async fn create(&self, record: &SharedRecord, attempts: u32) -> Told {
        let (key, shape) = {
            let record = record.lock();
            (record.key.clone(), record.any_shape().expect("a shape"))
        };
        let Shape { name, email, password } = shape;
        let body = json!({ "organization_name": name, "email": email, "password": password });
        let request = Request::new("POST", "/org/create").body(body).key(format!("create-{key}"));
        let told = self.persist(record, &format!("create {name}"), &request, attempts).await;
        let mut record = record.lock();
        record.life.attempt(Life::Live, &told);
        if let Some(id) = told.body()["organization"]["id"].as_str() {
            record.id = Some(id.to_owned());
        }
        told
    }

    /// Logs in, trying each of the credentials that the admin may have.
    pub(crate) async fn log_in(&self, record: &SharedRecord) -> Option<String> {
        let shapes = record.lock().shape.all();
        for Shape { email, password, .. } in shapes {
            let body = json!({ "email": email, "password": password });
            let told = self.send(&Request::new("POST", "/admin/login").body(body)).await;
            let mut record = record.lock();
            record.note(&format!("log in as {email}"), &told);
            if let Some(token) = told.body()["access_token"].as_str() {
                record.token = Some(token.to_owned());
                record.id = told.body()["admin"]["organization_id"].as_str().map(ToOwned::to_owned);
                return record.token.clone();
            }
        }
        None
    }

    /// Logs in where that must succeed in the end, once changes and failovers are over.
    pub(crate) async fn log_in_at_last(&self, record: &SharedRecord, limit: Duration) -> Option<String> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let token = self.log_in(record).await;
            if token.is_some() || tokio::time::Instant::now() > deadline {
                return token;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The organization's current name, among those that it may have.
    pub(crate) async fn locate(&self, record: &SharedRecord) -> Option<String> {
        let (id, shapes) = {
            let record = record.lock();
            (record.id.clone(), record.shape.all())
        };
        for Shape { name, .. } in shapes {
            let told = self.send(&Request::new("GET", by_name("/org/get", &name))).await;
            let found = &told.body()["organization"];
            if found["id"].as_str() == id.as_deref() && id.is_some() {
                return found["organization_name"].as_str().map(ToOwned::to_owned);
            }
        }
        None
    }

    pub(crate) async fn update(&self, record: &SharedRecord, to: &Shape, attempts: u32) -> Told {
        self.update_and_keep(record, to, 0, attempts).await
    }

    /// The same, and keeps the old name for some days.
    pub(crate) async fn update_and_keep(&self, record: &SharedRecord, to: &Shape, days: u32, attempts: u32) -> Told {
        let Some(request) = self.update_request(record, to, days).await else {
            return Told::Later("it cannot be found".to_owned());
        };
        let told = self.persist(record, &format!("update to {to:?}"), &request, attempts).await;
        let mut record = record.lock();
        record.shape.attempt(to.clone(), &told);
        if let Some(token) = told.body()["access_token"].as_str() {
            record.token = Some(token.to_owned());
        }
        told
    }

    /// The request for an update; the previous one, if that is not finished.
    async fn update_request(&self, record: &SharedRecord, to: &Shape, days: u32) -> Option<Request> {
        let intent = format!("update to {to:?}, keep {days}");
        let token = record.lock().token.clone();
        if let Some(request) = record.lock().pending(&intent) {
            return Some(request.token(token));
        }
        let from = self.locate(record).await?;
        let mut record = record.lock();
        let before = record.any_shape()?;
        let is_certain = record.shape.is_certainly(&before);
        let mut body = json!({ "organization_name": from, "new_organization_name": to.name });
        if days > 0 {
            body["keep_old_name_days"] = json!(days);
        }
        if !is_certain || before.email != to.email {
            body["email"] = json!(to.email);
        }
        if !is_certain || before.password != to.password {
            body["password"] = json!(to.password);
        }
        let request = Request::new("PUT", "/org/update").token(token).body(body);
        Some(record.intend(intent, request))
    }

    pub(crate) async fn delete(&self, record: &SharedRecord, attempts: u32) -> Told {
        let Some(request) = self.delete_request(record).await else {
            return Told::Later("it cannot be found".to_owned());
        };
        let told = self.persist(record, "delete", &request, attempts).await;
        record.lock().life.attempt(self.fleet.life_after_delete(), &told);
        told
    }

    /// Restores it under its old name.
    pub(crate) async fn restore(&self, record: &SharedRecord, attempts: u32) -> Told {
        let intent = "restore";
        let pending = record.lock().pending(intent);
        let request = pending.unwrap_or_else(|| {
            let mut record = record.lock();
            let Shape { email, password, .. } = record.any_shape().expect("a shape");
            let body = json!({ "email": email, "password": password });
            record.intend(intent.to_owned(), Request::new("POST", "/org/restore").body(body))
        });
        let told = self.persist(record, intent, &request, attempts).await;
        record.lock().life.attempt(Life::Live, &told);
        told
    }

    async fn delete_request(&self, record: &SharedRecord) -> Option<Request> {
        let token = record.lock().token.clone();
        if let Some(request) = record.lock().pending("delete") {
            return Some(request.token(token));
        }
        let name = self.locate(record).await?;
        let request = Request::new("DELETE", by_name("/org/delete", &name)).token(token);
        Some(record.lock().intend("delete".to_owned(), request))
    }

    /// A call about a document, trying each name that the organization may have.
    async fn about_document(
        &self,
        record: &SharedRecord,
        method: &'static str,
        rest: &str,
        body: Option<Value>,
    ) -> Told {
        let (token, shapes) = {
            let record = record.lock();
            (record.token.clone(), record.shape.all())
        };
        let mut last = Told::Later("it has no name".to_owned());
        for Shape { name, .. } in shapes {
            let mut request = Request::new(method, format!("/org/{name}/documents{rest}")).token(token.clone());
            request.body.clone_from(&body);
            last = self.send(&request).await;
            record.lock().note_document(&format!("{method} {}", request.path), &last);
            if !last.is_refused_as("organization_not_found") && !last.is_refused_as("forbidden") {
                break;
            }
        }
        last
    }

    /// Inserts a document, and again if the outcome is unknown.
    pub(crate) async fn insert(&self, record: &SharedRecord, id: &str, value: i64) -> Told {
        let body = json!({ "_id": id, "org": record.key(), "v": value });
        let told = self.about_document(record, "POST", "", Some(body.clone())).await;
        record.lock().document_told(id, Some(value), &told);
        if !matches!(told, Told::Unknown(_)) {
            return told;
        }
        tokio::time::sleep(PAUSE).await;
        // "It exists" only means that it existed a moment ago: only a success is a promise.
        let told = self.about_document(record, "POST", "", Some(body)).await;
        record.lock().document_told(id, Some(value), &told);
        told
    }

    pub(crate) async fn patch(&self, record: &SharedRecord, id: &str, value: i64) -> Told {
        let told = self.about_document(record, "PATCH", &format!("/{id}"), Some(json!({ "v": value }))).await;
        record.lock().document_told(id, Some(value), &told);
        self.must_not_miss(record, id, &told);
        told
    }

    pub(crate) async fn remove(&self, record: &SharedRecord, id: &str) -> Told {
        let told = self.about_document(record, "DELETE", &format!("/{id}"), None).await;
        record.lock().document_told(id, None, &told);
        self.must_not_miss(record, id, &told);
        told
    }

    /// Reads a document, which must be as last acknowledged.
    pub(crate) async fn read(&self, record: &SharedRecord, id: &str) {
        let told = self.about_document(record, "GET", &format!("/{id}"), None).await;
        self.must_not_miss(record, id, &told);
        if let Told::Done(answer) = &told {
            let value = answer.body["v"].as_i64();
            let possible = record.lock().documents.get(id).cloned();
            if possible.as_ref().is_some_and(|possible| !possible.allows(&value)) {
                let text = format!("{id} reads as {value:?}, expected {possible:?}");
                self.tally.violate(record.violation(Invariant::Kept, text));
            }
        }
    }

    /// An acknowledged document cannot be missing.
    fn must_not_miss(&self, record: &SharedRecord, id: &str, told: &Told) {
        let is_possible = record.lock().documents.get(id).is_none_or(|possible| possible.allows(&None));
        if told.is_refused_as("document_not_found") && !is_possible {
            self.tally.violate(record.violation(Invariant::Kept, format!("{id} is missing")));
        }
    }
}

/// Sends a request and returns what its sender knows afterwards. Answers that no client may ever get are violations.
pub(crate) async fn send(http: &reqwest::Client, url: &str, request: &Request, tally: &Tally) -> Told {
    let Request { method, path, token, body, idempotency_key } = request;
    let mut call = Call::new(http, url, method, path);
    if let Some(token) = token {
        call = call.bearer(token);
    }
    if let Some(body) = body {
        call = call.json(body);
    }
    if let Some(key) = idempotency_key {
        call = call.header("idempotency-key", key);
    }
    let told = match call.try_send().await {
        Ok(answer) => {
            check_answer(&answer, request, tally);
            Told::of(answer)
        }
        Err(error) if error.is_connect() => Told::Later("no server".to_owned()),
        Err(error) if error.is_timeout() => Told::Silence,
        Err(_) => Told::Unknown("the connection broke".to_owned()),
    };
    count(&tally.operations);
    match told {
        Told::Done(_) if *method != "GET" && path != "/admin/login" => count(&tally.acknowledged),
        Told::Done(_) => {}
        Told::Refused(_) | Told::Later(_) => count(&tally.refused),
        Told::Unknown(_) | Told::Silence => count(&tally.unknown),
    }
    told
}

/// Answers must be documented, and no worse than 503 with `Retry-After`.
fn check_answer(answer: &Answer, request: &Request, tally: &Tally) {
    let path = request.path.split('?').next().unwrap_or_default();
    let mut wrong = answer.undocumented(&request.method.to_lowercase(), path);
    if answer.status >= 500 && (answer.status != 503 || answer.header("retry-after").is_empty()) {
        wrong = Some("a failure without Retry-After".to_owned());
    }
    if answer.code() == "organization_busy" && answer.header("retry-after").is_empty() {
        wrong = Some("busy without Retry-After".to_owned());
    }
    if answer.code() == "tenant_collection_replaced" {
        wrong = Some("the collection is lost".to_owned());
    }
    if let Some(wrong) = wrong {
        let text = format!("{wrong}: {} {}", answer.status, answer.text);
        tally.violate(Violation::new(Invariant::Answers, &format!("{} {path}", request.method), text));
    }
}
