//! Why a call on an organization failed.

use super::registration::NotAdmitted;
use crate::domain::Invalid;
use crate::repo::RepoError;
use crate::service::attempts::TooMany;
use crate::service::auth::AuthError;
use crate::service::migration::ChangeError;
use crate::service::passwords::PasswordError;
use crate::service::storage::StorageLow;

/// Why a call failed.
#[expect(missing_docs, reason = "each message says it")]
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    #[error("the organization does not exist")]
    NotFound,
    #[error("the actor belongs to another organization")]
    Forbidden,
    #[error("the name is taken")]
    NameTaken,
    /// A change failed; in a rename, [`ChangeError::NameTaken`] is about the new name.
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("the password breaks a rule")]
    BadPassword(Invalid),
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("the server holds as many organizations as it may")]
    CapacityReached,
    #[error(transparent)]
    StorageLow(#[from] StorageLow),
    #[error("the organization has as many old names as it may")]
    TooManyOldNames,
    #[error("the organization has no such old name")]
    NameNotFound,
    #[error("the name is the one that the organization has")]
    NameInUse,
    #[error("the organization has no such change")]
    ChangeNotFound,
    #[error("the organization is not deleted")]
    NotDeleted,
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("the password could not be hashed")]
    Password(#[from] PasswordError),
    #[error("the token could not be issued")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the store failed")]
    Repo(#[from] RepoError),
}
