//! Takes over a database of the Python original: fills in what it did not keep (slug, claimed names, state,
//! collection UUID, credential version), and changes nothing where two of its records contradict each other.
//!
//! Runs at every start, before the unique indexes are made, and does nothing when all is filled in. Safe to repeat
//! and to run on several servers at once: each document is filled in by one conditional update.

use std::collections::BTreeMap;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::Collection;
use time::PrimitiveDateTime;
use time::format_description::well_known::{Iso8601, Rfc3339};
use tracing::warn;

use super::Database;
use super::documents::{ADMINS, ORGANIZATIONS, id_text};
use super::error::{RepoError, bson_uuid};
use super::tenants::TenantRepo;
use crate::domain::{Email, OrgId, OwnerTag, Slug};

/// Why a database was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// MongoDB could not be asked.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// Records contradict each other; nothing was changed. Each line says which, and the way out.
    #[error("the database cannot be taken over as it is; nothing was changed:\n{}", .0.join("\n"))]
    Conflicts(Vec<String>),
}

/// What was filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takeover {
    /// Organizations that got their missing fields.
    pub organizations: usize,
    /// Admins that got their missing fields.
    pub admins: usize,
}

/// What one organization of the original lacks.
struct OrgPlan {
    id: ObjectId,
    collection_name: String,
    set: Document,
}

/// Fills in what the original did not keep.
///
/// # Errors
/// [`TakeoverError::Conflicts`] with everything that stands in the way, found before anything is changed.
pub async fn take_over(database: &Database) -> Result<Takeover, TakeoverError> {
    let orgs: Collection<Document> = database.collection(ORGANIZATIONS);
    let admins: Collection<Document> = database.collection(ADMINS);
    let lacks_marks = doc! { "$or": [{ "names": { "$exists": false } }, { "state": { "$exists": false } }] };
    let lacks_version = doc! { "credential_version": { "$exists": false } };
    let is_complete = orgs.find_one(lacks_marks).await.map_err(RepoError::from)?.is_none()
        && admins.find_one(lacks_version).await.map_err(RepoError::from)?.is_none();
    if is_complete {
        return Ok(Takeover::default());
    }

    let stored_orgs = load(&orgs).await?;
    let stored_admins = load(&admins).await?;
    let tenants = TenantRepo::new(database);
    let mut conflicts = Vec::new();
    let org_plans = plan_orgs(&stored_orgs, &stored_admins, database.name(), &mut conflicts);
    let admin_plans = plan_admins(&stored_admins, &stored_orgs, &mut conflicts);
    for (plan, foreign) in &org_plans {
        if let Some(foreign) = foreign
            && tenants.find(&plan.collection_name).await?.is_none()
        {
            conflicts.push(format!(
                "organization {}: its data is in the database {foreign:?}, not in {:?}; \
                 move the collection {:?} here, or set connection.db_name",
                plan.id,
                database.name(),
                plan.collection_name
            ));
        }
    }
    find_collisions(&stored_orgs, &stored_admins, &mut conflicts);
    if !conflicts.is_empty() {
        return Err(TakeoverError::Conflicts(conflicts));
    }

    let mut done = Takeover::default();
    for (plan, _) in org_plans {
        done.organizations += usize::from(fill_in_org(&orgs, &tenants, plan).await?);
    }
    for (id, set) in admin_plans {
        let filter = doc! { "_id": id, "credential_version": { "$exists": false } };
        let result = admins.update_one(filter, doc! { "$set": set }).await.map_err(RepoError::from)?;
        done.admins += usize::from(result.modified_count == 1);
    }
    Ok(done)
}

async fn load(collection: &Collection<Document>) -> Result<Vec<Document>, RepoError> {
    let mut cursor = collection.find(doc! {}).projection(doc! { "password_hash": 0 }).await?;
    let mut documents = Vec::new();
    while cursor.advance().await? {
        documents.push(cursor.deserialize_current()?);
    }
    Ok(documents)
}

