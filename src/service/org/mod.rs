//! Organizations, as their people see them: create, get, update, delete, restore; their names and their changes.

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

/// What an operator decided about organizations.
#[derive(Debug, Clone)]
pub struct OrgRules {
    /// Where there must be room for another one.
    pub storage: Storage,
    /// How many organizations there may be.
    pub max_organizations: u64,
    /// For how many days a deleted organization can be brought back; not at all when absent.
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

/// A name by which a request found an organization that is called otherwise now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByOldName {
    /// The name that the request used.
    pub old: OldName,
    /// What the organization is called.
    pub current: String,
}

/// What a request names, and whether it named it by an old name.
#[derive(Debug, Clone)]
pub struct Reached<T> {
    /// What was named.
    pub what: T,
    /// The old name, if it was one.
    pub by: Option<ByOldName>,
}

impl OrgService {
    /// Serves the organizations of these repositories.
    #[must_use]
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

    /// The organization of this name, in any spelling: one that it has, or one that it had and keeps. Its own admin finds it
    /// in any case; how often others are told that there is none of a name is limited.
    ///
    /// # Errors
    /// [`OrgError::NotFound`], [`OrgError::TooMany`], or the store failed.
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

    /// Looks for an organization that is not the seeker's own.
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

    /// What somebody may reach of the organization that a request names: first whether it exists, then whose it is, then what
    /// may be done with it.
    pub async fn authorize<P: Permit, W: Reachable>(
        &self,
        actor: &Actor,
        reference: &OrgReference,
    ) -> Result<Reached<Allowed<P, W>>, OrgError> {
        let by = self.own(actor.org(), reference).await?;
        // A live organization has its collection.
        let refused = if actor.may(P::PERMISSION) { OrgError::NotFound } else { OrgError::Forbidden };
        Ok(Reached { what: Allowed::of(actor).ok_or(refused)?, by })
    }

    /// Whether a request names this organization, which is the actor's.
    async fn own(&self, org: &Org, reference: &OrgReference) -> Result<Option<ByOldName>, OrgError> {
        if let Ok(by) = self.found_by(org, reference) {
            return Ok(by);
        }
        let named = self.seek(Seeker::Organization(org.id), reference).await?;
        // It can be the actor's own anyway: renamed after the actor was recognized.
        if named.what.id == org.id { Ok(named.by) } else { Err(OrgError::Forbidden) }
    }

    /// By which old name a request names this organization, if it is one. Counts the uses of old names.
    ///
    /// # Errors
    /// [`OrgError::NotFound`]: it names another, or none.
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

    /// Whether an organization could get this name now, which it does not answer to: `taken` when another has it, busy when
    /// it is its own that still cools down.
    async fn check_name_free(&self, kind: ChangeKind, id: OrgId, slug: &Slug, taken: OrgError) -> Result<(), OrgError> {
        if !self.migration.is_name_taken(kind, slug).await? {
            return Ok(());
        }
        let holder = self.repos.orgs.find_by_name(slug).await?;
        let is_own = holder.is_some_and(|holder| holder.id == id);
        Err(if is_own { ChangeError::Busy.into() } else { taken })
    }

    /// Whether an organization could have its collection there now. A cheap look, in the order in which the original answers; the
    /// indexes and the catalog decide.
    async fn check_free(&self, kind: ChangeKind, org_id: OrgId, from: &str, to: &Title) -> Result<(), OrgError> {
        if to.collection_name == from {
            return Ok(());
        }
        let is_occupied = self.migration.is_occupied(kind, &to.collection_name).await?
            || self.repos.orgs.is_collection_owned(&to.collection_name, org_id).await?;
        if is_occupied { Err(ChangeError::CollectionOccupied.into()) } else { Ok(()) }
    }
}
