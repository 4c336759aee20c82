//! The calls on organizations: create, get, update, delete, restore; their names and their changes.

mod create;
mod delete;
mod error;
mod names;
mod old_name_uses;
mod outcome;
mod registration;
mod update;

use std::sync::Arc;

pub use create::CreateOrg;
pub use delete::RestoreOrg;
pub use error::OrgError;
pub use outcome::ChangeIds;
pub use registration::{NotAdmitted, Registrant, Registration};
pub use update::{UpdateOrg, UpdatedOrg};

use super::attempts::{Attempts, Seeker};
use super::auth::AuthService;
use super::migration::{ChangeError, MigrationService};
use super::passwords::PasswordHasher;
use super::storage::Storage;
use super::tokens::TokenService;
use crate::clock::SharedClock;
use crate::domain::permission::{Allowed, Permit, Reachable};
use crate::domain::{Actor, ChangeKind, FoundBy, Network, OldName, Org, OrgId, OrgReference, Slug, Title};
use crate::repo::Repos;

use old_name_uses::OldNameUses;

/// The operator's rules for organizations.
#[derive(Debug, Clone)]
pub struct OrgRules {
    /// The disk that must have room for another one.
    pub storage: Storage,
    /// The maximum number of organizations.
    pub max_organizations: u64,
    /// For how many days a deleted organization can be restored; never if absent.
    pub delete_grace_days: Option<u16>,
    /// Who may create one.
    pub registration: Registration,
}

/// Serves organizations.
#[derive(Debug, Clone)]
pub struct OrgService {
    repos: Repos,
    migration: MigrationService,
    auth: AuthService,
    hasher: PasswordHasher,
    tokens: TokenService,
    attempts: Arc<Attempts>,
    clock: SharedClock,
    rules: OrgRules,
    uses: Arc<OldNameUses>,
}

/// An old name by which a request found an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByOldName {
    /// The name that the request used.
    pub old: OldName,
    /// The organization's current name.
    pub current: String,
}

/// The target of a request, and the old name that the request used for it, if any.
#[derive(Debug, Clone)]
pub struct Reached<T> {
    /// The target.
    pub what: T,
    /// The old name, if one was used.
    pub by: Option<ByOldName>,
}

impl OrgService {
    /// Serves the organizations in these repositories.
    pub fn new(
        repos: Repos,
        migration: MigrationService,
        auth: AuthService,
        hasher: PasswordHasher,
        tokens: TokenService,
        clock: SharedClock,
        rules: OrgRules,
    ) -> Self {
        let attempts = auth.attempts();
        Self { repos, migration, auth, hasher, tokens, attempts, clock, rules, uses: Arc::default() }
    }

    /// The organization with this name in any spelling, be it the current name or an old one it keeps. Its own admin
    /// always finds it; for others, the number of failed lookups is limited.
    pub async fn get(
        &self,
        reference: &OrgReference,
        actor: Option<&Actor>,
        from: Network,
    ) -> Result<Reached<Org>, OrgError> {
        let now = self.clock.now();
        match actor.filter(|actor| actor.org().found_by(reference.slug(), now).is_some()) {
            Some(_own_admin) => self.find(reference).await,
            None => self.seek(Seeker::Visitor(from), reference).await,
        }
    }

    /// Looks up an organization other than the seeker's own.
    async fn seek(&self, seeker: Seeker, reference: &OrgReference) -> Result<Reached<Org>, OrgError> {
        self.attempts.may_seek(seeker)?;
        let found = self.find(reference).await;
        if matches!(found, Err(OrgError::NotFound)) {
            self.attempts.found_nothing(seeker);
        }
        found
    }

    async fn find(&self, reference: &OrgReference) -> Result<Reached<Org>, OrgError> {
        let found = self.repos.orgs.find_by_name(reference.slug()).await?;
        let org = found.filter(|org| org.state.is_visible()).ok_or(OrgError::NotFound)?;
        let by = self.found_by(&org, reference)?;
        Ok(Reached { what: org, by })
    }

    /// Checks that the organization a request names exists, then whose it is, then the permission.
    pub async fn authorize<P: Permit, W: Reachable>(
        &self,
        actor: &Actor,
        reference: &OrgReference,
    ) -> Result<Reached<Allowed<P, W>>, OrgError> {
        let by = self.own(actor.org(), reference).await?;
        // A live organization always has its collection.
        let refused = if actor.may(P::PERMISSION) { OrgError::NotFound } else { OrgError::Forbidden };
        Ok(Reached { what: Allowed::of(actor).ok_or(refused)?, by })
    }

    /// Whether a request names this organization, the actor's.
    async fn own(&self, org: &Org, reference: &OrgReference) -> Result<Option<ByOldName>, OrgError> {
        if let Ok(by) = self.found_by(org, reference) {
            return Ok(by);
        }
        let named = self.seek(Seeker::Organization(org.id), reference).await?;
        // It can still be the actor's own, if renamed after the actor was recognized.
        if named.what.id == org.id { Ok(named.by) } else { Err(OrgError::Forbidden) }
    }

    /// The old name by which a request names this organization, if any. Counts uses of old names.
    fn found_by(&self, org: &Org, reference: &OrgReference) -> Result<Option<ByOldName>, OrgError> {
        let now = self.clock.now();
        Ok(match org.found_by(reference.slug(), now).ok_or(OrgError::NotFound)? {
            FoundBy::Name => None,
            FoundBy::OldName(old) => {
                self.uses.note(org.id, &old.slug, now);
                Some(ByOldName { old: old.clone(), current: org.name.clone() })
            }
        })
    }

    /// Checks that an organization can get a name it does not answer to: `taken` when another one has it, busy when it
    /// is its own and still cooling down.
    async fn check_name_free(&self, kind: ChangeKind, id: OrgId, slug: &Slug, taken: OrgError) -> Result<(), OrgError> {
        if !self.migration.is_name_taken(kind, slug).await? {
            return Ok(());
        }
        let holder = self.repos.orgs.find_by_name(slug).await?;
        let is_own = holder.is_some_and(|holder| holder.id == id);
        Err(if is_own { ChangeError::Busy.into() } else { taken })
    }

    /// Checks cheaply, in the original's order, that a collection can move there; the indexes and the catalog decide.
    async fn check_free(&self, kind: ChangeKind, org_id: OrgId, from: &str, to: &Title) -> Result<(), OrgError> {
        if to.collection_name == from {
            return Ok(());
        }
        let is_occupied = self.migration.is_occupied(kind, &to.collection_name).await?
            || self.repos.orgs.is_collection_owned(&to.collection_name, org_id).await?;
        if is_occupied { Err(ChangeError::CollectionOccupied.into()) } else { Ok(()) }
    }
}
