//! Creating an organization.

use bson::DateTime;

use super::{ChangeIds, OrgError, OrgService, Registrant};
use crate::domain::{ChangeKind, Email, Invalid, NewPassword, Org, OrgId, OrgName, OrgState, PasswordHash, new_id};
use crate::repo::documents::{AdminDocument, ConnectionDocument, OrgDocument};
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
        let hash = self.hasher.hash(by.hash_owner(), &password).await?;
        let (org, admin) = self.new_documents(ids.org, &name, &email, &hash);
        self.migration.create(ids.change, org, admin).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }

    fn new_documents(
        &self,
        OrgId(id): OrgId,
        name: &OrgName,
        email: &Email,
        hash: &PasswordHash,
    ) -> (OrgDocument, AdminDocument) {
        let admin_id = new_id();
        let slug = name.slug();
        let now = DateTime::from_time_0_3(self.clock.now());
        let org = OrgDocument {
            id,
            organization_name: name.as_str().to_owned(),
            slug: slug.as_str().to_owned(),
            names: vec![slug.as_str().to_owned()],
            name_since: None,
            old_names: Vec::new(),
            cooling: Vec::new(),
            collection_name: slug.collection_name(),
            collection_uuid: None,
            connection: ConnectionDocument {
                db_name: self.repos.database_name().to_owned(),
                collection_name: slug.collection_name(),
                extra: bson::Document::new(),
            },
            admin_user_id: Some(admin_id),
            state: OrgState::Provisioning,
            generation: 0,
            token_epoch: 0,
            change: None,
            deletion: None,
            created_at: now,
            updated_at: now,
        };
        let admin = AdminDocument {
            id: admin_id,
            organization_id: id,
            email: email.as_str().to_owned(),
            password_hash: hash.expose().to_owned(),
            // The original's passwords are version 0.
            credential_version: 1,
            emails: vec![email.as_str().to_owned()],
            claimed_by: None,
            claim_fence: None,
            committed_by: None,
            change_generation: 0,
            role: ADMIN_ROLE.to_owned(),
            created_at: now,
            updated_at: now,
        };
        (org, admin)
    }
}
