//! Organizations, as their people see them: create, get, update, delete.

use bson::{DateTime, oid::ObjectId};

use super::migration::{ChangeError, MigrationService};
use super::passwords::{PasswordError, PasswordHasher};
use super::tokens::{AccessToken, TokenService};
use crate::clock::SharedClock;
use crate::domain::{
    Admin, Caller, Email, Invalid, NewPassword, Org, OrgName, OrgReference, OrgState, PasswordHash, Tenant,
};
use crate::repo::documents::{
    AdminDocument, ConnectionDocument, CredentialsChange, CredentialsDocument, NameDocument, OrgDocument,
};
use crate::repo::{RepoError, Repos};

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
}

/// What an update changes. Everything is optional.
#[derive(Debug, Clone, Default)]
pub struct UpdateOrg {
    /// The name that it gets.
    pub new_name: Option<OrgName>,
    /// The address that its admin gets.
    pub email: Option<Email>,
    /// The password that its admin gets.
    pub password: Option<NewPassword>,
}

/// What an update did.
#[derive(Debug, Clone)]
pub struct UpdatedOrg {
    /// The organization and its admin, as they are now.
    pub caller: Caller,
    /// A fresh token, when the password was changed and every older one is worthless.
    pub access_token: Option<AccessToken>,
}

