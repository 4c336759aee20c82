//! The interface between a call whose requests may be repeated and [`IdempotencyService`](super::IdempotencyService).
//! Neither knows the other's work: an attempt is identified by ids that only the call understands.

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
    /// Who sends it; the same key from another sender is a different key.
    pub sender: &'a str,
    /// The account that the key counts towards: the kind of owner, and its identity.
    pub account: (&'static str, &'a [u8]),
    /// The whole content.
    pub content: &'a [u8],
    /// The unused ids of what it creates. They are stored before anything is created, beside the fields of
    /// [`KeyDocument`](crate::repo::idempotency::KeyDocument), so their field names must differ from those.
    pub ids: Ids,
    /// Called once for a known key, before the client is told anything about it.
    pub if_known: K,
    /// Finds the outcome of an attempt that went silent.
    pub recall: R,
    /// Carries out an attempt.
    pub carry_out: W,
}

/// The outcome of an attempt that went silent.
#[derive(Debug, Default)]
pub enum Former<T> {
    /// It did nothing.
    #[default]
    Nothing,
    /// It is still running.
    Running,
    /// It succeeded, with this result.
    Done(T),
}

/// A successful answer, as the call wrote it; opaque here.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its content.
    pub body: String,
    /// Whether it reports no change; then it is not kept.
    #[serde(skip)]
    pub is_unchanged: bool,
    /// Whether it comes from another attempt.
    #[serde(skip)]
    pub is_replay: bool,
}

/// Why a call failed.
pub trait Refusal: From<KeyError> {
    /// Whether the attempt's outcome is still unknown; otherwise it changed nothing.
    fn is_undecided(&self) -> bool;
}

/// Why a request with a key was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key was used for another request.
    #[error("the key was used for another request")]
    Reused,
    /// The key is new, and its owner has reached the limit.
    #[error("as many keys are kept as may be")]
    TooMany {
        /// How long until one of them expires.
        retry_after: Duration,
    },
    /// Another attempt is in charge; asking again later returns its outcome.
    #[error("another attempt is in charge")]
    InProgress,
    /// The store failed.
    #[error("the key could not be looked up")]
    Repo(#[from] RepoError),
}
