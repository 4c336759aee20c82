//! Authentication: logging in, and recognizing a token's bearer.

use std::sync::Arc;

use super::attempts::{Attempts, TooMany};
use super::passwords::{HashOwner, PasswordError, PasswordHasher};
use super::shared_lookups::SharedLookups;
use super::tokens::{AccessToken, Standing, TokenClaims, TokenService};
use crate::domain::{Actor, Admin, AdminId, Change, EmailQuery, Network, Org, OrgId, OrgState, PasswordAttempt};
use crate::repo::{AdminRepo, RepoError, Repos};

/// Why authentication failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Unknown email or wrong password; deliberately not which.
    #[error("the credentials are not valid")]
    InvalidCredentials,
    /// The token is invalid, its admin or organization is gone, or the password has changed.
    #[error("the token is not valid")]
    InvalidToken,
    /// There were too many attempts.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The password could not be checked.
    #[error("the password could not be checked")]
    Password(#[from] PasswordError),
    /// The token could not be signed.
    #[error("the token could not be issued")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The store failed.
    #[error("the admin could not be loaded")]
    Repo(#[from] RepoError),
}

/// The result of looking up a token's bearer.
type Bearer = Result<Option<(Admin, Org)>, RepoError>;

/// Logs admins in and recognizes them.
#[derive(Debug, Clone)]
pub struct AuthService {
    admins: AdminRepo,
    hasher: PasswordHasher,
    tokens: TokenService,
    attempts: Arc<Attempts>,
    /// The lookups of bearers in progress.
    bearers: Arc<SharedLookups<(AdminId, OrgId), Bearer>>,
}

impl AuthService {
    /// Logs in the admins of these repositories.
    pub fn new(repos: &Repos, hasher: PasswordHasher, tokens: TokenService, attempts: Arc<Attempts>) -> Self {
        let bearers = Arc::new(SharedLookups::new());
        Self { admins: repos.admins.clone(), hasher, tokens, attempts, bearers }
    }

    /// The limits on attempts, for attempts other than logins.
    pub(super) fn attempts(&self) -> Arc<Attempts> {
        self.attempts.clone()
    }

    /// Checks an email and a password, and returns a token.
    ///
    /// # Errors
    /// See [`AuthError`]. An unknown email, a wrong password and a missing organization cost and return the same.
    pub async fn log_in(
        &self,
        email: &EmailQuery,
        password: &PasswordAttempt,
        from: Network,
    ) -> Result<(Admin, AccessToken), AuthError> {
        let (admin, org) = self.verify(email, password, from, OrgState::is_visible).await?;
        let token = self.tokens.issue(&admin, &org)?;
        Ok((admin, token))
    }

    /// Checks the email and password of an admin whose organization's state passes `may_be`.
    pub async fn verify(
        &self,
        email: &EmailQuery,
        password: &PasswordAttempt,
        from: Network,
        may_be: impl Fn(OrgState) -> bool,
    ) -> Result<(Admin, Org), AuthError> {
        self.attempts.log_in(email.email(), from)?;
        let found = self.admins.find_by_email_with_org(email.email()).await?.filter(|(_, org)| may_be(org.state));
        let hash = found.as_ref().map(|(admin, _)| &admin.password_hash);
        let may_be_cut = found.as_ref().is_some_and(|(admin, _)| admin.credential_version == 0);
        let is_right = self.hasher.verify(HashOwner::Visitor(from.site()), password, hash, may_be_cut).await?;
        let found = found.filter(|_| is_right).ok_or(AuthError::InvalidCredentials)?;
        self.attempts.logged_in(email.email(), from);
        Ok(found)
    }

    /// Returns a token's claims, if it is one of ours and has not expired.
    pub fn read(&self, token: &str) -> Result<TokenClaims, AuthError> {
        self.tokens.check(token).ok_or(AuthError::InvalidToken)
    }

    /// Recognizes the bearer of a token: a live admin of a live organization, in the life and with the password it is
    /// for.
    pub async fn recognize(&self, claims: TokenClaims) -> Result<Actor, AuthError> {
        self.recognize_after(claims, None).await.map(|(actor, _)| actor)
    }

    /// The same, but also accepts a token ended by this change, which its bearer asked for.
    pub(super) async fn recognize_after(
        &self,
        claims: TokenClaims,
        change: Option<&Change>,
    ) -> Result<(Actor, Standing), AuthError> {
        let ids = (claims.admin_id, claims.org_id);
        let bearer = self.bearers.get(ids, || self.admins.find_with_org(claims.admin_id, claims.org_id)).await;
        let (admin, org) = bearer?.ok_or(AuthError::InvalidToken)?;
        let version_set = change.and_then(|change| change.credential_version);
        let standing = claims.standing(org.state, org.token_epoch, admin.credential_version, version_set);
        Ok((Actor::Admin { admin, org }, standing.ok_or(AuthError::InvalidToken)?))
    }
}
