//! Everything in the database, as it is, for the doctor, which must also read what nothing else can. A malformed record
//! is returned with what is wrong with it and as much of it as can be read.

use std::collections::BTreeSet;
use std::time::Duration;

use bson::{Bson, Document, doc, oid::ObjectId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::command::{millis, run};
use super::error::RepoError;
use super::records::{ADMINS, AdminDocument, ORGANIZATIONS, OrgDocument, decode, id_text};
use super::tenants::{Catalog, TenantRepo};
use super::{Database, all, master_indexes};
use crate::domain::{AdminId, ChangeId, Org, OrgId, PlannedChange, Slug};

/// Limit for each of these reads, which scan a whole collection.
const SURVEY_MAX_TIME: Duration = Duration::from_mins(1);

/// A record of `organizations`.
#[derive(Debug)]
pub struct OrgRecord {
    /// Its `_id`, for people.
    pub id: String,
    /// Its `_id`, if it is an organization id.
    pub org_id: Option<OrgId>,
    /// Its content, or what is wrong with it.
    pub content: Result<OrgContent, String>,
    /// Every name that it has or claims.
    pub names: BTreeSet<String>,
    /// Every collection that it may refer to.
    pub collection_names: BTreeSet<String>,
    /// The collection that it records.
    pub collection_uuid: Option<Uuid>,
}

/// The content of a readable organization record, without its history.
#[derive(Debug)]
pub struct OrgContent {
    /// The organization.
    pub org: Org,
    /// Every slug that the record reserves.
    pub names: Vec<String>,
    /// The names cooling down, and until when.
    pub cooling: Vec<(Slug, OffsetDateTime)>,
    /// The change that it records.
    pub change: Option<RunningChange>,
}

/// A change in progress.
#[derive(Debug)]
pub struct RunningChange {
    /// The plan.
    pub plan: PlannedChange,
    /// How many servers have worked on it.
    pub attempts: i64,
    /// The last step begun.
    pub step: String,
    /// When it was recorded.
    pub started_at: OffsetDateTime,
    /// The end of its lease: no other server may resume it before.
    pub lease_until: OffsetDateTime,
}

/// The content of a readable admin record, reduced to what may be seen without logging in.
#[derive(Debug, Clone)]
pub struct AdminContent {
    /// Its identity.
    pub id: AdminId,
    /// The version of its password.
    pub credential_version: i64,
    /// The change that holds a claim on it.
    pub claimed_by: Option<ChangeId>,
    /// The organization's generation at the last change that claimed or was released.
    pub change_generation: i64,
    /// Whether it reserves any address other than its own, or more than one.
    pub claims_emails: bool,
}

impl OrgContent {
    /// Whether it is at rest and records no change. A contradiction between the two is the only finding drawn from a
    /// record.
    pub fn is_settled(&self) -> bool {
        self.org.state.is_at_rest() && self.change.is_none()
    }
}

impl OrgRecord {
    /// The organization, if it is readable and settled.
    pub fn settled(&self) -> Option<&Org> {
        self.content.as_ref().ok().filter(|content| content.is_settled()).map(|content| &content.org)
    }
}

impl From<OrgDocument> for OrgContent {
    fn from(mut stored: OrgDocument) -> Self {
        let names = std::mem::take(&mut stored.names);
        let cooling = std::mem::take(&mut stored.cooling);
        let change = stored.change.take().map(|mut change| RunningChange {
            attempts: change.fence,
            step: std::mem::take(&mut change.step),
            started_at: change.started_at.to_time_0_3(),
            lease_until: change.lease_until.to_time_0_3(),
            plan: change.into(),
        });
        let cooling = cooling.into_iter().map(|name| (name.slug, name.until.to_time_0_3())).collect();
        Self { names, cooling, change, org: stored.into() }
    }
}

impl From<AdminDocument> for AdminContent {
    fn from(stored: AdminDocument) -> Self {
        Self {
            id: stored.id,
            credential_version: stored.credential_version,
            claimed_by: stored.claimed_by,
            change_generation: stored.change_generation,
            claims_emails: stored.emails != [stored.email],
        }
    }
}

/// A record of `admins`. Has no `Debug`, because it holds personal data.
pub struct AdminRecord {
    /// Its `_id`, for people.
    pub id: String,
    /// Its `_id`, if it is an admin id.
    pub admin_id: Option<AdminId>,
    /// The organization that it names.
    pub org_id: Option<OrgId>,
    /// Its content, or what is wrong with it.
    pub content: Result<AdminContent, String>,
    /// Every address that it has or claims. Personal data: compared, never shown.
    pub emails: BTreeSet<String>,
}

/// How many files MongoDB needs for this database, and how many it may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// One per collection and one per index.
    pub needed: i64,
    /// The limit of MongoDB's process.
    pub limit: i64,
}

