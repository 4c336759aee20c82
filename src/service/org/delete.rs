//! Deleting an organization, and bringing it back.

use super::{OrgError, OrgService, Reached};
use crate::domain::permission::OrgManage;
use crate::domain::{
    Actor, ChangeId, ChangeKind, Deletion, EmailQuery, Network, Org, OrgName, OrgReference, OrgState, PasswordAttempt,
    Slug,
};
use crate::repo::documents::NameDocument;
use crate::service::migration::ChangeError;

/// Who wants an organization back, and under which name.
#[derive(Debug)]
pub struct RestoreOrg {
    /// Its admin's address.
    pub email: EmailQuery,
    /// Its admin's password.
    pub password: PasswordAttempt,
    /// Where the request comes from.
    pub from: Network,
    /// The name that it gets; the one that it had, when absent.
    pub new_name: Option<OrgName>,
}

impl OrgService {
    /// Deletes the actor's organization with all that belongs to it; gives until when it can be brought back.
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

    /// The organization of whoever wants it back: its admin, by email and password, whether it is deleted or not.
    ///
    /// # Errors
    /// [`OrgError::Auth`], or the store failed.
    pub async fn identify(&self, command: &RestoreOrg) -> Result<Org, OrgError> {
        let RestoreOrg { email, password, from, .. } = command;
        let (_admin, org) = self.auth.verify(email, password, *from, is_known).await?;
        Ok(org)
    }

    /// Brings back an organization that was deleted not too long ago. Tokens of its former life stay dead.
    ///
    /// # Errors
    /// See [`OrgError`]; but for [`ChangeError::Undecided`], nothing was changed.
    pub async fn restore(&self, change_id: ChangeId, org: &Org, command: &RestoreOrg) -> Result<Org, OrgError> {
        let new_name = &command.new_name;
        let deletion = match (org.state, &org.deletion) {
            (OrgState::Deleted, Some(deletion)) if deletion.until > self.clock.now() => deletion,
            (OrgState::Restoring, _) => return Err(ChangeError::Busy.into()),
            (OrgState::Active | OrgState::Renaming, _) => return Err(OrgError::NotDeleted),
            (OrgState::Deleted | OrgState::Provisioning | OrgState::Deleting, _) => return Err(OrgError::NotFound),
        };
        let to = match new_name {
            Some(name) => named(name.as_str(), &name.slug()),
            None => named(&deletion.name, &deletion.slug),
        };
        let slug = Slug::from_stored(&to.slug);
        self.check_name_free(ChangeKind::Restore, org.id, &slug, OrgError::NameTaken).await?;
        self.check_free(ChangeKind::Restore, org.id, &org.collection_name, &to).await?;
        self.migration.restore(change_id, org, to).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }
}

/// Whether somebody can be told of an organization whose admin it is.
fn is_known(state: OrgState) -> bool {
    match state {
        OrgState::Active | OrgState::Renaming | OrgState::Deleted | OrgState::Restoring => true,
        OrgState::Provisioning | OrgState::Deleting => false,
    }
}

fn named(name: &str, slug: &Slug) -> NameDocument {
    NameDocument {
        organization_name: name.to_owned(),
        slug: slug.as_str().to_owned(),
        collection_name: slug.collection_name(),
    }
}
