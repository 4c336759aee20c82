//! Clients that do what a careful client does, and write down what they were told.

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

/// Longer than anything that happens to a server here, so that an answer comes or its connection breaks.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a client waits before it tries again what it was told to try later. `Retry-After` says a second or more, for
/// people's sake; a storm is worth more with more attempts.
const PAUSE: Duration = Duration::from_millis(150);

/// What a client knows after a call.
#[derive(Debug)]
pub(crate) enum Told {
    /// It was done.
    Done(Box<Answer>),
    /// It was not done, and never will be.
    Refused(Box<Answer>),
    /// It was not done, and another try may help.
    Later(String),
    /// It was done or was not, or will be shortly: the connection broke, or the answer says so.
    Unknown(String),
    /// No answer came in time; it may still be done at any time.
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

    /// The body of the answer to what was done.
    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Done(answer) => &answer.body,
            _ => &Value::Null,
        }
    }

    /// Whether it was refused with this code.
    pub(crate) fn is_refused_as(&self, code: &str) -> bool {
        matches!(self, Self::Refused(answer) if answer.code() == code)
    }

    /// Whether the client should send the same again.
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

/// What is sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<Value>,
    /// The same for each repetition of one change.
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

/// A client with a favourite server, which it leaves when that is gone.
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

    /// One that stays with its server whatever happens.
    pub(crate) fn pinned(fleet: &Arc<Fleet>, slot: usize, tally: &Arc<Tally>) -> Self {
        Self { is_pinned: true, ..Self::new(fleet, slot, tally) }
    }

    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Sends it to the favourite server.
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

    /// Sends a change until it is done or refused, but not for ever.
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
                // A refusal speaks for the attempts before, too: had one of them done it, this one would have heard of it,
                // because all of them have the same key.
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

    /// `POST /org/create`, as the record says that it should be.
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

    /// `POST /admin/login`, with each of the credentials that the admin may have.
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

    /// Logs in when it must work: what is between two states, or cut off, comes back by itself.
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

    /// The name that the organization answers to now, among those that it can have.
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

    /// `PUT /org/update`: the organization becomes this, whole or not at all.
    pub(crate) async fn update(&self, record: &SharedRecord, to: &Shape, attempts: u32) -> Told {
        self.update_and_keep(record, to, 0, attempts).await
    }

    /// The same, and the name that it gives up is kept for so many days.
    pub(crate) async fn update_and_keep(&self, record: &SharedRecord, to: &Shape, days: u32, attempts: u32) -> Told {
        let Some(request) = self.update_request(record, to, days).await else {
            return Told::Later("it is not to be found".to_owned());
        };
        let told = self.persist(record, &format!("update to {to:?}"), &request, attempts).await;
        let mut record = record.lock();
        record.shape.attempt(to.clone(), &told);
        if let Some(token) = told.body()["access_token"].as_str() {
            record.token = Some(token.to_owned());
        }
        told
    }

    /// The request that makes it so; the same as the last time, when that has no end yet.
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

    /// `DELETE /org/delete`.
    pub(crate) async fn delete(&self, record: &SharedRecord, attempts: u32) -> Told {
        let Some(request) = self.delete_request(record).await else {
            return Told::Later("it is not to be found".to_owned());
        };
        let told = self.persist(record, "delete", &request, attempts).await;
        record.lock().life.attempt(self.fleet.life_after_delete(), &told);
        told
    }

    /// `POST /org/restore`, under the name that it had.
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

    /// A call about a document, by each name that the organization can have until one is found.
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

    /// Adds a document; again, if it does not hear what became of it.
    pub(crate) async fn insert(&self, record: &SharedRecord, id: &str, value: i64) -> Told {
        let body = json!({ "_id": id, "org": record.key(), "v": value });
        let told = self.about_document(record, "POST", "", Some(body.clone())).await;
        record.lock().document_told(id, Some(value), &told);
        if !matches!(told, Told::Unknown(_)) {
            return told;
        }
        tokio::time::sleep(PAUSE).await;
        // That it exists already tells no more than that it was there a moment ago: only a success is a promise.
        let told = self.about_document(record, "POST", "", Some(body)).await;
        record.lock().document_told(id, Some(value), &told);
        told
    }

    /// Gives a document another value.
    pub(crate) async fn patch(&self, record: &SharedRecord, id: &str, value: i64) -> Told {
        let told = self.about_document(record, "PATCH", &format!("/{id}"), Some(json!({ "v": value }))).await;
        record.lock().document_told(id, Some(value), &told);
        self.must_not_miss(record, id, &told);
        told
    }

    /// Removes a document.
    pub(crate) async fn remove(&self, record: &SharedRecord, id: &str) -> Told {
        let told = self.about_document(record, "DELETE", &format!("/{id}"), None).await;
        record.lock().document_told(id, None, &told);
        self.must_not_miss(record, id, &told);
        told
    }

    /// Reads a document, which must be as it was last acknowledged.
    pub(crate) async fn read(&self, record: &SharedRecord, id: &str) {
        let told = self.about_document(record, "GET", &format!("/{id}"), None).await;
        self.must_not_miss(record, id, &told);
        if let Told::Done(answer) = &told {
            let value = answer.body["v"].as_i64();
            let record = record.lock();
            if record.documents.get(id).is_some_and(|possible| !possible.allows(&value)) {
                let text = format!("{id} reads as {value:?}, told was {:?}", record.documents.get(id));
                self.violate(&record.key, Invariant::Kept, text, record.history());
            }
        }
    }

    /// A document that was acknowledged cannot be missing.
    fn must_not_miss(&self, record: &SharedRecord, id: &str, told: &Told) {
        let record = record.lock();
        let is_possible = record.documents.get(id).is_none_or(|possible| possible.allows(&None));
        if told.is_refused_as("document_not_found") && !is_possible {
            self.violate(&record.key, Invariant::Kept, format!("{id} is missing"), record.history());
        }
    }

    fn violate(&self, about: &str, invariant: Invariant, text: String, history: Vec<String>) {
        self.tally.violate(Violation { history, ..Violation::new(invariant, about, text) });
    }
}

/// Sends a request, and says what its sender knows afterwards. What no client may ever be told is a violation.
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
        // Nothing was sent.
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

/// Documented, and nothing worse than 503 with `Retry-After`.
fn check_answer(answer: &Answer, request: &Request, tally: &Tally) {
    let path = request.path.split('?').next().unwrap_or_default();
    let mut wrong = answer.undocumented(&request.method.to_lowercase(), path);
    if answer.status >= 500 && (answer.status != 503 || answer.header("retry-after").is_empty()) {
        wrong = Some("a failure that says nothing of another try".to_owned());
    }
    if answer.code() == "organization_busy" && answer.header("retry-after").is_empty() {
        wrong = Some("busy for how long?".to_owned());
    }
    if answer.code() == "tenant_collection_replaced" {
        wrong = Some("the collection is lost".to_owned());
    }
    if let Some(wrong) = wrong {
        let about = format!("{} {path}", request.method);
        tally.violate(Violation::new(
            Invariant::Answers,
            &about,
            format!("{wrong}: {} {}", answer.status, answer.text),
        ));
    }
}
