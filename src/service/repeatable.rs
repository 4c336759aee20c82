//! What a call says of a request that may be repeated, and what [`IdempotencyService`](super::IdempotencyService) says to the
//! call. Neither knows what the other is about: an attempt at the request is known by ids that mean something to the call
//! alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// A successful answer, as the call wrote it: nothing here reads it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What kind of success it is.
    pub status: u16,
    /// What it says.
    pub body: String,
    /// Whether it tells of no change; then it is not kept.
    #[serde(skip)]
    pub is_unchanged: bool,
    /// Whether another attempt earned it.
    #[serde(skip)]
    pub is_replay: bool,
}

/// Why a call was not answered with success.
pub trait Refusal: From<KeyError> {
    /// Whether nobody knows yet what became of the attempt; else it changed nothing.
    fn is_undecided(&self) -> bool;
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
    Repo(#[from] RepoError),
}