/// What each organization lacks, with the foreign database that it names, if any.
fn plan_orgs(
    orgs: &[Document],
    admins: &[Document],
    database: &str,
    conflicts: &mut Vec<String>,
) -> Vec<(OrgPlan, Option<String>)> {
    let mut plans = Vec::new();
    for org in orgs.iter().filter(|org| !org.contains_key("names") || !org.contains_key("state")) {
        let id_name = org.get("_id").map(id_text).unwrap_or_default();
        let (Ok(id), Ok(name)) = (org.get_object_id("_id"), org.get_str("organization_name")) else {
            conflicts.push(format!(
                "organization {id_name}: its _id is not an ObjectId or its organization_name is not a text; \
                 set them, or move the document out of the collection {ORGANIZATIONS:?}"
            ));
            continue;
        };
        let slug = Slug::of(name);
        let connection = org.get_document("connection").cloned().unwrap_or_default();
        let collection_name = collection_name_of(org, &slug);
        let foreign = connection.get_str("db_name").ok().filter(|stored| *stored != database).map(ToOwned::to_owned);
        let created_at = stored_time(org, "created_at").unwrap_or_else(|| id.timestamp());
        let set = doc! {
            "slug": slug.as_str(),
            "names": [slug.as_str()],
            "collection_name": &collection_name,
            "connection": {
                "db_name": database,
                "collection_name": &collection_name,
                "extra": connection.get_document("extra").cloned().unwrap_or_default(),
            },
            "admin_user_id": admin_of(id, org, admins),
            "state": "active",
            "generation": 0_i64,
            "created_at": created_at,
            "updated_at": stored_time(org, "updated_at").unwrap_or(created_at),
        };
        plans.push((OrgPlan { id, collection_name, set }, foreign));
    }
    plans
}

fn collection_name_of(org: &Document, slug: &Slug) -> String {
    let nested = org.get_document("connection").ok().and_then(|connection| connection.get_str("collection_name").ok());
    org.get_str("collection_name").ok().or(nested).map_or_else(|| slug.collection_name(), ToOwned::to_owned)
}

fn plan_admins(admins: &[Document], orgs: &[Document], conflicts: &mut Vec<String>) -> Vec<(ObjectId, Document)> {
    let mut plans = Vec::new();
    for admin in admins.iter().filter(|admin| !admin.contains_key("credential_version")) {
        let id_name = admin.get("_id").map(id_text).unwrap_or_default();
        let (Ok(id), Ok(email)) = (admin.get_object_id("_id"), admin.get_str("email")) else {
            conflicts.push(format!(
                "admin {id_name}: its _id is not an ObjectId or its email is not a text; \
                 set them, or move the document out of the collection {ADMINS:?}"
            ));
            continue;
        };
        let created_at = stored_time(admin, "created_at").unwrap_or_else(|| id.timestamp());
        let mut set = doc! {
            "email": Email::from_stored(email).as_str(),
            "role": admin.get_str("role").unwrap_or("admin"),
            "credential_version": 0_i64,
            "created_at": created_at,
            "updated_at": stored_time(admin, "updated_at").unwrap_or(created_at),
        };
        // An admin that belongs to no organization stays as it is; it cannot log in.
        if let Some(org) = org_of(id, admin, orgs) {
            set.insert("organization_id", org);
        }
        plans.push((id, set));
    }
    plans
}

/// Every pair that the unique indexes would refuse.
fn find_collisions(orgs: &[Document], admins: &[Document], conflicts: &mut Vec<String>) {
    let mut by_slug: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut by_collection: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut by_email: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let id_of = |document: &Document| document.get("_id").map(id_text).unwrap_or_default();
    for org in orgs {
        let Ok(name) = org.get_str("organization_name") else { continue };
        let slug = Slug::of(name);
        by_collection.entry(collection_name_of(org, &slug)).or_default().push(id_of(org));
        by_slug.entry(slug.as_str().to_owned()).or_default().push(id_of(org));
    }
    for admin in admins {
        let Ok(email) = admin.get_str("email") else { continue };
        by_email.entry(Email::from_stored(email).as_str().to_owned()).or_default().push(id_of(admin));
    }
    for (slug, ids) in by_slug.iter().filter(|(_, ids)| ids.len() > 1) {
        conflicts.push(format!(
            "organizations {} have the same name {slug:?} but for its spelling; give all but one another \
             organization_name: db.{ORGANIZATIONS}.updateOne({{_id: ObjectId(\"…\")}}, \
             {{$set: {{organization_name: \"…\"}}}})",
            ids.join(", ")
        ));
    }
    for (collection, ids) in by_collection.iter().filter(|(_, ids)| ids.len() > 1) {
        conflicts.push(format!(
            "organizations {} share the collection {collection:?}; give all but one a collection_name of its own \
             and move its documents there",
            ids.join(", ")
        ));
    }
    // Emails are personal data: the admins are named by their ids.
    for ids in by_email.values().filter(|ids| ids.len() > 1) {
        conflicts.push(format!(
            "admins {} have the same email but for its spelling; give all but one another email: \
             db.{ADMINS}.updateOne({{_id: ObjectId(\"…\")}}, {{$set: {{email: \"…\"}}}})",
            ids.join(", ")
        ));
    }
}

