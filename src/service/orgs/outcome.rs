//! Finds the outcome of a change whose attempt went silent.

use serde::{Deserialize, Serialize};

use super::{OrgError, OrgService};
use crate::domain::{Actor, Change, ChangeId, Org, OrgId, Progress};
use crate::repo::RepoError;
use crate::service::idempotency::Former;
use crate::service::orgs::UpdatedOrg;
use crate::service::tokens::{Standing, TokenClaims};

/// The ids of a change and its organization, fixed before anything happens and stored with the idempotency key.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct ChangeIds {
    /// The organization's id.
    #[serde(rename = "org_id")]
    pub org: OrgId,
    /// The change's id.
    #[serde(rename = "change_id")]
    pub change: ChangeId,
}

impl ChangeIds {
    /// The ids for a new organization.
    pub fn generate() -> Self {
        Self::of(OrgId::generate())
    }

    /// The ids for a new change of an existing organization.
    pub fn of(org: OrgId) -> Self {
        Self { org, change: ChangeId::generate() }
    }
}

impl OrgService {
    /// The outcome of a change, with the organization as it is now; `None` when that is gone or does not exist yet.
    pub async fn outcome<T, E: From<RepoError>>(
        &self,
        ids: ChangeIds,
        tell: impl FnOnce(Org, Change) -> Result<T, E>,
    ) -> Result<Option<Former<T>>, E> {
        let found = self.repos.orgs.find_with_change(ids.org, ids.change).await?;
        let Some((org, change)) = found else { return Ok(None) };
        let Some(change) = change else { return Ok(Some(Former::Nothing)) };
        Ok(Some(match change.progress {
            Progress::Running { .. } => Former::Running,
            Progress::Finished { .. } => Former::Done(tell(org, change)?),
            Progress::Undone { .. } => Former::Nothing,
        }))
    }

    /// The answer to a completed update, for its caller: with a fresh token if this change ended the caller's own. A
    /// caller whose token ended for another reason is told nothing.
    pub async fn updated(&self, claims: TokenClaims, change: &Change) -> Result<UpdatedOrg, OrgError> {
        let (Actor::Admin { admin, org }, standing) = self.auth.recognize_after(claims, Some(change)).await?;
        let access_token = match standing {
            Standing::EndedByChange => Some(self.tokens.issue(&admin, &org)?),
            Standing::Current => None,
        };
        Ok(UpdatedOrg { admin, org, access_token, change_id: Some(change.id), by: None })
    }
}
