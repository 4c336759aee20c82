//! Creating an organization.

use super::{ChangeIds, OrgError, OrgService, Registrant};
use crate::domain::{Admin, AdminId, ChangeKind, Email, Invalid, NewPassword, Org, OrgName, Title};
use crate::service::migration::ChangeError;

/// The role of a new organization's admin.
const ADMIN_ROLE: &str = "admin";

/// The parts of a new organization.
#[derive(Debug, Clone)]
pub struct CreateOrg {
    /// Its name.
    pub name: OrgName,
    /// Its admin's address.
    pub email: Email,
    /// Its admin's password, or why it is invalid: like the original, we report a taken name before a bad password.
    pub password: Result<NewPassword, Invalid>,
    /// Who creates it.
    pub by: Registrant,
}

impl OrgService {
    /// Creates an organization with its admin.
    pub async fn create(&self, ids: ChangeIds, command: CreateOrg) -> Result<Org, OrgError> {
        let CreateOrg { name, email, password, by } = command;
        let slug = name.slug();
        // These lookups spare bcrypt pointless work and order the errors; the indexes decide.
        if self.migration.is_name_taken(ChangeKind::Create, &slug).await? {
            return Err(OrgError::NameTaken);
        }
        let password = password.map_err(OrgError::BadPassword)?;
        if self.migration.is_email_taken(ChangeKind::Create, &email, None).await? {
            return Err(ChangeError::EmailTaken.into());
        }
        // The records themselves are negligible; the data comes later.
        self.rules.storage.let_begin()?;
        // Protects MongoDB's file handles; not an exact quota: simultaneous creations may overshoot it together.
        if self.repos.orgs.count().await? >= self.rules.max_organizations {
            return Err(OrgError::CapacityReached);
        }
        let password_hash = self.hasher.hash(by.hash_owner(), &password).await?;
        let (id, org_id, role) = (AdminId::generate(), ids.org, ADMIN_ROLE.to_owned());
        // The original's passwords have version 0.
        let admin = Admin { id, org_id, email, password_hash, role, credential_version: 1 };
        let org = Org::provisional(org_id, Title::of(&name), self.repos.database_name(), id, self.clock.now());
        self.migration.create(ids.change, org, admin).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }
}
