//! Changing an organization's name and its admin's credentials.

use super::{ByOldName, OrgError, OrgService};
use crate::domain::change::MAX_OLD_NAMES;
use crate::domain::permission::OrgManage;
use crate::domain::{
    Actor, Admin, ChangeId, ChangeKind, CredentialsChange, Email, NewPassword, Org, OrgName, OrgReference,
    PasswordHash, Title,
};
use crate::service::HashOwner;
use crate::service::migration::{ChangeError, Rename};
use crate::service::tokens::AccessToken;

/// The changes of an update. All are optional.
#[derive(Debug, Clone, Default)]
pub struct UpdateOrg {
    /// The organization's new name.
    pub new_name: Option<OrgName>,
    /// How many days the old name is kept.
    pub keep_old_name_days: u16,
    /// The admin's new email.
    pub email: Option<Email>,
    /// The admin's new password.
    pub password: Option<NewPassword>,
}

/// The result of an update.
#[derive(Debug, Clone)]
pub struct UpdatedOrg {
    /// The admin as it is now.
    pub admin: Admin,
    /// Its organization as it is now.
    pub org: Org,
    /// A fresh token when the password changed, which invalidates every older one.
    pub access_token: Option<AccessToken>,
    /// The change, unless there was nothing to change.
    pub change_id: Option<ChangeId>,
    /// The old name by which the request named the organization, if any.
    pub by: Option<ByOldName>,
}

impl OrgService {
    /// Changes the actor's organization: its name, its admin's email and password, all or nothing.
    ///
    /// # Errors
    /// See [`OrgError`]; after all but [`ChangeError::Undecided`], nothing was changed.
    pub async fn update(
        &self,
        change_id: ChangeId,
        actor: Actor,
        reference: &OrgReference,
        update: UpdateOrg,
    ) -> Result<UpdatedOrg, OrgError> {
        let by = self.authorize::<OrgManage, Org>(&actor, reference).await?.by;
        let Actor::Admin { admin, org } = actor;
        let to = update.new_name.as_ref().map_or_else(|| org.title(), |name| org.title_after(name));
        if to.slug != org.slug {
            // Whether a name is taken reveals whether such an organization exists.
            self.attempts.change_name(org.id)?;
        }
        self.check_name(&org, &to, &update).await?;
        let email = update.email.filter(|email| *email != admin.email);
        if let Some(email) = &email {
            self.attempts.change_email(org.id)?;
            if self.migration.is_email_taken(ChangeKind::Rename, email, Some(admin.id)).await? {
                return Err(ChangeError::EmailTaken.into());
            }
        }
        self.check_free(ChangeKind::Rename, org.id, &org.collection_name, &to).await?;
        let new_hash = self.new_hash(&admin, update.password.as_ref()).await?;
        let is_new_password = new_hash.is_some();
        let changed = changed_admin(&admin, email, new_hash);
        let credentials = changed.as_ref().map(|changed| CredentialsChange {
            admin_id: admin.id,
            from_version: admin.credential_version,
            after: changed.credentials(),
        });
        if credentials.is_none() && to == org.title() {
            // An interrupted rename is still to be finished, and would overrule this answer.
            if !org.state.is_at_rest() {
                return Err(ChangeError::Busy.into());
            }
            return Ok(UpdatedOrg { admin, org, access_token: None, change_id: None, by });
        }
        let rename = Rename { to, credentials, keep_old_name_days: update.keep_old_name_days };
        let renamed = self.migration.rename(change_id, &org, rename).await?;
        let admin = changed.unwrap_or(admin);
        // For the life in which the change was made, which may be over by now.
        let access_token = if is_new_password { Some(self.tokens.issue(&admin, &org)?) } else { None };
        Ok(UpdatedOrg { admin, org: renamed, access_token, change_id: Some(change_id), by })
    }

    /// Whether the organization can get this name, as far as names go.
    async fn check_name(&self, org: &Org, to: &Title, update: &UpdateOrg) -> Result<(), OrgError> {
        if to.slug == org.slug {
            return Ok(());
        }
        let now = self.clock.now();
        // An old name that it keeps is its own.
        if org.found_by(&to.slug, now).is_none() {
            self.check_name_free(ChangeKind::Rename, org.id, &to.slug, ChangeError::NameTaken.into()).await?;
        }
        if update.keep_old_name_days > 0 && org.live_old_names(now).count() >= MAX_OLD_NAMES {
            return Err(OrgError::TooManyOldNames);
        }
        Ok(())
    }

    /// The hash of a password that differs from the current one; sending the current one again changes nothing.
    async fn new_hash(&self, admin: &Admin, password: Option<&NewPassword>) -> Result<Option<PasswordHash>, OrgError> {
        let Some(password) = password else { return Ok(None) };
        // Counted per admin, whoever holds its token, and apart from logins: a stolen token allows no more guesses than
        // a stranger gets, and does not lock the admin out.
        self.attempts.check_password(admin.id)?;
        let (owner, attempt) = (HashOwner::Organization(admin.org_id), password.as_attempt());
        let is_present = self.hasher.verify(owner, &attempt, Some(&admin.password_hash), false).await?;
        if is_present { Ok(None) } else { Ok(Some(self.hasher.hash(owner, password).await?)) }
    }
}

/// The admin with its new credentials; `None` when they stay the same.
fn changed_admin(admin: &Admin, email: Option<Email>, hash: Option<PasswordHash>) -> Option<Admin> {
    if email.is_none() && hash.is_none() {
        return None;
    }
    let mut changed = admin.clone();
    if let Some(email) = email {
        changed.email = email;
    }
    if let Some(hash) = hash {
        changed.password_hash = hash;
        changed.credential_version += 1;
    }
    Some(changed)
}