/// Fills in one organization; `false` when another server did.
async fn fill_in_org(orgs: &Collection<Document>, tenants: &TenantRepo, plan: OrgPlan) -> Result<bool, TakeoverError> {
    let OrgPlan { id, collection_name, mut set } = plan;
    let owner = OwnerTag(OrgId(id));
    let found = if let Some(found) = tenants.find(&collection_name).await? {
        found
    } else {
        // The original let MongoDB make collections with their first document; this one never had any.
        match tenants.create(&collection_name, owner).await {
            Ok(()) | Err(RepoError::NamespaceExists) => {}
            Err(other) => return Err(other.into()),
        }
        tenants.find(&collection_name).await?.ok_or(RepoError::NamespaceNotFound)?
    };
    if found.owner.is_none() {
        match tenants.tag(&found.collection, owner).await {
            Ok(()) => {}
            // The role that the original's instructions gave its user cannot set a validator. The UUID, recorded below,
            // is what commands go by; the tag only tells people and the doctor whose a stray collection is.
            Err(error @ RepoError::Unauthorized { .. }) => {
                warn!(organization_id = %id, %error, "a collection gets no owner tag");
            }
            Err(other) => return Err(other.into()),
        }
    }
    set.insert("collection_uuid", bson_uuid(found.collection.uuid));
    let filter = doc! { "_id": id, "names": { "$exists": false } };
    let result = orgs.update_one(filter, doc! { "$set": set }).await.map_err(RepoError::from)?;
    Ok(result.modified_count == 1)
}

/// The organization's admin: the one it names, else one that names it, else null.
fn admin_of(id: ObjectId, org: &Document, admins: &[Document]) -> Bson {
    let named = org.get("admin_user_id").and_then(object_id);
    let naming = || {
        admins
            .iter()
            .find(|admin| admin.get("organization_id").and_then(object_id) == Some(id))
            .and_then(|admin| admin.get_object_id("_id").ok())
    };
    named.or_else(naming).map_or(Bson::Null, Bson::ObjectId)
}

/// The admin's organization: the one it names, else one that names it.
fn org_of(id: ObjectId, admin: &Document, orgs: &[Document]) -> Option<ObjectId> {
    let named = admin.get("organization_id").and_then(object_id);
    named.or_else(|| {
        orgs.iter()
            .find(|org| org.get("admin_user_id").and_then(object_id) == Some(id))
            .and_then(|org| org.get_object_id("_id").ok())
    })
}

/// An ObjectId that the original stored as such or as its 24 hex digits.
fn object_id(value: &Bson) -> Option<ObjectId> {
    match value {
        Bson::ObjectId(id) => Some(*id),
        Bson::String(hex) => ObjectId::parse_str(hex).ok(),
        _ => None,
    }
}

/// A time that the original stored as a date or as ISO 8601 text, with or without an offset (UTC then).
fn stored_time(document: &Document, field: &str) -> Option<DateTime> {
    match document.get(field)? {
        Bson::DateTime(time) => Some(*time),
        Bson::String(text) => time::OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_error| PrimitiveDateTime::parse(text, &Iso8601::PARSING).map(PrimitiveDateTime::assume_utc))
            .ok()
            .map(DateTime::from_time_0_3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_original_are_read_in_all_their_forms() {
        let date = DateTime::from_millis(1_700_000_000_123);
        for value in [
            Bson::DateTime(date),
            Bson::String("2023-11-14T22:13:20.123Z".into()),
            Bson::String("2023-11-14T22:13:20.123000+00:00".into()),
            Bson::String("2023-11-14T22:13:20.123000".into()),
        ] {
            assert_eq!(stored_time(&doc! { "at": &value }, "at"), Some(date), "{value:?}");
        }
        assert_eq!(stored_time(&doc! { "at": "yesterday" }, "at"), None);
    }
}
