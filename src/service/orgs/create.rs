//! Creating an organization.

use super::{ChangeIds, OrgError, OrgService, Registrant};
use crate::domain::{Admin, AdminId, ChangeKind, Email, Invalid, NewPassword, Org, OrgName, Title};
use crate::service::migration::ChangeError;

/// The role of the admin that comes with an organization.
const ADMIN_ROLE: &str = "admin";

/// What a new organization is made of.
#[derive(Debug, Clone)]
pub struct CreateOrg {
    /// Its name.
    pub name: OrgName,
    /// Its admin's address.
    pub email: Email,
    /// Its admin's password, or why it cannot be one: a taken name is reported before a bad password, in the order
    /// in which the original checked them.
    pub password: Result<NewPassword, Invalid>,
    /// Who creates it.
    pub by: Registrant,
}

impl OrgService {
    /// Creates an organization with its admin.
    ///
    /// # Errors
    /// See [`OrgError`]; nothing is left behind.
    pub async fn create(&self, ids: ChangeIds, command: CreateOrg) -> Result<Org, OrgError> {
        let CreateOrg { name, email, password, by } = command;
        let slug = name.slug();
        // These looks spare bcrypt's work for what cannot succeed and order the errors; the indexes decide.
        if self.migration.is_name_taken(ChangeKind::Create, &slug).await? {
            return Err(OrgError::NameTaken);
        }
        let password = password.map_err(OrgError::BadPassword)?;
        if self.migration.is_email_taken(ChangeKind::Create, &email, None).await? {
            return Err(ChangeError::EmailTaken.into());
        }
        // Its records count for nothing; what it will add comes later.
        self.rules.storage.let_begin()?;
        // A protection of MongoDB's file handles, not an account: creates at the same moment may pass it together.
        if self.repos.orgs.count().await? >= self.rules.max_organizations {
            return Err(OrgError::CapacityReached);
        }
        let password_hash = self.hasher.hash(by.hash_owner(), &password).await?;
        let (id, org_id, role) = (AdminId::generate(), ids.org, ADMIN_ROLE.to_owned());
        // The original's passwords are version 0.
        let admin = Admin { id, org_id, email, password_hash, role, credential_version: 1 };
        let org = Org::provisional(org_id, Title::of(&name), self.repos.database_name(), id, self.clock.now());
        self.migration.create(ids.change, org, admin).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }
}
