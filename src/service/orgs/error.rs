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
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    /// There is no such organization.
    #[error("the organization does not exist")]
    NotFound,
    /// The actor belongs to another organization.
    #[error("the actor belongs to another organization")]
    Forbidden,
    /// The name of a new or restored organization is taken.
    #[error("the name is taken")]
    NameTaken,
    /// A change failed; in a rename, [`ChangeError::NameTaken`] is about the new name.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The password of a new organization's admin breaks a rule.
    #[error("the password breaks a rule")]
    BadPassword(Invalid),
    /// The caller may not create an organization.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// There were too many attempts.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// This server has reached its limit of organizations.
    #[error("the server holds as many organizations as it may")]
    CapacityReached,
    /// MongoDB's disk has no room for another organization.
    #[error(transparent)]
    StorageLow(#[from] StorageLow),
    /// The organization has reached its limit of old names.
    #[error("the organization has as many old names as it may")]
    TooManyOldNames,
    /// The organization has no such old name.
    #[error("the organization has no such old name")]
    NameNotFound,
    /// The organization already has this name.
    #[error("the name is the one that the organization has")]
    NameInUse,
    /// The organization has no such change, or its record has expired.
    #[error("the organization has no such change")]
    ChangeNotFound,
    /// The organization is not deleted.
    #[error("the organization is not deleted")]
    NotDeleted,
    /// The caller could not be authenticated for a restore.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Password(#[from] PasswordError),
    /// The token could not be signed.
    #[error("the token could not be issued")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The store failed.
    #[error("the store failed")]
    Repo(#[from] RepoError),
}
