//! Deleting an organization, and bringing it back.

use std::net::IpAddr;

use super::{OrgError, OrgService, Reached};
use crate::domain::{
    Caller, ChangeId, ChangeKind, Deletion, EmailQuery, Org, OrgName, OrgReference, OrgState, PasswordAttempt, Slug,
};
use crate::repo::documents::{CredentialsChange, CredentialsDocument, NameDocument};
use crate::service::migration::ChangeError;

/// Who wants an organization back, and under which name.
#[derive(Debug)]
pub struct RestoreOrg {
    /// Its admin's address.
    pub email: EmailQuery,
    /// Its admin's password.
    pub password: PasswordAttempt,
    /// Where the request comes from.
    pub address: IpAddr,
    /// The name that it gets; the one that it had, when absent.
    pub new_name: Option<OrgName>,
}

impl OrgService {
    /// Deletes the caller's organization with all that belongs to it; gives until when it can be brought back.
    ///
    /// # Errors
    /// See [`OrgError`].
    pub async fn delete(
        &self,
        change_id: ChangeId,
        caller: &Caller,
        reference: &OrgReference,
    ) -> Result<Reached<Option<Deletion>>, OrgError> {
        let by = self.authorize(caller, reference).await?;
        let what = self.migration.delete(change_id, &caller.org, self.rules.delete_grace_days).await?;
        Ok(Reached { what, by })
    }

    /// Who wants an organization back: its admin, by email and password, whether it is deleted or not.
    ///
    /// # Errors
    /// [`OrgError::Auth`], or the store failed.
    pub async fn identify(&self, command: &RestoreOrg) -> Result<Caller, OrgError> {
        let RestoreOrg { email, password, address, .. } = command;
        let (admin, org) = self.auth.verify(email, password, *address, is_known).await?;
        Ok(Caller { admin, org })
    }

    /// Brings back an organization that was deleted not too long ago. Tokens of its former life stay dead.
    ///
    /// # Errors
    /// See [`OrgError`]; but for [`ChangeError::Undecided`], nothing was changed.
    pub async fn restore(&self, change_id: ChangeId, caller: &Caller, command: &RestoreOrg) -> Result<Org, OrgError> {
        let Caller { admin, org } = caller;
        let RestoreOrg { password, new_name, .. } = command;
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
        if self.migration.is_name_taken(ChangeKind::Restore, &slug).await? {
            return Err(self.taken_by(org, &slug).await?);
        }
        self.check_free(ChangeKind::Restore, org.id, &org.collection_name, &to).await?;
        // The same credentials of another version, which ends the tokens of the older one. But a password that the original
        // cut is only good for the version that it was set for.
        let is_cut = password.is_cut();
        let credentials = (!is_cut).then(|| CredentialsChange {
            admin_id: admin.id.0,
            from_version: admin.credential_version,
            after: CredentialsDocument { credential_version: admin.credential_version + 1, ..admin.into() },
        });
        self.migration.restore(change_id, org, to, credentials).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }

    /// Whether a name is taken by somebody else, or is the organization's own that still cools down.
    async fn taken_by(&self, org: &Org, slug: &Slug) -> Result<OrgError, OrgError> {
        let holder = self.repos.orgs.find_by_name(slug).await?;
        let is_own = holder.is_some_and(|holder| holder.id == org.id);
        Ok(if is_own { ChangeError::Busy.into() } else { OrgError::NameTaken })
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