/// Reads everything.
#[derive(Debug, Clone)]
pub struct InventoryRepo {
    database: Database,
}

impl InventoryRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }

    /// The current time, by the database's clock.
    pub async fn now(&self) -> Result<OffsetDateTime, RepoError> {
        let hello = run(&self.database, doc! { "hello": 1 }).await.map_err(RepoError::of_read)?;
        let time = hello.get_datetime("localTime").map(|time| time.to_time_0_3());
        time.map_err(|_absent| RepoError::Refused { summary: "hello without a time".to_owned() })
    }

    /// All organizations.
    pub async fn orgs(&self) -> Result<Vec<OrgRecord>, RepoError> {
        let records = self.read(ORGANIZATIONS, doc! { "$unset": "history" }).await?;
        Ok(records.into_iter().map(org_record).collect())
    }

    /// All admins.
    pub async fn admins(&self) -> Result<Vec<AdminRecord>, RepoError> {
        // The hashes themselves are not loaded; nothing here needs them.
        let without_hash = doc! { "$set": { "password_hash": { "$type": "$password_hash" } } };
        let records = self.read(ADMINS, without_hash).await?;
        Ok(records.into_iter().map(admin_record).collect())
    }

    /// All collections.
    pub async fn catalog(&self) -> Result<Catalog, RepoError> {
        TenantRepo::new(&self.database).catalog().await
    }

    /// The missing indexes, as `collection.name`.
    pub async fn missing_indexes(&self) -> Result<Vec<String>, RepoError> {
        master_indexes::missing(&self.database).await
    }

    /// Creates the missing indexes.
    pub async fn make_indexes(&self) -> Result<(), RepoError> {
        master_indexes::ensure(&self.database).await
    }

    /// How close MongoDB is to its open-file limit; `None` when this user may not ask, or MongoDB does not report it.
    pub async fn open_files(&self) -> Result<Option<OpenFiles>, RepoError> {
        let time = millis(SURVEY_MAX_TIME);
        let admin = self.database.client().database("admin");
        let host = optional(run(&admin, doc! { "hostInfo": 1, "maxTimeMS": time }).await)?;
        let stats = optional(run(&self.database, doc! { "dbStats": 1, "maxTimeMS": time }).await)?;
        let (Some(host), Some(stats)) = (host, stats) else { return Ok(None) };
        let limit = host.get_document("extra").ok().and_then(max_open_files);
        let files = whole(&stats, "collections").zip(whole(&stats, "indexes"));
        Ok(limit.zip(files).map(|(limit, (collections, indexes))| OpenFiles { needed: collections + indexes, limit }))
    }

    async fn read(&self, collection: &str, stage: Document) -> Result<Vec<Document>, RepoError> {
        let records = self.database.collection::<Document>(collection);
        all(records.aggregate([stage]).with_type::<Document>().max_time(SURVEY_MAX_TIME)).await
    }
}

fn org_record(document: Document) -> OrgRecord {
    let nested = document.get_document("connection").ok().and_then(|connection| text(connection, "collection_name"));
    let mut collection_names: BTreeSet<_> = text(&document, "collection_name").into_iter().chain(nested).collect();
    if collection_names.is_empty() {
        // The original derived its collection's name from the organization's.
        collection_names.extend(text(&document, "organization_name").map(|name| Slug::of(&name).collection_name()));
    }
    let (_, id) = id_of(&document);
    OrgRecord {
        id,
        org_id: document.get_object_id("_id").ok().map(OrgId),
        names: texts(&document, "names").chain(text(&document, "slug")).collect(),
        collection_names,
        collection_uuid: uuid_of(&document),
        content: decode::<OrgDocument>(ORGANIZATIONS, document).map(OrgContent::from).map_err(reason),
    }
}

