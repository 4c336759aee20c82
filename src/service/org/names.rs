//! The names that an organization has and had, and the changes that were made of it.

use std::time::Duration;

use tracing::warn;

use super::{OrgError, OrgService};
use crate::domain::permission::{Allowed, OrgManage, OrgRead};
use crate::domain::{Change, ChangeId, OldName, Org, OrgReference};
use crate::service::Chore;

/// How often uses of old names are written down.
const WRITE_USES_EVERY: Duration = Duration::from_secs(5);

impl OrgService {
    /// An organization with the old names that it answers to, and how often it did.
    pub async fn names(&self, org: &Allowed<OrgRead, Org>) -> Result<(Org, Vec<OldName>), OrgError> {
        // What this server has counted and not yet written down; others do so within seconds.
        if let Err(error) = self.uses.write_down(&self.repos.orgs).await {
            warn!(%error, "some uses of old names are not counted yet");
        }
        let org = self.repos.orgs.find(org.id).await?.ok_or(OrgError::NotFound)?;
        let old = org.live_old_names(self.clock.now()).cloned().collect();
        Ok((org, old))
    }

    /// Gives up an old name of an organization: from here on anybody can take it.
    pub async fn give_up_name(&self, org: &Allowed<OrgManage, Org>, name: &OrgReference) -> Result<(), OrgError> {
        if org.slug == *name.slug() {
            return Err(OrgError::NameInUse);
        }
        let is_given_up = self.repos.orgs.give_up_old_name(org.id, name.slug()).await?;
        if is_given_up { Ok(()) } else { Err(OrgError::NameNotFound) }
    }

    /// A change of an organization, in progress or over; there is none without an id.
    pub async fn change(&self, org: &Allowed<OrgRead, Org>, id: Option<ChangeId>) -> Result<Change, OrgError> {
        let id = id.ok_or(OrgError::ChangeNotFound)?;
        let found = self.repos.orgs.find_with_change(org.id, id).await?;
        let change = found.and_then(|(_, change)| change).filter(|change| !change.is_forgotten(self.clock.now()));
        change.ok_or(OrgError::ChangeNotFound)
    }

    /// Writes down how often organizations were found by old names. What cannot be written down now will be next time.
    #[must_use]
    pub fn chore(&self) -> Chore {
        Chore::every(WRITE_USES_EVERY, "write down uses of old names", self, |this| async move {
            this.uses.write_down(&this.repos.orgs).await
        })
        .and_at_stop()
    }
}
