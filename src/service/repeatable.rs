//! What a call says of a request that may be repeated, and what [`IdempotencyService`](super::IdempotencyService) says to the
//! call. Neither knows what the other is about: an attempt at the request is known by ids that mean something to the call
//! alone.

use std::time::Duration;

use crate::repo::RepoError;

/// The key of a request, if it has one.
#[derive(Debug)]
pub struct RequestKey {
    /// The key, as the client sent it.
    pub key: Option<String>,
    /// How long to wait for another attempt with the same key.
    pub patience: Duration,
}

/// A request that may be repeated.
#[derive(Debug)]
pub struct Repeatable<'a, Ids, K, R, W> {
    /// The call's name.
    pub call: &'static str,
    /// Who sends it; the same key of somebody else is another key.
    pub sender: &'a str,
    /// On whose account the key is kept: the kind of owner, and which.
    pub account: (&'static str, &'a [u8]),
    /// All that it says.
    pub content: &'a [u8],
    /// What it makes, under names that nobody has yet. They are stored before anything is made, beside the fields of
    /// [`KeyDocument`](crate::repo::idempotency::KeyDocument), so theirs must be called otherwise.
    pub ids: Ids,
    /// Asked once, when the key turns out to be known, before anything is told of it.
    pub if_known: K,
    /// Finds out what became of an attempt that nobody heard of any more.
    pub recall: R,
    /// Carries an attempt out.
    pub carry_out: W,
}

/// What became of an attempt that nobody heard of any more.
#[derive(Debug, Default)]
pub enum Former<T> {
    /// It did nothing.
    #[default]
    Nothing,
    /// It is going on.
    Running,
    /// It succeeded, with this.
    Done(T),
}

impl<T> Former<T> {
    /// The same, told otherwise.
    pub fn try_map<U, E>(self, tell: impl FnOnce(T) -> Result<U, E>) -> Result<Former<U>, E> {
        Ok(match self {
            Self::Nothing => Former::Nothing,
            Self::Running => Former::Running,
            Self::Done(done) => Former::Done(tell(done)?),
        })
    }
}

/// What came of carrying an attempt out.
#[derive(Debug)]
pub enum Outcome<A, E> {
    /// Something was changed; whoever repeats the request gets this answer.
    Changed(A),
    /// It was refused, or found nothing to change: the key is free again. It can come to something else when it is repeated.
    Unchanged(Result<A, E>),
    /// Nobody knows yet.
    Undecided(E),
}

/// An answer, and whether it was given before.
#[derive(Debug)]
pub struct Given<A> {
    /// The answer.
    pub answer: A,
    /// Whether another attempt earned it.
    pub is_replay: bool,
}

/// Why a request with a key was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key was used for another request.
    #[error("the key was used for another request")]
    Reused,
    /// The key is new, and its owner has as many as it may.
    #[error("as many keys are kept as may be")]
    TooMany {
        /// After how long one of them is over.
        retry_after: Duration,
    },
    /// Another attempt is in charge: whoever asks again hears what came of it.
    #[error("another attempt is in charge")]
    InProgress,
    /// The store failed.
    #[error("the key could not be looked up")]
    Repo(#[source] RepoError),
}

impl From<RepoError> for KeyError {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::LeaseLost => Self::InProgress,
            other => Self::Repo(other),
        }
    }
}
