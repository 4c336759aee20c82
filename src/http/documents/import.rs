//! Imports documents from one body (`application/x-ndjson`): reads lines, and adds batches while the next ones arrive.
//!
//! Memory does not grow with the body: one line, one batch being read and one being added.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use metrics::counter;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::lines::{Line, Lines};
use super::new_document;
use crate::domain::Tenant;
use crate::domain::documents::NewDocument;
use crate::extjson::{ReadError, read_stored};
use crate::http::body::{announced_length, too_large};
use crate::http::bytes::HeldBytes;
use crate::http::problem::{Failure, Problem, kinds};
use crate::http::state::{HttpState, RequestLimits};
use crate::http::streams::{AS_IT_COMES, LineSender, Pace, TooSlow};
use crate::off_thread::off_thread;
use crate::service::DataService;
use crate::service::data::{Import, Imported};

/// How many failures are reported individually.
const MAX_FAILURES: usize = 100;
/// The most documents in a batch.
const BATCH_DOCUMENTS: usize = 1_000;
/// The most bytes in a batch, far below MongoDB's limit for a command (16 MiB). A larger document goes alone.
const BATCH_BYTES: usize = 256 << 10;
/// What an import holds in memory: one batch being read, one waiting, and one being added.
const HELD_BYTES: usize = 3 * BATCH_BYTES;
/// The shortest interval between progress lines: they must not block a client that sends everything before it reads.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long, and how many bytes, the server still reads from a client after its import ended.
const LINGER_FOR: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;

/// A longer line is large: as BSON it can be many times larger, beyond what its import holds.
const LARGE_LINE_BYTES: usize = 64 << 10;
/// How many documents from large lines are in progress at once, over all imports. None of them waits for its client.
static LARGE: Semaphore = Semaphore::const_new(4);

/// A line of an import's answer.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ImportAnswer {
    /// Whether this is the last line.
    done: bool,
    /// How many lines were read, empty ones not counted.
    lines: u64,
    /// How many documents were added.
    inserted: u64,
    /// How many were not.
    failed: u64,
    /// The first of those that were not added; with the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failures: Option<Vec<LineFailure>>,
    /// Why the import was cut; only if it was. Lines that are neither among those that were added nor among those that were not
    /// were not tried, or, with `outcome_unknown`, nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<Failure>,
}

/// A line that was not added.
#[derive(Debug, Serialize, ToSchema)]
struct LineFailure {
    /// Its number, from 1, with empty ones counted.
    line: u64,
    /// Why.
    #[serde(flatten)]
    failure: Failure,
}

/// The result so far.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    inserted: u64,
    failed: u64,
    failures: Vec<LineFailure>,
}

/// Documents with the numbers of their lines.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u64>,
    documents: Vec<NewDocument>,
    bytes: usize,
    /// The right to have a large document in the batch.
    large: Option<SemaphorePermit<'static>>,
}

/// Starts an import, and answers with a stream of its progress and result.
pub(super) async fn import(
    tenant: &Tenant,
    data: &DataService,
    state: &HttpState,
    request: Request,
) -> Result<Response, Problem> {
    let limits = state.limits.clone();
    let limit = limits.max_import_bytes;
    if announced_length(request.headers())
        .is_some_and(|length| u64::try_from(length).is_ok_and(|length| length > limit))
    {
        return Err(too_large(limit));
    }
    let share = state.stream_share(tenant.org_id()).await?;
    let held = HeldBytes::of(&state.stream_bytes, tenant.org_id(), HELD_BYTES).await?;
    let pace = Pace::begin(&limits);
    let mut body = Body { inner: request.into_body(), received: 0, limits, pace };
    // Before the answer begins, because a client waiting for "100 Continue" must get that first. Half of the request's
    // time, as for other bodies, so that the client learns what was slow before that time is over.
    let first = timeout(state.limits.timeout / 2, body.next()).await;
    let first = first.map_err(|_elapsed| Problem::new(kinds::BODY_TIMEOUT))??;
    let import = data.import(tenant).await;
    let mut response = state.stream((share, held), |lines| run(body, first, import, lines));
    response.headers_mut().insert(header::CACHE_CONTROL, AS_IT_COMES);
    Ok(response)
}

async fn run(mut body: Body, first: Option<Bytes>, import: Import, answer: LineSender) {
    let tally = Mutex::new(Tally::default());
    let (sender, receiver) = mpsc::channel(1);
    let reading = async {
        let sender = sender;
        tokio::select! {
            biased;
            () = answer.stop.cancelled() => Err(Problem::new(kinds::SERVER_STOPPING)),
            read = read(&mut body, first, &sender, &tally) => read,
        }
    };
    let (read, added) = tokio::join!(reading, add(receiver, import, &tally, &answer));
    let error = added.and(read).err().map(Problem::into_failure);
    let tally = tally.into_inner();
    counter!("documents_imported_total").increment(tally.inserted);
    let Tally { lines, inserted, failed, mut failures } = tally;
    // Unreadable lines are found before MongoDB has answered about the lines above them.
    failures.sort_by_key(|failure| failure.line);
    let failures = Some(failures);
    answer.end(&ImportAnswer { done: true, lines, inserted, failed, failures, error }).await;
    body.linger().await;
}

