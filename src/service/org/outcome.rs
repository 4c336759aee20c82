//! What became of a change that nobody heard of any more.

use super::{OrgError, OrgService};
use crate::domain::{ChangeId, Org, OrgId, Progress};
use crate::repo::RepoError;
use crate::service::org::UpdatedOrg;
use crate::service::tokens::{Standing, TokenClaims};

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
    pub async fn outcome(&self, org_id: OrgId, change_id: ChangeId) -> Result<Outcome, RepoError> {
        let found = self.repos.orgs.find_with_change(org_id, change_id).await?;
        let Some((org, change)) = found else { return Ok(Outcome::Gone) };
        Ok(match change.map(|change| change.progress) {
            Some(Progress::Running { .. }) => Outcome::Running,
            Some(Progress::Finished { .. }) => Outcome::Done(Box::new(org)),
            Some(Progress::Undone { .. }) | None => Outcome::Nothing,
        })
    }

    /// The answer to an update that was made, for whoever made it: with a fresh token, if it was this change that ended the
    /// one that asks. Somebody whose token was ended otherwise is told nothing.
    pub async fn updated(&self, claims: TokenClaims, change_id: ChangeId) -> Result<UpdatedOrg, OrgError> {
        let change = self.repos.orgs.find_with_change(claims.org_id, change_id).await?.and_then(|(_, change)| change);
        let (caller, standing) = self.auth.recognize_after(claims, change.as_ref()).await?;
        let access_token = match standing {
            Standing::EndedByChange => Some(self.tokens.issue(&caller.admin, &caller.org)?),
            Standing::Current => None,
        };
        Ok(UpdatedOrg { caller, access_token, change_id: Some(change_id), by: None })
    }
}
