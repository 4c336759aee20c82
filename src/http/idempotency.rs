//! `Idempotency-Key`: a request that is repeated with the same key and the same body is carried out once and answered each
//! time as the first time (draft-ietf-httpapi-idempotency-key-header).
//!
//! Only answers to changes are kept. A request that was refused, or had nothing to change, can come to something else when it is
//! repeated; its key is free again, unless an attempt before it hangs somewhere and may still succeed.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{error, warn};

use super::problem::{Problem, kinds};
use super::state::{HttpState, Services};
use crate::domain::{Email, Network, Org, OrgId};
use crate::repo::RepoError;
use crate::service::idempotency::{Attempt, Begun, KeyOwner, KeyedRequest};
use crate::service::org::{ChangeIds, Outcome};

/// The header with the client's key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// The pause between two looks at a request that somebody else works on.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What a call says for its document.
pub(super) const DESCRIPTION: &str = "A key of the client's own for this request, such as a UUID: 1 to 255 visible ASCII \
    characters. Repeated within 24 hours with the same body, the request is not carried out again but answered as before, \
    with `Idempotency-Replayed: true`; with another body it is refused. What was refused, or changed nothing, can be repeated \
    with the same key.";

/// The key of a request, if it has one, and how long to wait for another that has the same.
#[derive(Debug)]
pub(super) struct Once {
    key: Option<String>,
    patience: Duration,
}

impl FromRequestParts<HttpState> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let patience = state.limits.timeout / 2;
        let mut sent = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(first) = sent.next() else { return Ok(Self { key: None, patience }) };
        let key = first.to_str().unwrap_or_default();
        let is_valid = (1..=KEY_MAX_CHARS).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if is_valid && sent.next().is_none() {
            return Ok(Self { key: Some(key.to_owned()), patience });
        }
        let detail = "Idempotency-Key must be sent once, as 1 to 255 visible ASCII characters";
        Err(Problem::new(kinds::BAD_REQUEST).with_detail(detail))
    }
}

/// A successful answer that can be given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answered {
    status: u16,
    /// Whether it tells of no change at all; then it is not kept.
    #[serde(skip)]
    is_unchanged: bool,
    body: String,
}

impl Answered {
    /// An answer with this JSON.
    ///
    /// # Errors
    /// It is not JSON: a defect.
    pub(super) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        match serde_json::to_string(body) {
            Ok(body) => Ok(Self { status: status.as_u16(), is_unchanged: false, body }),
            Err(error) => {
                error!(%error, "an answer cannot be written");
                Err(Problem::new(kinds::INTERNAL_ERROR))
            }
        }
    }

    /// The same answer, to a request that found nothing to change.
    pub(super) fn unchanged(self) -> Self {
        Self { is_unchanged: true, ..self }
    }
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// What became of an attempt that nobody heard of any more.
#[derive(Debug)]
pub(super) enum Former {
    /// It did nothing.
    Nothing,
    /// It is going on.
    Running,
    /// It succeeded, with this answer.
    Done(Answered),
}

impl Former {
    /// An attempt whose change tells what became of it, and whose answer shows the organization.
    pub(super) fn of(
        outcome: Outcome,
        answer: impl FnOnce(&Org) -> Result<Answered, Problem>,
    ) -> Result<Self, Problem> {
        Ok(match outcome {
            Outcome::Gone | Outcome::Nothing => Self::Nothing,
            Outcome::Running => Self::Running,
            Outcome::Done(org) => Self::Done(answer(&org)?),
        })
    }
}

/// Who sends a request that may be repeated.
#[derive(Debug)]
pub(super) enum Sender {
    /// Somebody of this organization, known by this identity.
    Known(OrgId, String),
    /// Anybody. The email in the request stands for its sender, so that strangers with the same key do not meet. Where it comes
    /// from, unless it shows the operator's token, which is no stranger's.
    Anybody(Email, Option<Network>),
}

/// A request that may be repeated: which call, whose, with which identities of what it makes, and all that it says.
#[derive(Debug)]
pub(super) struct Repeatable {
    pub(super) call: &'static str,
    pub(super) sender: Sender,
    pub(super) ids: ChangeIds,
    pub(super) content: Bytes,
}

impl Sender {
    /// Counts a request with a key that is known already as an attempt to log in, where anybody may send it: whether the body is
    /// the right one tells whether the password in it is.
    async fn count_guess(&self, services: &Services, begun: &Begun) -> Result<(), Problem> {
        let Self::Anybody(email, Some(from)) = self else { return Ok(()) };
        if matches!(begun, Begun::First(_) | Begun::TooMany { .. }) {
            return Ok(());
        }
        let counted = services.auth.count_guess(email, *from);
        if let (Err(_), Begun::Again(attempt)) = (&counted, begun) {
            give_back(services, attempt).await;
        }
        Ok(counted?)
    }
}

