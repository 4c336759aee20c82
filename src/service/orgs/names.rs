//! An organization's current and old names, and its changes.

use std::time::Duration;

use tracing::warn;

use super::{OrgError, OrgService};
use crate::domain::permission::{Allowed, OrgManage, OrgRead};
use crate::domain::{Change, ChangeId, OldName, Org, OrgReference};
use crate::service::Chore;

/// How often the uses of old names are stored.
const WRITE_USES_EVERY: Duration = Duration::from_secs(5);

impl OrgService {
    /// An organization with its old names and how often each was used.
    pub async fn names(&self, org: &Allowed<OrgRead, Org>) -> Result<(Org, Vec<OldName>), OrgError> {
        // Store the uses counted on this server; other servers store theirs within seconds.
        if let Err(error) = self.uses.write_down(&self.repos.orgs).await {
            warn!(%error, "cannot store some uses of old names yet");
        }
        let org = self.repos.orgs.find(org.id).await?.ok_or(OrgError::NotFound)?;
        let old = org.live_old_names(self.clock.now()).cloned().collect();
        Ok((org, old))
    }

    /// Releases an organization's old name; anyone can take it from now on.
    pub async fn give_up_name(&self, org: &Allowed<OrgManage, Org>, name: &OrgReference) -> Result<(), OrgError> {
        if org.slug == *name.slug() {
            return Err(OrgError::NameInUse);
        }
        let is_given_up = self.repos.orgs.give_up_old_name(org.id, name.slug()).await?;
        if is_given_up { Ok(()) } else { Err(OrgError::NameNotFound) }
    }

    /// A change of an organization, running or finished; not found without an id.
    pub async fn change(&self, org: &Allowed<OrgRead, Org>, id: Option<ChangeId>) -> Result<Change, OrgError> {
        let id = id.ok_or(OrgError::ChangeNotFound)?;
        let found = self.repos.orgs.find_with_change(org.id, id).await?;
        let change = found.and_then(|(_, change)| change).filter(|change| !change.is_forgotten(self.clock.now()));
        change.ok_or(OrgError::ChangeNotFound)
    }

    /// Stores how often organizations were found by old names. A failed write is retried next time.
    pub fn chore(&self) -> Chore {
        Chore::every(WRITE_USES_EVERY, "write down uses of old names", self, |this| async move {
            this.uses.write_down(&this.repos.orgs).await
        })
        .and_at_stop()
    }
}
