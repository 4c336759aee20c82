//! Why a change did not happen.

use crate::domain::ChangeId;
use crate::repo::RepoError;

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The new name belongs to another organization.
    #[error("the name is taken")]
    NameTaken,
    /// The email belongs to another admin.
    #[error("the email is taken")]
    EmailTaken,
    /// A collection without an owner has the new name; nothing was changed.
    #[error("a collection of that name exists")]
    CollectionOccupied,
    /// The organization's collection is gone, or another one has taken its place; nothing was changed.
    #[error("the organization's collection was replaced")]
    CollectionReplaced,
    /// A transaction or an index build holds the organization's collection; nothing was changed.
    #[error("the organization's collection is held")]
    CollectionHeld,
    /// Another change of the same organization is in progress, or the name is cooling down; nothing was changed.
    #[error("the organization is being changed")]
    Busy,
    /// The organization is gone.
    #[error("the organization does not exist")]
    Gone,
    /// The change was recorded; another attempt will finish or undo it.
    #[error("the outcome of the change is not known yet")]
    Undecided {
        /// The change to ask about.
        change_id: ChangeId,
        /// Why this server does not know.
        #[source]
        cause: RepoError,
    },
    /// The store failed; nothing was changed.
    #[error("the change could not be made")]
    Repo(#[from] RepoError),
}

/// Why a recorded change was not finished. Except after `Unfinished`, nothing irreversible was done; it is undone.
#[derive(Debug)]
pub(super) enum Refusal {
    EmailTaken,
    CollectionOccupied,
    CollectionReplaced,
    CollectionHeld,
    /// MongoDB permanently refused a command, for lack of a privilege, say.
    Refused(RepoError),
    /// A command may have taken effect, or this server lost its lease: the change continues later, or elsewhere.
    Unfinished(RepoError),
}

impl Refusal {
    /// The error code shown to observers of the change, the same that the call would have returned.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::EmailTaken => "email_taken",
            Self::CollectionOccupied => "collection_occupied",
            Self::CollectionReplaced => "tenant_collection_replaced",
            Self::CollectionHeld => "collection_held",
            Self::Refused(_) | Self::Unfinished(_) => "internal_error",
        }
    }
}

impl From<RepoError> for Refusal {
    fn from(error: RepoError) -> Self {
        match error {
            RepoError::CollectionBusy { .. } => Self::CollectionHeld,
            RepoError::CollectionMismatch { .. } | RepoError::NamespaceNotFound => Self::CollectionReplaced,
            RepoError::NamespaceExists => Self::CollectionOccupied,
            error if error.is_undecided() => Self::Unfinished(error),
            error => Self::Refused(error),
        }
    }
}

impl Refusal {
    /// The error for the caller of the change, once everything is undone.
    pub(super) fn into_error(self, change_id: ChangeId) -> ChangeError {
        match self {
            Self::EmailTaken => ChangeError::EmailTaken,
            Self::CollectionOccupied => ChangeError::CollectionOccupied,
            Self::CollectionReplaced => ChangeError::CollectionReplaced,
            Self::CollectionHeld => ChangeError::CollectionHeld,
            Self::Refused(error) => ChangeError::Repo(error),
            Self::Unfinished(cause) => ChangeError::Undecided { change_id, cause },
        }
    }

    /// For a server that resumes an abandoned change: what stops it.
    pub(super) fn into_cause(self) -> RepoError {
        match self {
            Self::Refused(error) | Self::Unfinished(error) => error,
            Self::CollectionHeld => RepoError::CollectionBusy { summary: "it is held".to_owned() },
            Self::EmailTaken | Self::CollectionOccupied | Self::CollectionReplaced => {
                RepoError::Refused { summary: self.code().to_owned() }
            }
        }
    }
}