fn admin_record(mut document: Document) -> AdminRecord {
    let has_hash = match document.get_str("password_hash") {
        Ok("string") => Ok(()),
        Ok("missing") => Err("password_hash is missing".to_owned()),
        _ => Err("a field has the wrong type".to_owned()),
    };
    document.insert("password_hash", "string");
    let (admin_id, id) = id_of(&document);
    AdminRecord {
        id,
        admin_id: admin_id.map(AdminId),
        org_id: document.get_object_id("organization_id").ok().map(OrgId),
        emails: texts(&document, "emails").chain(text(&document, "email")).collect(),
        content: has_hash.and_then(|()| Ok(decode::<AdminDocument>(ADMINS, document).map_err(reason)?.into())),
    }
}

/// What is wrong with a record, without any of its content.
fn reason(error: RepoError) -> String {
    match error {
        RepoError::Undecodable { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// A reply available only to some users, on some deployments.
fn optional(reply: Result<Document, RepoError>) -> Result<Option<Document>, RepoError> {
    match reply.map_err(RepoError::of_read) {
        Ok(reply) => Ok(Some(reply)),
        Err(RepoError::Unauthorized { .. } | RepoError::Refused { .. } | RepoError::GivenUp { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The limit in `hostInfo.extra`. The manual shows it there; MongoDB 6.0.5 nests another `extra` in between.
fn max_open_files(extra: &Document) -> Option<i64> {
    let inner = extra.get_document("extra").ok();
    whole(extra, "maxOpenFiles").or_else(|| whole(inner?, "maxOpenFiles"))
}

fn id_of(document: &Document) -> (Option<ObjectId>, String) {
    let id = document.get("_id");
    (id.and_then(Bson::as_object_id), id.map_or_else(|| "without _id".to_owned(), id_text))
}

fn uuid_of(document: &Document) -> Option<Uuid> {
    match document.get("collection_uuid") {
        Some(Bson::Binary(binary)) => binary.to_uuid().ok().map(bson::Uuid::to_uuid_1),
        _ => None,
    }
}

fn text(document: &Document, field: &str) -> Option<String> {
    document.get_str(field).ok().map(ToOwned::to_owned)
}

fn texts<'a>(document: &'a Document, field: &str) -> impl Iterator<Item = String> + use<'a> {
    let list = document.get_array(field).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|value| value.as_str().map(ToOwned::to_owned))
}

/// A whole number, in whichever type MongoDB chose.
#[expect(clippy::cast_possible_truncation, reason = "a count of files is whole")]
fn whole(document: &Document, field: &str) -> Option<i64> {
    match document.get(field)? {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_found_in_both_places() {
        assert_eq!(max_open_files(&doc! { "maxOpenFiles": 64_000 }), Some(64_000));
        assert_eq!(max_open_files(&doc! { "extra": { "maxOpenFiles": 64_000_i64 } }), Some(64_000));
        assert_eq!(max_open_files(&doc! { "pageSize": 4_096 }), None, "macOS");
    }

    #[test]
    fn of_a_broken_record_everything_is_read_that_can_be() {
        let (id, uuid) = (crate::domain::new_id(), bson::Uuid::new());
        let record = org_record(doc! {
            "_id": id, "names": ["a", 1], "slug": "b", "collection_uuid": uuid, "collection_name": 3,
            "connection": { "collection_name": "org_c" },
        });
        assert_eq!((record.id, record.org_id), (id.to_hex(), Some(OrgId(id))));
        assert_eq!(record.names, ["a".to_owned(), "b".to_owned()].into());
        assert_eq!(record.collection_names, ["org_c".to_owned()].into());
        assert_eq!(record.collection_uuid, Some(uuid.to_uuid_1()));
        assert!(record.content.is_err());

        let original = org_record(doc! { "_id": "a@example.com", "organization_name": "Acme  Inc" });
        assert_eq!((original.id.as_str(), original.org_id), ("(String)", None), "an _id may be anything");
        assert_eq!(original.collection_names, ["org_acme_inc".to_owned()].into());

        let admin = admin_record(doc! { "_id": id, "organization_id": id, "password_hash": "missing" });
        assert_eq!(admin.content.err().as_deref(), Some("password_hash is missing"));
    }
}
