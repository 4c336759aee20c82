//! Takes over databases of the Python original. Fills in what it did not store (slug, claimed names, state, collection
//! UUID, credential version), and changes nothing if records contradict each other.
//!
//! Runs at every start, before the unique indexes are created, and does nothing once all is filled in. Safe to repeat,
//! and on several servers at once: one conditional update per document sets only what is missing.

mod collisions;
mod plan;

use bson::{Document, doc, oid::ObjectId};
use mongodb::Collection;
use tracing::warn;

use super::error::{RepoError, bson_uuid};
use super::records::{ADMINS, ORGANIZATIONS, id_text};
use super::tenants::{CollectionInfo, TenantRepo};
use super::{Database, all, exists};
use crate::domain::{OrgId, OwnerTag};
use plan::{AdminPlan, OrgPlan};

/// Why a database was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// MongoDB could not be reached.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Records contradict each other or cannot be read; nothing was changed. Each line names one case and its remedy.
    #[error("the database cannot be taken over as it is; nothing was changed:\n{}", .0.join("\n"))]
    Conflicts(Vec<String>),
}

/// What must be filled in.
#[derive(Debug, Default)]
pub struct Takeover {
    orgs: Vec<OrgPlan>,
    admins: Vec<AdminPlan>,
}

impl Takeover {
    /// How many organizations and admins are incomplete.
    pub fn counts(&self) -> (usize, usize) {
        (self.orgs.len(), self.admins.len())
    }
}

/// Incomplete organizations. `state` was the first field that this program added, `names` the last.
fn incomplete_org() -> Document {
    doc! { "$or": [{ "names": { "$exists": false } }, { "state": { "$exists": false } }] }
}

/// Incomplete admins.
fn incomplete_admin() -> Document {
    doc! { "$or": [{ "credential_version": { "$exists": false } }, { "emails": { "$exists": false } }] }
}

/// Finds what must be filled in; changes nothing.
///
/// # Errors
/// [`TakeoverError::Conflicts`] with everything that stands in the way.
pub async fn plan(database: &Database) -> Result<Takeover, TakeoverError> {
    let orgs: Collection<Document> = database.collection(ORGANIZATIONS);
    let admins: Collection<Document> = database.collection(ADMINS);
    if !exists(&orgs, incomplete_org()).await? && !exists(&admins, incomplete_admin()).await? {
        return Ok(Takeover::default());
    }
    let (stored_orgs, stored_admins) = (load(&orgs, doc! {}).await?, load(&admins, doc! {}).await?);
    let catalog = TenantRepo::new(database).catalog().await?;
    let mut conflicts = Vec::new();
    let planned = Takeover {
        orgs: plan::orgs(&stored_orgs, &stored_admins, database.name(), &catalog, &mut conflicts),
        admins: plan::admins(&stored_admins, &stored_orgs, &mut conflicts),
    };
    // The hashes themselves are not loaded; nothing here needs them.
    for admin in load(&admins, doc! { "password_hash": { "$not": { "$type": "string" } } }).await? {
        let id = admin.get("_id").map(id_text).unwrap_or_default();
        conflicts.push(format!("admin {id}: it has no password_hash; set a bcrypt hash, or remove the admin"));
    }
    find_twins(database, &planned.orgs, &mut conflicts).await?;
    collisions::find(&stored_orgs, &stored_admins, &mut conflicts);
    if conflicts.is_empty() { Ok(planned) } else { Err(TakeoverError::Conflicts(conflicts)) }
}

/// Finds organizations whose collection exists both here and in the other database they name: only a person can tell
/// which one holds the data. A database that this user may not read counts as empty.
async fn find_twins(database: &Database, orgs: &[OrgPlan], conflicts: &mut Vec<String>) -> Result<(), RepoError> {
    for OrgPlan { id, collection_name, elsewhere, .. } in orgs {
        let Some(elsewhere) = elsewhere else { continue };
        let other = TenantRepo::new(&database.client().database(elsewhere));
        match other.find(collection_name).await {
            Ok(None) | Err(RepoError::Unauthorized { .. }) => {}
            Ok(Some(_)) => conflicts.push(format!(
                "organization {id} (db.{ORGANIZATIONS}): its collection {collection_name:?} is in the database {elsewhere:?}, \
                 which its connection.db_name names, and in {:?} as well; rename or remove the one that is not its own",
                database.name()
            )),
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// Fills in what the original did not store. Returns how many organizations and admins this call completed.
///
/// # Errors
/// [`TakeoverError::Conflicts`] with everything that stands in the way, found before anything is changed.
pub async fn take_over(database: &Database) -> Result<(usize, usize), TakeoverError> {
    let planned = plan(database).await?;
    let orgs: Collection<Document> = database.collection(ORGANIZATIONS);
    let admins: Collection<Document> = database.collection(ADMINS);
    let tenants = TenantRepo::new(database);
    let (mut orgs_done, mut admins_done) = (0, 0);
    for OrgPlan { id, collection_name, mut set, .. } in planned.orgs {
        let mut still_incomplete = incomplete_org();
        still_incomplete.insert("_id", id);
        // Another server may have completed it, and a client renamed it, since: then the old name is no longer its own.
        if !exists(&orgs, still_incomplete).await? {
            continue;
        }
        let collection = claim_collection(&tenants, id, &collection_name).await?;
        set.insert("collection_uuid", bson_uuid(collection.collection.uuid));
        orgs_done += usize::from(complete(&orgs, id, incomplete_org(), set).await?);
    }
    for AdminPlan { id, set } in planned.admins {
        admins_done += usize::from(complete(&admins, id, incomplete_admin(), set).await?);
    }
    Ok((orgs_done, admins_done))
}

/// Completes one document; `false` when another server already did.
async fn complete(
    collection: &Collection<Document>,
    id: ObjectId,
    incomplete: Document,
    set: Document,
) -> Result<bool, RepoError> {
    let mut filter = incomplete;
    filter.insert("_id", id);
    Ok(collection.update_one(filter, doc! { "$set": set }).await?.modified_count == 1)
}

/// Returns the organization's collection with its owner's tag, creating it if missing.
async fn claim_collection(tenants: &TenantRepo, id: ObjectId, name: &str) -> Result<CollectionInfo, RepoError> {
    let owner = OwnerTag(OrgId(id));
    let found = if let Some(found) = tenants.find(name).await? {
        found
    } else {
        // The original let MongoDB create a collection with its first document; this one never had any.
        match tenants.create(name, owner).await {
            Ok(()) | Err(RepoError::NamespaceExists) => {}
            Err(other) => return Err(other),
        }
        tenants.find(name).await?.ok_or(RepoError::NamespaceNotFound)?
    };
    if found.owner.is_none() {
        match tenants.tag(&found.collection, owner).await {
            Ok(()) => {}
            // The role that the original's instructions gave its user cannot set a validator. Commands go by the UUID;
            // the tag only identifies a stray collection's owner.
            Err(error @ RepoError::Unauthorized { .. }) => {
                warn!(organization_id = %id, %error, "cannot tag a collection with its owner");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

async fn load(collection: &Collection<Document>, query: Document) -> Result<Vec<Document>, RepoError> {
    all(collection.find(query).projection(doc! { "password_hash": 0 })).await
}
