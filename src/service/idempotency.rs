//! Answers repeated requests. A client that missed an answer repeats its request with the same `Idempotency-Key` and
//! gets the first answer, from any server, even if the first one died in between.
//!
//! A key belongs to one call and one sender. What is stored is unreadable without the server's secret: the key and the
//! body are authentication codes, and the answer is encrypted, because it may hold a token.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::warn;

use super::sealer::{Sealer, derive_key};
use crate::chaos;
use crate::domain::new_id;
use crate::repo::idempotency::{Code, Hold, IdempotencyRepo};
use crate::repo::{RepoError, Repos};

pub use super::repeatable::{Answer, Former, KeyError, Refusal, Repeatable, RequestKey};

/// The maximum number of keys per owner; each is kept for a day.
const MAX_KEYS: u32 = 1_000;

/// How many late former attempts are remembered. There are that many only when MongoDB fails again and again.
const FORMER_MAX: usize = 200;

/// The pause between looks at a request that another attempt is working on.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// An attempt that holds its key.
#[derive(Debug)]
struct Attempt<Ids> {
    hold: Hold,
    /// The ids of what it creates.
    ids: Ids,
    /// The ids of earlier attempts, oldest first.
    former: Vec<Ids>,
}

enum Begun<Ids> {
    Attempt(Attempt<Ids>),
    Replay(Answer),
}

/// Remembers answers.
#[derive(Debug, Clone)]
pub struct IdempotencyService {
    repo: IdempotencyRepo,
    sealer: AnswerSealer,
}

impl IdempotencyService {
    /// Remembers answers in these repositories.
    pub fn new(repos: &Repos, sealer: AnswerSealer) -> Self {
        Self { repo: repos.idempotency.clone(), sealer }
    }

    /// Carries out a request, unless this was already done.
    pub async fn run<Ids, E, K, R, RF, W, WF>(
        &self,
        key: RequestKey,
        request: Repeatable<'_, Ids, K, R, W>,
    ) -> Result<Answer, E>
    where
        Ids: Copy + Serialize + DeserializeOwned,
        E: Refusal,
        K: Fn() -> Result<(), E>,
        R: Fn(Ids) -> RF,
        RF: Future<Output = Result<Former<Answer>, E>>,
        W: FnOnce(Ids) -> WF,
        WF: Future<Output = Result<Answer, E>>,
    {
        let RequestKey { key: Some(key), patience } = key else { return (request.carry_out)(request.ids).await };
        let attempt = match self.begin(&key, patience, &request).await? {
            Begun::Attempt(attempt) => attempt,
            Begun::Replay(answer) => return Ok(Answer { is_replay: true, ..answer }),
        };
        let result = self.renewing(&attempt.hold, (request.carry_out)(attempt.ids)).await;
        match &result {
            Ok(answer) if !answer.is_unchanged => self.keep(&attempt.hold, answer).await,
            Err(error) if error.is_undecided() => self.give_back(&attempt.hold).await,
            // A late former attempt can be the reason.
            Ok(_) | Err(_) => match self.look_back(&attempt, &request.recall).await? {
                Former::Done(answer) => return Ok(Answer { is_replay: true, ..answer }),
                Former::Running => return Err(KeyError::InProgress.into()),
                Former::Nothing => self.end_unchanged(&attempt).await?,
            },
        }
        result
    }