/// Why a call did not give its answer.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    /// There is no such organization.
    #[error("the organization does not exist")]
    NotFound,
    /// The caller belongs to another organization.
    #[error("the caller belongs to another organization")]
    Forbidden,
    /// The name of a new organization is taken.
    #[error("the name is taken")]
    NameTaken,
    /// A change did not happen; in a rename [`ChangeError::NameTaken`] is about the new name.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The password of a new organization's admin breaks a rule.
    #[error("the password breaks a rule")]
    BadPassword(Invalid),
    /// There are as many organizations as this server may hold.
    #[error("the server holds as many organizations as it may")]
    CapacityReached,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Password(#[from] PasswordError),
    /// A token could not be signed.
    #[error("the token could not be issued")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The store failed.
    #[error("the store failed")]
    Repo(#[from] RepoError),
}

/// Serves organizations.
#[derive(Debug, Clone)]
pub struct OrgService {
    repos: Repos,
    migration: MigrationService,
    hasher: PasswordHasher,
    tokens: TokenService,
    clock: SharedClock,
    max_organizations: u64,
}

impl OrgService {
    /// Serves the organizations of these repositories, up to `max_organizations`.
    #[must_use]
    pub fn new(
        repos: Repos,
        migration: MigrationService,
        hasher: PasswordHasher,
        tokens: TokenService,
        clock: SharedClock,
        max_organizations: u64,
    ) -> Self {
        Self { repos, migration, hasher, tokens, clock, max_organizations }
    }

    /// Creates an organization with its admin.
    ///
    /// # Errors
    /// See [`OrgError`]; nothing is left behind.
    pub async fn create(&self, command: CreateOrg) -> Result<Org, OrgError> {
        let CreateOrg { name, email, password } = command;
        let slug = name.slug();
        // These looks spare bcrypt's work for what cannot succeed and order the errors; the indexes decide.
        if self.repos.orgs.is_name_taken(&slug).await? {
            return Err(OrgError::NameTaken);
        }
        let password = password.map_err(OrgError::BadPassword)?;
        if self.repos.admins.is_email_taken(&email, None).await? {
            return Err(ChangeError::EmailTaken.into());
        }
        // A protection of MongoDB's file handles, not an account: creates at the same moment may pass it together.
        if self.repos.orgs.count().await? >= self.max_organizations {
            return Err(OrgError::CapacityReached);
        }
        let hash = self.hasher.hash(&password).await?;
        let (org, admin) = self.new_documents(&name, &email, &hash);
        self.migration.create(org, admin).await.map_err(|error| match error {
            ChangeError::NameTaken => OrgError::NameTaken,
            other => other.into(),
        })
    }

    fn new_documents(&self, name: &OrgName, email: &Email, hash: &PasswordHash) -> (OrgDocument, AdminDocument) {
        let (id, admin_id) = (ObjectId::new(), ObjectId::new());
        let slug = name.slug();
        let now = DateTime::from_time_0_3(self.clock.now());
        let org = OrgDocument {
            id,
            organization_name: name.as_str().to_owned(),
            slug: slug.as_str().to_owned(),
            names: vec![slug.as_str().to_owned()],
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
            change: None,
            created_at: now,
            updated_at: now,
        };
        let admin = AdminDocument {
            id: admin_id,
            organization_id: id,
            credentials: CredentialsDocument {
                email: email.as_str().to_owned(),
                password_hash: hash.expose().to_owned(),
                // The original's passwords are version 0.
                credential_version: 1,
            },
            emails: vec![email.as_str().to_owned()],
            claimed_by: None,
            change_generation: 0,
            role: ADMIN_ROLE.to_owned(),
            created_at: now,
            updated_at: now,
        };
        (org, admin)
    }

    /// The organization of this name, in any spelling.
    ///
    /// # Errors
    /// [`OrgError::NotFound`], or the store failed.
    pub async fn get(&self, reference: &OrgReference) -> Result<Org, OrgError> {
        let org = self.repos.orgs.find_by_slug(reference.slug()).await?;
        org.filter(|org| org.state.is_visible()).ok_or(OrgError::NotFound)
    }

    /// Changes the caller's organization: its name, its admin's email and password, whole or not at all.
    ///
    /// # Errors
    /// See [`OrgError`]; but for [`ChangeError::Undecided`], nothing was changed.
    pub async fn update(
        &self,
        caller: Caller,
        reference: &OrgReference,
        update: UpdateOrg,
    ) -> Result<UpdatedOrg, OrgError> {
        self.authorize(&caller, reference).await?;
        let Caller { admin, org } = caller;
        let to = update.new_name.as_ref().map_or_else(|| NameDocument::from(&org), |name| name_after(&org, name));
        // As in `create`: cheap looks first, in the order of the original; the indexes decide.
        if to.slug != org.slug.as_str()
            && let Some(name) = &update.new_name
            && self.repos.orgs.is_name_taken(&name.slug()).await?
        {
            return Err(ChangeError::NameTaken.into());
        }
        let email = update.email.filter(|email| *email != admin.email);
        if let Some(email) = &email
            && self.repos.admins.is_email_taken(email, Some(admin.id)).await?
        {
            return Err(ChangeError::EmailTaken.into());
        }
        if to.collection_name != org.collection_name
            && (self.repos.tenants.find(&to.collection_name).await?.is_some()
                || self.repos.orgs.is_collection_owned(&to.collection_name, org.id).await?)
        {
            return Err(ChangeError::CollectionOccupied.into());
        }
        let new_hash = self.new_hash(&admin, update.password.as_ref()).await?;
        let is_new_password = new_hash.is_some();
        let changed = changed_admin(&admin, email, new_hash);
        let credentials = changed.as_ref().map(|changed| CredentialsChange {
            admin_id: admin.id.0,
            from_version: admin.credential_version,
            after: CredentialsDocument::from(changed),
        });
        if credentials.is_none() && to == NameDocument::from(&org) {
            return Ok(UpdatedOrg { caller: Caller { admin, org }, access_token: None });
        }
        let org = self.migration.rename(&org, to, credentials).await?;
        let admin = changed.unwrap_or(admin);
        let access_token = if is_new_password { Some(self.tokens.issue(&admin)?) } else { None };
        Ok(UpdatedOrg { caller: Caller { admin, org }, access_token })
    }

    /// Deletes the caller's organization with all that belongs to it.
    ///
    /// # Errors
    /// See [`OrgError`].
    pub async fn delete(&self, caller: &Caller, reference: &OrgReference) -> Result<(), OrgError> {
        self.authorize(caller, reference).await?;
        Ok(self.migration.delete(&caller.org).await?)
    }

    /// The data of the organization that a request names, if it is the caller's own.
    ///
    /// # Errors
    /// See [`OrgError`].
    pub async fn reach(&self, caller: &Caller, reference: &OrgReference) -> Result<Tenant, OrgError> {
        self.authorize(caller, reference).await?;
        // A caller's organization is a finished one, so it has its collection.
        Tenant::of(caller).ok_or(OrgError::NotFound)
    }

    /// Whether the caller may act on the organization that a request names: first whether it exists, then whose it is.
    async fn authorize(&self, caller: &Caller, reference: &OrgReference) -> Result<(), OrgError> {
        if caller.is_of(reference) {
            return Ok(());
        }
        let named = self.get(reference).await?;
        // It can be the caller's own all the same: renamed after the caller was recognized.
        if named.id == caller.org.id { Ok(()) } else { Err(OrgError::Forbidden) }
    }

    /// The hash of a password that differs from the present one; sending the present one again changes nothing.
    async fn new_hash(&self, admin: &Admin, password: Option<&NewPassword>) -> Result<Option<PasswordHash>, OrgError> {
        let Some(password) = password else { return Ok(None) };
        let is_present = self.hasher.verify(&password.as_attempt(), Some(&admin.password_hash), false).await?;
        if is_present { Ok(None) } else { Ok(Some(self.hasher.hash(password).await?)) }
    }
}

/// The admin with its new credentials; `None` when they stay.
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

/// What an organization is called after a rename. Another spelling of the same name keeps the collection, also where
/// the original called it otherwise than we would.
fn name_after(org: &Org, name: &OrgName) -> NameDocument {
    let slug = name.slug();
    let collection_name = if slug == org.slug { org.collection_name.clone() } else { slug.collection_name() };
    NameDocument { organization_name: name.as_str().to_owned(), slug: slug.as_str().to_owned(), collection_name }
}
