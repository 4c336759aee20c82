//! Requests that a client repeats because it did not hear the answer: with the same `Idempotency-Key` it gets the first
//! answer, from whichever server, also when the first one died in between.
//!
//! A key belongs to one call and to whoever sends it. What is stored of it can be read by nobody without the server's
//! secret: the key and the body as authentication codes, the answer encrypted, because it may hold a token.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bson::oid::ObjectId;
use secrecy::SecretString;
use tokio::time::sleep;
use tracing::warn;

use super::org::ChangeIds;
use super::sealer::{Sealer, derive_key};
use crate::chaos;
use crate::domain::{ChangeId, Email, OrgId, new_id};
use crate::repo::idempotency::{Attempted, Code, IdempotencyRepo};
use crate::repo::{RepoError, Repos};

/// How many keys one owner has at most at a time; each is kept for a day.
const MAX_KEYS: u32 = 1_000;

/// On whose account a key is kept.
#[derive(Debug, Clone, Copy)]
pub enum KeyOwner<'a> {
    /// An organization, whichever of its admins sends it.
    Organization(OrgId),
    /// Nobody is known yet but by the email in the request.
    Email(&'a Email),
}

/// A request with its key: which call, whose, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub struct KeyedRequest<'a> {
    /// The call's name.
    pub call: &'static str,
    /// Who sends it: an identity, or an email when anybody may.
    pub subject: &'a str,
    /// On whose account the key is kept.
    pub owner: KeyOwner<'a>,
    /// The client's key.
    pub key: &'a str,
    /// All that the request says.
    pub content: &'a [u8],
}

/// What is to be done about a request with a key.
#[derive(Debug)]
pub enum Begun {
    /// Nobody has tried it: do it, as this attempt.
    First(Attempt),
    /// An attempt was begun and never ended: look what became of it, and do it if nothing did.
    Again(Attempt),
    /// It was answered so.
    Answered(Vec<u8>),
    /// Somebody works on it.
    Running,
    /// The key was used for another request.
    Reused,
    /// Nobody has tried it, and its owner has as many keys as it may.
    TooMany {
        /// After how long one of them is over.
        retry_after: Duration,
    },
}

/// One attempt at a request with a key.
#[derive(Debug, Clone)]
pub struct Attempt {
    key: Code,
    holder: ObjectId,
    /// The identities of what it makes.
    pub ids: ChangeIds,
    /// Those of what the attempts before it were to make, the oldest first.
    pub former: Vec<ChangeIds>,
}

/// Remembers answers.
#[derive(Debug, Clone)]
pub struct IdempotencyService {
    repo: IdempotencyRepo,
    sealer: AnswerSealer,
}

/// Makes codes of requests, and seals their answers.
#[derive(Clone)]
pub struct AnswerSealer {
    code_key: Arc<hmac::Key>,
    sealer: Sealer,
}

impl std::fmt::Debug for AnswerSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerSealer(hidden)")
    }
}

impl From<ChangeIds> for Attempted {
    fn from(ids: ChangeIds) -> Self {
        Self { org_id: ids.org.0, change_id: ids.change.0 }
    }
}

impl From<Attempted> for ChangeIds {
    fn from(Attempted { org_id, change_id }: Attempted) -> Self {
        Self { org: OrgId(org_id), change: ChangeId(change_id) }
    }
}

impl IdempotencyService {
    /// Remembers answers in these repositories.
    #[must_use]
    pub fn new(repos: &Repos, sealer: AnswerSealer) -> Self {
        Self { repo: repos.idempotency.clone(), sealer }
    }

    /// Takes a request on, or says why not. `ids` are those of what it will make.
    pub async fn begin(&self, request: &KeyedRequest<'_>, ids: ChangeIds) -> Result<Begun, RepoError> {
        let key = self.sealer.code(&[request.call.as_bytes(), request.subject.as_bytes(), request.key.as_bytes()]);
        let owner = self.sealer.owner(request.owner);
        let fingerprint = self.sealer.code(&[request.content]);
        let holder = new_id();
        let stored = self.repo.claim(&key, &owner, &fingerprint, holder, ids.into()).await?;
        chaos::reach("key", "claim", "after");
        if stored.fingerprint.bytes != fingerprint {
            return Ok(Begun::Reused);
        }
        if let Some(answer) = &stored.answer {
            // One that does not open was altered by hand: what was done must not be done again.
            return Ok(self.sealer.sealer.open(&key, answer.bytes.clone()).map_or(Begun::Reused, Begun::Answered));
        }
        let former = stored.former.into_iter().map(ChangeIds::from).collect();
        let begun = Attempt { key, holder, ids: stored.makes.into(), former };
        Ok(match (stored.holder == holder, stored.attempt) {
            (true, 1) => self.if_there_is_room(begun, &owner).await?,
            (true, _) => Begun::Again(begun),
            (false, _) => Begun::Running,
        })
    }