    /// Takes the key for an attempt, or finds the answer; waits while another attempt is running.
    async fn begin<Ids, E, K, R, RF, W>(
        &self,
        key: &str,
        patience: Duration,
        request: &Repeatable<'_, Ids, K, R, W>,
    ) -> Result<Begun<Ids>, E>
    where
        Ids: Copy + Serialize + DeserializeOwned,
        E: Refusal,
        K: Fn() -> Result<(), E>,
        R: Fn(Ids) -> RF,
        RF: Future<Output = Result<Former<Answer>, E>>,
    {
        let key = self.sealer.code(&[request.call.as_bytes(), request.sender.as_bytes(), key.as_bytes()]);
        let owner = self.sealer.code(&[request.account.0.as_bytes(), request.account.1]);
        let fingerprint = self.sealer.code(&[request.content]);
        let (since, mut is_known) = (Instant::now(), false);
        loop {
            let hold = Hold { key, holder: new_id() };
            let stored = self.repo.claim(&hold, &owner, &fingerprint, &request.ids).await.map_err(KeyError::from)?;
            chaos::reach("key", "claim", "after");
            let is_held = stored.holder == hold.holder;
            let mut attempt = Attempt { hold, ids: request.ids, former: stored.former };
            if is_held && stored.attempt == 1 {
                self.check_room(&hold, &owner).await?;
                return Ok(Begun::Attempt(attempt));
            }
            if !std::mem::replace(&mut is_known, true)
                && let Err(error) = (request.if_known)()
            {
                if is_held {
                    self.give_back(&hold).await;
                }
                return Err(error);
            }
            if stored.fingerprint.bytes != fingerprint {
                return Err(KeyError::Reused.into());
            }
            if let Some(answer) = stored.answer {
                // An unreadable answer was altered by hand: the work must not be done twice.
                let opened = self.sealer.answers.open(&key, answer.bytes);
                let answer = opened.and_then(|text| serde_json::from_slice(&text).ok());
                return Ok(Begun::Replay(answer.ok_or(KeyError::Reused)?));
            }
            if is_held {
                attempt.former.push(stored.ids);
                match self.look_back(&attempt, &request.recall).await? {
                    Former::Done(answer) => return Ok(Begun::Replay(answer)),
                    Former::Nothing => return Ok(Begun::Attempt(self.renumber(attempt).await?)),
                    Former::Running => {}
                }
            }
            if since.elapsed() > patience {
                return Err(KeyError::InProgress.into());
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Refuses a new key when its owner has too many. Counts after inserting it, so that no two can pass together.
    /// Known keys are not checked, because they are always answered.
    async fn check_room(&self, hold: &Hold, owner: &Code) -> Result<(), KeyError> {
        let wait = self.repo.wait_for_room(owner, MAX_KEYS).await;
        if matches!(wait, Ok(None)) {
            return Ok(());
        }
        self.repo.forget(hold).await?;
        Err(KeyError::TooMany { retry_after: wait?.unwrap_or_default() })
    }

    /// The outcome of the former attempts, of which at most one can have had an effect. Keeps the answer of one that
    /// succeeded; releases the lease while one is still running, so that others can check on it.
    async fn look_back<Ids: Copy, E, RF>(
        &self,
        attempt: &Attempt<Ids>,
        recall: impl Fn(Ids) -> RF,
    ) -> Result<Former<Answer>, E>
    where
        RF: Future<Output = Result<Former<Answer>, E>>,
    {
        for ids in &attempt.former {
            match recall(*ids).await {
                Ok(Former::Nothing) => {}
                Ok(Former::Done(answer)) => {
                    self.keep(&attempt.hold, &answer).await;
                    return Ok(Former::Done(answer));
                }
                unclear => {
                    self.give_back(&attempt.hold).await;
                    return unclear;
                }
            }
        }
        Ok(Former::Nothing)
    }

    /// Makes this attempt the current one. The former ones did nothing, but may still wake up and use their own ids.
    async fn renumber<Ids: Serialize>(&self, mut attempt: Attempt<Ids>) -> Result<Attempt<Ids>, KeyError> {
        let Attempt { hold, ids, former } = &mut attempt;
        former.drain(..former.len().saturating_sub(FORMER_MAX));
        self.repo.renumber(hold, ids, former).await?;
        chaos::reach("key", "renumber", "after");
        Ok(attempt)
    }

    /// Runs an attempt while renewing its lease, so that nobody else begins one.
    async fn renewing<T>(&self, hold: &Hold, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep_renewing(hold) => match never {},
        }
    }

    async fn keep_renewing(&self, hold: &Hold) -> Infallible {
        loop {
            sleep(self.repo.lease / 3).await;
            match self.repo.renew(hold).await {
                Ok(()) => {}
                Err(RepoError::LeaseLost) => pending().await,
                Err(error) => warn!(%error, "cannot renew an attempt's lease"),
            }
        }
    }

    /// Keeps an answer. If that fails, the next attempt finds out what was done.
    async fn keep(&self, hold: &Hold, answer: &Answer) {
        let text = serde_json::to_vec(answer).ok();
        let Some(sealed) = text.and_then(|text| self.sealer.answers.seal(&hold.key, text)) else {
            return warn!("cannot seal an answer for repeated requests");
        };
        chaos::reach("key", "answer", "before");
        let kept = self.repo.answer(hold, sealed).await;
        chaos::reach("key", "answer", "after");
        if let Err(error) = kept {
            warn!(%error, "cannot store an answer for repeated requests");
        }
    }

    /// Lets others check at once on an attempt that did not finish.
    async fn give_back(&self, hold: &Hold) {
        match self.repo.give_back(hold).await {
            Ok(()) | Err(RepoError::LeaseLost) => {}
            Err(error) => warn!(%error, "cannot release a key before its lease expires"),
        }
    }

    /// Ends an attempt that changed nothing: the request can be sent again, with the same body or another. If a former
    /// attempt may still arrive late, the key keeps its meaning, so that the change is not made twice.
    async fn end_unchanged<Ids: Serialize>(&self, attempt: &Attempt<Ids>) -> Result<(), KeyError> {
        chaos::reach("key", "forget", "before");
        let ended = match attempt.former.split_last() {
            None => self.repo.forget(&attempt.hold).await,
            Some((last, older)) => match self.repo.renumber(&attempt.hold, last, older).await {
                Ok(()) => self.repo.give_back(&attempt.hold).await,
                refused => refused,
            },
        };
        chaos::reach("key", "forget", "after");
        match ended {
            Ok(()) => Ok(()),
            Err(RepoError::LeaseLost) => Err(KeyError::InProgress),
            Err(error) => {
                warn!(%error, "cannot release the key of a request that changed nothing before its lease expires");
                Ok(())
            }
        }
    }
}

/// Computes the codes of requests, and seals their answers.
#[derive(Debug, Clone)]
pub struct AnswerSealer {
    code_key: Arc<hmac::Key>,
    answers: Sealer,
}

impl AnswerSealer {
    /// Seals so that every server with this secret can open.
    pub fn new(secret: &SecretString) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let code_key = derive_key(secret, b"tenantry idempotency code v1")?;
        let code_key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &code_key));
        Ok(Self { code_key, answers: Sealer::new(secret, b"tenantry idempotent answer v1")? })
    }

    /// A code that requires this secret, over unambiguously separated parts.
    fn code(&self, parts: &[&[u8]]) -> Code {
        let mut context = hmac::Context::with_key(&self.code_key);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut code = [0; 32];
        code.copy_from_slice(context.sign().as_ref());
        code
    }
}
