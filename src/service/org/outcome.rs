//! What became of a change that nobody heard of any more.

use super::{OrgError, OrgService};
use crate::domain::{Caller, ChangeId, Org, OrgId, Progress};
use crate::repo::RepoError;
use crate::service::org::UpdatedOrg;
use crate::service::tokens::TokenClaims;

/// What became of a change.
#[derive(Debug)]
pub enum Outcome {
    /// There is no such organization, not any more or not yet.
    Gone,
    /// It was not begun, or undone.
    Nothing,
    /// It is going on.
    Running,
    /// It was made; this is the organization now.
    Done(Box<Org>),
}

impl OrgService {
    /// What became of a change of an organization.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn outcome(&self, org_id: OrgId, change_id: ChangeId) -> Result<Outcome, RepoError> {
        // First the change: what is over does not begin again, so the organization is at least as new.
        let change = self.repos.orgs.find_change(org_id, change_id).await?;
        let Some(org) = self.repos.orgs.find(org_id).await? else { return Ok(Outcome::Gone) };
        Ok(match change.map(|change| change.progress) {
            Some(Progress::Running { .. }) => Outcome::Running,
            Some(Progress::Finished { .. }) => Outcome::Done(Box::new(org)),
            Some(Progress::Undone { .. }) | None => Outcome::Nothing,
        })
    }

    /// The answer to an update that was made: with a fresh token, if it ended the one that asks.
    ///
    /// # Errors
    /// See [`OrgError`].
    pub async fn updated(&self, claims: TokenClaims, change_id: ChangeId) -> Result<UpdatedOrg, OrgError> {
        let found = self.repos.admins.find_with_org(claims.admin_id, claims.org_id).await?;
        let (admin, org) = found.ok_or(OrgError::NotFound)?;
        // By this change and no later one: who set the password after that did not mean the one that asks.
        let is_ended = admin.credential_version == claims.credential_version + 1;
        let access_token = if is_ended { Some(self.tokens.issue(&admin)?) } else { None };
        Ok(UpdatedOrg { caller: Caller { admin, org }, access_token, change_id: Some(change_id), by: None })
    }
}