    /// The first attempt with a new key, unless its owner has too many. Counted with the new one there, so that no two can
    /// pass together; and only then, because a key that is known is answered in any case.
    async fn if_there_is_room(&self, first: Attempt, owner: &Code) -> Result<Begun, RepoError> {
        let wait = self.repo.wait_for_room(owner, MAX_KEYS).await;
        if matches!(wait, Ok(None)) {
            return Ok(Begun::First(first));
        }
        self.repo.forget(&first.key, first.holder).await?;
        wait.map(|wait| Begun::TooMany { retry_after: wait.unwrap_or_default() })
    }

    /// A further attempt with new identities, where the former one did nothing yet: it may still wake and use its own.
    pub async fn renumber(&self, attempt: Attempt, ids: ChangeIds) -> Result<Attempt, RepoError> {
        self.repo.renumber(&attempt.key, attempt.holder, ids.into()).await?;
        chaos::reach("key", "renumber", "after");
        let Attempt { key, holder, ids: last, mut former } = attempt;
        former.push(last);
        Ok(Attempt { key, holder, ids, former })
    }

    /// Works at an attempt, which nobody else begins meanwhile.
    pub async fn hold<T>(&self, attempt: &Attempt, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.keep_renewing(attempt) => match never {},
        }
    }

    async fn keep_renewing(&self, attempt: &Attempt) -> Infallible {
        loop {
            sleep(self.repo.lease / 3).await;
            match self.repo.renew(&attempt.key, attempt.holder).await {
                Ok(()) => {}
                Err(RepoError::TakenOver) => pending().await,
                Err(error) => warn!(%error, "an attempt at a request cannot be held"),
            }
        }
    }

    /// Keeps an answer.
    pub async fn keep(&self, attempt: &Attempt, answer: &[u8]) -> Result<(), RepoError> {
        let Some(sealed) = self.sealer.sealer.seal(&attempt.key, answer.to_vec()) else {
            return Err(RepoError::Refused { summary: "an answer could not be sealed".to_owned() });
        };
        chaos::reach("key", "answer", "before");
        let kept = self.repo.answer(&attempt.key, attempt.holder, sealed).await;
        chaos::reach("key", "answer", "after");
        kept
    }

    /// Lets others look at once what became of an attempt that did not come to its end.
    pub async fn give_back(&self, attempt: &Attempt) -> Result<(), RepoError> {
        self.repo.give_back(&attempt.key, attempt.holder).await
    }

    /// Ends an attempt that was refused, or had nothing to change: the request can be tried again, with the same body or another. But where a former
    /// attempt may only be late, the key stays what it is, so that its change is not made beside another one.
    pub async fn end_unchanged(&self, attempt: &Attempt) -> Result<(), RepoError> {
        let Attempt { key, holder, former, .. } = attempt;
        chaos::reach("key", "forget", "before");
        let ended = match former.split_last() {
            None => self.repo.forget(key, *holder).await,
            Some((last, older)) => {
                let older: Vec<Attempted> = older.iter().copied().map(Attempted::from).collect();
                self.repo.withdraw(key, *holder, (*last).into(), &older).await
            }
        };
        chaos::reach("key", "forget", "after");
        ended
    }
}

impl AnswerSealer {
    /// Seals what every server with this secret can open.
    pub fn new(secret: &SecretString) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let code_key = derive_key(secret, b"tenantry idempotency code v1")?;
        let code_key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &code_key));
        Ok(Self { code_key, sealer: Sealer::new(secret, b"tenantry idempotent answer v1")? })
    }

    /// The code of an account.
    fn owner(&self, owner: KeyOwner<'_>) -> Code {
        match owner {
            KeyOwner::Organization(OrgId(id)) => self.code(&[b"organization", &id.bytes()]),
            KeyOwner::Email(email) => self.code(&[b"email", email.as_str().as_bytes()]),
        }
    }

    /// A code that only this secret makes, of parts that cannot run into each other.
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