impl Once {
    /// Carries a request out, unless it was before. `former` says what became of an attempt that was begun and never
    /// answered; `new_ids` are for what is made anew after one that came to nothing.
    ///
    /// # Errors
    /// What `work` is refused with; or the key belongs to another request, or to one that is not over.
    pub(super) async fn run<F, W>(
        self,
        services: &Services,
        request: Repeatable,
        former: impl Fn(ChangeIds) -> F,
        new_ids: impl FnOnce() -> ChangeIds,
        work: impl FnOnce(ChangeIds) -> W,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Former, Problem>>,
        W: Future<Output = Result<Answered, Problem>>,
    {
        let Repeatable { call, sender, ids, content } = request;
        let Some(key) = self.key else { return Ok(work(ids).await?.into_response()) };
        let (subject, owner) = match &sender {
            Sender::Known(org_id, identity) => (identity.as_str(), KeyOwner::Organization(*org_id)),
            Sender::Anybody(email, _) => (email.as_str(), KeyOwner::Email(email)),
        };
        let keyed = KeyedRequest { call, subject, owner, key: &key, content: &content };
        let (since, mut is_counted) = (Instant::now(), false);
        let attempt = loop {
            let begun = services.idempotency.begin(&keyed, ids).await?;
            if !std::mem::replace(&mut is_counted, true) {
                sender.count_guess(services, &begun).await?;
            }
            match begun {
                Begun::First(attempt) => break attempt,
                Begun::TooMany { retry_after } => return Err(Problem::too_many_keys(retry_after)),
                Begun::Answered(answer) => return replay(&answer),
                Begun::Reused => return Err(Problem::key_reused()),
                Begun::Again(attempt) => {
                    let all = attempt.former.iter().copied().chain([attempt.ids]);
                    match look_back(services, &attempt, all, &former).await? {
                        Former::Done(answer) => return Ok(replayed(answer)),
                        Former::Nothing => {
                            let again = services.idempotency.renumber(attempt, new_ids()).await;
                            break again.map_err(overtaken)?;
                        }
                        Former::Running => {}
                    }
                }
                Begun::Running => {}
            }
            if since.elapsed() > self.patience {
                return Err(Problem::new(kinds::REQUEST_IN_PROGRESS));
            }
            sleep(LOOK_PAUSE).await;
        };
        match services.idempotency.hold(&attempt, work(attempt.ids)).await {
            Ok(answer) if !answer.is_unchanged => {
                keep(services, &attempt, &answer).await;
                Ok(answer.into_response())
            }
            Err(problem) if problem.is_undecided() => {
                give_back(services, &attempt).await;
                Err(problem)
            }
            // A former attempt that was only late can be why.
            unchanged => match look_back(services, &attempt, attempt.former.iter().copied(), &former).await? {
                Former::Done(answer) => Ok(replayed(answer)),
                Former::Running => Err(Problem::new(kinds::REQUEST_IN_PROGRESS)),
                Former::Nothing => end_unchanged(services, &attempt, unchanged).await.map(Answered::into_response),
            },
        }
    }
}

/// What became of these attempts, of which at most one can have done anything. Keeps the answer of one that did; lets others
/// look at one that goes on.
async fn look_back<F: Future<Output = Result<Former, Problem>>>(
    services: &Services,
    attempt: &Attempt,
    attempts: impl Iterator<Item = ChangeIds>,
    former: impl Fn(ChangeIds) -> F,
) -> Result<Former, Problem> {
    for ids in attempts {
        match former(ids).await {
            Ok(Former::Nothing) => {}
            Ok(Former::Done(answer)) => {
                keep(services, attempt, &answer).await;
                return Ok(Former::Done(answer));
            }
            unclear => {
                give_back(services, attempt).await;
                return unclear;
            }
        }
    }
    Ok(Former::Nothing)
}

/// Keeps an answer. When that fails, the change itself tells later that it was made.
async fn keep(services: &Services, attempt: &Attempt, answer: &Answered) {
    let kept = match serde_json::to_vec(answer) {
        Ok(text) => services.idempotency.keep(attempt, &text).await,
        Err(_) => return,
    };
    if let Err(error) = kept {
        warn!(%error, "an answer is not kept for those who repeat the request");
    }
}

/// Lets others look at once what became of an attempt.
async fn give_back(services: &Services, attempt: &Attempt) {
    if let Err(error) = services.idempotency.give_back(attempt).await {
        warn!(%error, "an attempt is held for a while");
    }
}

/// Ends an attempt that changed nothing, and says what its client is told.
async fn end_unchanged(
    services: &Services,
    attempt: &Attempt,
    outcome: Result<Answered, Problem>,
) -> Result<Answered, Problem> {
    match services.idempotency.end_unchanged(attempt).await {
        Ok(()) => outcome,
        Err(error @ RepoError::TakenOver) => Err(overtaken(error)),
        Err(error) => {
            warn!(%error, "the key of a request that changed nothing is kept for a while");
            outcome
        }
    }
}

/// Another attempt has the word: whoever asks again hears what came of it.
fn overtaken(error: RepoError) -> Problem {
    match error {
        RepoError::TakenOver => Problem::new(kinds::REQUEST_IN_PROGRESS),
        other => other.into(),
    }
}

fn replay(answer: &[u8]) -> Result<Response, Problem> {
    match serde_json::from_slice::<Answered>(answer) {
        Ok(answer) => Ok(replayed(answer)),
        Err(error) => {
            error!(%error, "a kept answer cannot be read");
            Err(Problem::new(kinds::INTERNAL_ERROR))
        }
    }
}

fn replayed(answer: Answered) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}