/// Reads the body to its end, and passes on batches to add.
async fn read(
    body: &mut Body,
    first: Option<Bytes>,
    batches: &mpsc::Sender<Batch>,
    tally: &Mutex<Tally>,
) -> Result<(), Problem> {
    let (mut lines, mut batch, mut piece) = (Lines::new(body.limits.max_document_bytes), Batch::default(), first);
    let mut outcome = Ok(());
    while let Some(bytes) = piece {
        let mut rest = &*bytes;
        while let Some(line) = lines.next(&mut rest) {
            let Some(read) = tally_line(line, &body.limits, tally).await else { continue };
            if !batch.has_room_for(&read.document) && batches.send(std::mem::take(&mut batch)).await.is_err() {
                // The adding side has stopped, and reports why.
                return Ok(());
            }
            batch.push(read);
            // A batch with a large document goes at once.
            if batch.large.is_some() && batches.send(std::mem::take(&mut batch)).await.is_err() {
                return Ok(());
            }
        }
        piece = match body.next().await {
            Ok(next) => next,
            Err(problem) => {
                outcome = Err(problem);
                None
            }
        };
    }
    // A line that was cut off is no document.
    let last = lines.last().filter(|_| outcome.is_ok());
    let last = match last {
        Some(line) => tally_line(line, &body.limits, tally).await,
        None => None,
    };
    if let Some(read) = last {
        let full = if batch.has_room_for(&read.document) { None } else { Some(std::mem::take(&mut batch)) };
        batch.push(read);
        if let Some(full) = full
            && batches.send(full).await.is_err()
        {
            return Ok(());
        }
    }
    if !batch.documents.is_empty() {
        // Closed only if the adding side has stopped.
        let _closed = batches.send(batch).await;
    }
    outcome
}

/// The document of a line.
struct ReadLine {
    number: u64,
    document: NewDocument,
    large: Option<SemaphorePermit<'static>>,
}

/// Reads the document of a line; `None` for an empty line, and for an unreadable one, which is tallied.
async fn tally_line(line: Line, limits: &RequestLimits, tally: &Mutex<Tally>) -> Option<ReadLine> {
    let (number, document, large) = match line {
        Line::Text(_, text) if text.trim_ascii().is_empty() => return None,
        Line::Text(number, text) => {
            // The semaphore is never closed.
            let large = if text.len() > LARGE_LINE_BYTES { LARGE.acquire().await.ok() } else { None };
            (number, off_thread(text.len(), move || document_of(&text)).await, large)
        }
        Line::TooLong(number) => (number, Err(too_large(limits.max_document_bytes)), None),
    };
    let mut tally = tally.lock();
    tally.lines += 1;
    let document = document.map_err(|problem| tally.fail(number, problem)).ok()?;
    Some(ReadLine { number, document, large })
}

/// Adds the documents, batch by batch.
async fn add(
    mut batches: mpsc::Receiver<Batch>,
    mut import: Import,
    tally: &Mutex<Tally>,
    answer: &LineSender,
) -> Result<(), Problem> {
    let mut told: Option<Instant> = None;
    while let Some(Batch { lines, documents, large: _large, .. }) = batches.recv().await {
        let Imported { inserted, refused, cut } = import.insert(&documents).await;
        let mut tally = tally.lock();
        tally.inserted += u64::try_from(inserted).unwrap_or_default();
        for (place, error) in refused {
            tally.fail(lines.get(place).copied().unwrap_or_default(), error.into());
        }
        if let Some(error) = cut {
            return Err(error.into());
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            let Tally { lines, inserted, failed, .. } = *tally;
            answer.offer(&ImportAnswer { done: false, lines, inserted, failed, failures: None, error: None });
        }
    }
    Ok(())
}

fn document_of(line: &[u8]) -> Result<NewDocument, Problem> {
    let read = read_stored(line).map_err(|error| match error {
        // The parser sees only this line, so its line number means nothing.
        ReadError::Syntax { column, .. } => {
            Problem::new(kinds::INVALID_JSON).with_detail(format!("The line is not JSON: column {column}"))
        }
        invalid @ ReadError::Invalid(_) => invalid.into(),
    })?;
    new_document(read)
}

impl Batch {
    /// Whether the document fits into this batch.
    fn has_room_for(&self, document: &NewDocument) -> bool {
        let bytes = self.bytes + document.raw.as_bytes().len();
        self.documents.is_empty() || (self.documents.len() < BATCH_DOCUMENTS && bytes <= BATCH_BYTES)
    }

    fn push(&mut self, ReadLine { number, document, large }: ReadLine) {
        self.bytes += document.raw.as_bytes().len();
        self.lines.push(number);
        self.documents.push(document);
        self.large = large.or(self.large.take());
    }
}

impl Tally {
    fn fail(&mut self, line: u64, problem: Problem) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(LineFailure { line, failure: problem.into_failure() });
        }
    }
}

/// A body read piece by piece, within the limits of an import.
struct Body {
    inner: axum::body::Body,
    received: u64,
    limits: RequestLimits,
    pace: Pace,
}

impl Body {
    /// Reads and discards what the client still sends: a connection closed while the client sends is reset, and the
    /// answer may be lost.
    async fn linger(&mut self) {
        let forgotten = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = self.inner.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > LINGER_BYTES {
                    break;
                }
            }
        };
        // A client that sends for longer does not listen.
        let _elapsed = timeout(LINGER_FOR, forgotten).await;
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let came = |frame: &Option<Result<Frame<Bytes>, _>>| {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                data.map_or(0, Bytes::len)
            };
            let frame = self.pace.wait_for(self.inner.frame(), came).await;
            let frame = frame.map_err(|TooSlow| Problem::new(kinds::BODY_TIMEOUT))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame
                .map_err(|_broken| Problem::new(kinds::BAD_REQUEST).with_detail("The body ended before its end"))?;
            // Trailers are ignored.
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if self.received > self.limits.max_import_bytes {
                return Err(too_large(self.limits.max_import_bytes));
            }
            return Ok(Some(bytes));
        }
    }
}
