//! Deleting and restoring an organization.

use super::{OrgError, OrgService, Reached};
use crate::domain::permission::OrgManage;
use crate::domain::{
    Actor, ChangeId, ChangeKind, Deletion, EmailQuery, Network, Org, OrgName, OrgReference, OrgState, PasswordAttempt,
    Title,
};
use crate::service::migration::ChangeError;

/// A request to restore an organization.
#[derive(Debug)]
pub struct RestoreOrg {
    /// Its admin's address.
    pub email: EmailQuery,
    /// Its admin's password.
    pub password: PasswordAttempt,
    /// Where the request comes from.
    pub from: Network,
    /// The organization's new name; its former one if absent.
    pub new_name: Option<OrgName>,
}

impl OrgService {
    /// Deletes the actor's organization with everything in it. Returns until when it can be restored.
    pub async fn delete(
        &self,
        change_id: ChangeId,
        actor: &Actor,
        reference: &OrgReference,
    ) -> Result<Reached<Option<Deletion>>, OrgError> {
        let Reached { what: org, by } = self.authorize::<OrgManage, Org>(actor, reference).await?;
        let what = self.migration.delete(change_id, &org, self.rules.delete_grace_days).await?;
        Ok(Reached { what, by })
    }

    /// Returns the organization of the admin with this email and password, deleted or not.
    pub async fn identify(&self, command: &RestoreOrg) -> Result<Org, OrgError> {
        let RestoreOrg { email, password, from, .. } = command;
        let (_admin, org) = self.auth.verify(email, password, *from, OrgState::is_known_to_admin).await?;
        Ok(org)
    }

    /// Restores an organization within its grace time. Its former tokens stay invalid.
    ///
    /// # Errors
    /// See [`OrgError`]; after all but [`ChangeError::Undecided`], nothing was changed.
    pub async fn restore(&self, change_id: ChangeId, org: &Org, command: &RestoreOrg) -> Result<Org, OrgError> {
        let new_name = &command.new_name;
        let deletion = org.restorable(self.clock.now()).ok_or_else(|| match org.state {
            OrgState::Restoring => ChangeError::Busy.into(),
            state if state.is_visible() => OrgError::NotDeleted,
            _ => OrgError::NotFound,
        })?;
        let to = match new_name {
            Some(name) => Title::of(name),
            None => Title::new(&deletion.name, deletion.slug.clone()),
        };
        self.check_name_free(ChangeKind::Restore, org.id, &to.slug, OrgError::NameTaken).await?;
        self.check_free(ChangeKind::Restore, org.id, &org.collection_name, &to).await?;
        self.migration.restore(change_id, org, to).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }
}
