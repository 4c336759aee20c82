//! The BSON shapes of organizations and admins in the master database. They stay inside `repo`, which converts them
//! from and to domain values.
//!
//! Updates name the fields they set; whatever else the original or an operator added stays.

use bson::raw::RawDocument;
use bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::error::RepoError;
use crate::domain::{
    Admin, AdminId, Change, ChangeId, ChangeKind, Connection, Credentials, CredentialsChange, Deletion, Email, OldName,
    Org, OrgId, OrgState, PasswordHash, PlannedChange, Progress, Slug, Title, Titles,
};

/// The collection of organizations.
pub(super) const ORGANIZATIONS: &str = "organizations";
/// The collection of admins.
pub(super) const ADMINS: &str = "admins";

/// A document of `organizations`: the organization and, during a change, the journal of that change.
#[derive(Deserialize)]
pub(super) struct OrgDocument {
    #[serde(rename = "_id")]
    pub(super) id: OrgId,
    pub(super) organization_name: String,
    pub(super) slug: Slug,
    /// Every slug reserved for it: the current one, one claimed by a change, old ones it keeps, and those cooling down.
    pub(super) names: Vec<String>,
    /// When unrecorded, the name dates from the organization's creation.
    pub(super) name_since: Option<DateTime>,
    #[serde(default)]
    pub(super) old_names: Vec<OldNameDocument>,
    /// Names that nobody may take yet, because a command sent long ago could still move a collection to or from there.
    #[serde(default)]
    pub(super) cooling: Vec<CoolingDocument>,
    pub(super) collection_name: String,
    /// Absent while the organization is being created.
    pub(super) collection_uuid: Option<bson::Uuid>,
    pub(super) connection: Connection,
    /// Null when the original stored none.
    pub(super) admin_user_id: Option<AdminId>,
    pub(super) state: OrgState,
    pub(super) generation: i64,
    #[serde(default)]
    pub(super) token_epoch: i64,
    /// Absent while no change is in progress.
    pub(super) change: Option<ChangeDocument>,
    pub(super) deletion: Option<DeletionDocument>,
    pub(super) created_at: DateTime,
    pub(super) updated_at: DateTime,
}

/// A name that an organization had.
#[derive(Deserialize)]
pub(super) struct OldNameDocument {
    organization_name: String,
    slug: Slug,
    since: DateTime,
    given_up_at: DateTime,
    until: DateTime,
    #[serde(default)]
    uses: i64,
    last_used_at: Option<DateTime>,
}

/// A name that is cooling down.
#[derive(Deserialize)]
pub(super) struct CoolingDocument {
    pub(super) slug: Slug,
    pub(super) until: DateTime,
}

/// What remains of a deleted organization.
#[derive(Deserialize)]
pub(super) struct DeletionDocument {
    organization_name: String,
    slug: Slug,
    until: DateTime,
}

/// The finished changes in a document of `organizations`, oldest first, without personal data. A plain lookup skips
/// them.
#[derive(Deserialize)]
pub(super) struct OrgHistory {
    #[serde(default)]
    history: Vec<HistoryDocument>,
}

/// A finished change.
#[derive(Deserialize)]
struct HistoryDocument {
    id: ChangeId,
    kind: ChangeKind,
    started_at: DateTime,
    finished_at: DateTime,
    attempts: i64,
    /// Why it was undone; absent when it succeeded.
    error: Option<String>,
    credential_version: Option<i64>,
}

/// The journal of one change, without the fields that only the database reads: `holder`, for people (authority comes
/// from `fence`), and `is_uncertain`, which says that a command's answer was lost and the command may still arrive.
#[derive(Deserialize)]
pub(super) struct ChangeDocument {
    id: ChangeId,
    kind: ChangeKind,
    /// Rises with each server that resumes the change; a step by an older holder matches nothing.
    pub(super) fence: i64,
    /// How long the holder may work on it, by the database's clock.
    pub(super) lease_until: DateTime,
    #[serde(default = "long_ago")]
    pub(super) started_at: DateTime,
    /// The last step begun, for people.
    #[serde(default)]
    pub(super) step: String,
    #[serde(default)]
    keep_old_name_days: u16,
    grace_days: Option<u16>,
    from: Option<TitleDocument>,
    to: Option<TitleDocument>,
    credentials: Option<CredentialsChangeDocument>,
}

#[derive(Deserialize)]
struct TitleDocument {
    organization_name: String,
    slug: Slug,
    collection_name: String,
}

#[derive(Deserialize)]
struct CredentialsChangeDocument {
    admin_id: AdminId,
    from_version: i64,
    after: CredentialsDocument,
}

/// The admin fields that a change of credentials sets.
#[derive(Deserialize)]
struct CredentialsDocument {
    email: String,
    password_hash: String,
    credential_version: i64,
}

/// A document of `admins`, but for what only the database reads: `claim_fence`, the highest fence of the servers that have
/// claimed for the change in `claimed_by` (a lower one cannot give the claim up), and `committed_by`, the change that set the
/// present credentials.
#[derive(Deserialize)]
pub(super) struct AdminDocument {
    #[serde(rename = "_id")]
    pub(super) id: AdminId,
    pub(super) organization_id: OrgId,
    pub(super) email: String,
    pub(super) password_hash: String,
    pub(super) credential_version: i64,
    /// Every address reserved for this admin: the current one and one claimed by a change in progress.
    pub(super) emails: Vec<String>,
    /// The change that holds the claim, if any.
    pub(super) claimed_by: Option<ChangeId>,
    /// The organization's generation at the last change that claimed or was released; older changes have no effect.
    #[serde(default)]
    pub(super) change_generation: i64,
    pub(super) role: String,
}

impl From<OrgDocument> for Org {
    fn from(stored: OrgDocument) -> Self {
        Self {
            id: stored.id,
            name: stored.organization_name,
            slug: stored.slug,
            collection_name: stored.collection_name,
            collection_uuid: stored.collection_uuid.map(bson::Uuid::to_uuid_1),
            connection: stored.connection,
            admin_id: stored.admin_user_id,
            state: stored.state,
            generation: stored.generation,
            token_epoch: stored.token_epoch,
            created_at: stored.created_at.to_time_0_3(),
            updated_at: stored.updated_at.to_time_0_3(),
            name_since: stored.name_since.unwrap_or(stored.created_at).to_time_0_3(),
            old_names: stored.old_names.into_iter().map(OldName::from).collect(),
            deletion: stored.deletion.map(Deletion::from),
        }
    }
}

impl From<OldNameDocument> for OldName {
    fn from(stored: OldNameDocument) -> Self {
        Self {
            name: stored.organization_name,
            slug: stored.slug,
            since: stored.since.to_time_0_3(),
            given_up_at: stored.given_up_at.to_time_0_3(),
            until: stored.until.to_time_0_3(),
            uses: stored.uses,
            last_used_at: stored.last_used_at.map(DateTime::to_time_0_3),
        }
    }
}

impl From<DeletionDocument> for Deletion {
    fn from(DeletionDocument { organization_name: name, slug, until }: DeletionDocument) -> Self {
        Self { name, slug, until: until.to_time_0_3() }
    }
}

impl OrgHistory {
    /// The change with this id, if it is finished.
    pub(super) fn find(self, id: ChangeId) -> Option<Change> {
        self.history.into_iter().find(|entry| entry.id == id).map(Change::from)
    }
}

impl From<HistoryDocument> for Change {
    fn from(over: HistoryDocument) -> Self {
        let at = over.finished_at.to_time_0_3();
        Self {
            id: over.id,
            kind: over.kind,
            started_at: over.started_at.to_time_0_3(),
            attempts: over.attempts,
            credential_version: over.credential_version,
            progress: match over.error {
                None => Progress::Finished { at },
                Some(why) => Progress::Undone { at, why },
            },
        }
    }
}

impl ChangeDocument {
    /// The change as its observers see it, if it has this id.
    pub(super) fn find(&self, id: ChangeId) -> Option<Change> {
        (self.id == id).then(|| Change {
            id,
            kind: self.kind,
            started_at: self.started_at.to_time_0_3(),
            attempts: self.fence,
            credential_version: self.credentials.as_ref().map(|change| change.after.credential_version),
            progress: Progress::Running { step: self.step.clone() },
        })
    }
}

impl From<ChangeDocument> for PlannedChange {
    fn from(stored: ChangeDocument) -> Self {
        let titles = stored.from.zip(stored.to).map(|(from, to)| Titles { from: from.into(), to: to.into() });
        Self {
            id: stored.id,
            kind: stored.kind,
            titles,
            credentials: stored.credentials.map(CredentialsChange::from),
            keep_old_name_days: stored.keep_old_name_days,
            grace_days: stored.grace_days,
        }
    }
}

impl From<TitleDocument> for Title {
    fn from(TitleDocument { organization_name: name, slug, collection_name }: TitleDocument) -> Self {
        Self { name, slug, collection_name }
    }
}

impl From<CredentialsChangeDocument> for CredentialsChange {
    fn from(CredentialsChangeDocument { admin_id, from_version, after }: CredentialsChangeDocument) -> Self {
        let CredentialsDocument { email, password_hash, credential_version: version } = after;
        let (email, password_hash) = (Email::from_stored(&email), PasswordHash::new(password_hash));
        Self { admin_id, from_version, after: Credentials { email, password_hash, version } }
    }
}

impl From<AdminDocument> for Admin {
    fn from(stored: AdminDocument) -> Self {
        Self {
            id: stored.id,
            org_id: stored.organization_id,
            email: Email::from_stored(&stored.email),
            password_hash: PasswordHash::new(stored.password_hash),
            role: stored.role,
            credential_version: stored.credential_version,
        }
    }
}

/// For changes recorded by older servers, which did not note the time.
fn long_ago() -> DateTime {
    DateTime::from_millis(0)
}

/// A new organization in its stored form.
pub(super) fn new_org(org: &Org) -> Document {
    let Connection { db_name, collection_name, extra } = &org.connection;
    let connection = doc! { "db_name": db_name, "collection_name": collection_name, "extra": extra };
    let mut document = doc! { "_id": org.id.0, "names": [org.slug.as_str()], "connection": connection };
    document.extend(title(&org.title()));
    document.extend(doc! {
        "admin_user_id": org.admin_id.map(|AdminId(id)| id),
        "state": org.state.name(),
        "generation": org.generation,
        "token_epoch": org.token_epoch,
        "created_at": date(org.created_at),
        "updated_at": date(org.updated_at),
    });
    document
}

/// A new admin in its stored form.
pub(super) fn new_admin(admin: &Admin, now: OffsetDateTime) -> Document {
    doc! {
        "_id": admin.id.0,
        "organization_id": admin.org_id.0,
        "email": admin.email.as_str(),
        "password_hash": admin.password_hash.expose(),
        "credential_version": admin.credential_version,
        "emails": [admin.email.as_str()],
        "change_generation": 0_i64,
        "role": &admin.role,
        "created_at": date(now),
        "updated_at": date(now),
    }
}

/// A change in its stored form, for its first holder, without its times.
pub(super) fn new_change(plan: &PlannedChange, holder: &str) -> Document {
    let mut document = doc! {
        "id": plan.id.0,
        "kind": plan.kind.name(),
        "holder": holder,
        "fence": 1_i64,
        "step": "begin",
        "is_uncertain": false,
        "keep_old_name_days": i64::from(plan.keep_old_name_days),
    };
    document.extend(plan.grace_days.map(|days| ("grace_days".to_owned(), Bson::from(i64::from(days)))));
    if let Some(Titles { from, to }) = &plan.titles {
        document.extend(doc! { "from": title(from), "to": title(to) });
    }
    if let Some(CredentialsChange { admin_id, from_version, after }) = &plan.credentials {
        let credentials = doc! { "admin_id": admin_id.0, "from_version": from_version, "after": credentials(after) };
        document.insert("credentials", credentials);
    }
    document
}

/// The fields that hold an organization's name.
pub(super) fn title(Title { name, slug, collection_name }: &Title) -> Document {
    doc! { "organization_name": name, "slug": slug.as_str(), "collection_name": collection_name }
}

/// The admin fields that a change of credentials sets.
pub(super) fn credentials(Credentials { email, password_hash, version }: &Credentials) -> Document {
    doc! { "email": email.as_str(), "password_hash": password_hash.expose(), "credential_version": version }
}

/// A time in its stored form.
pub(super) fn date(time: OffsetDateTime) -> DateTime {
    DateTime::from_time_0_3(time)
}

/// Decodes a stored document. An unreadable one is an error that names it; it is never skipped.
pub(crate) fn decode<T: DeserializeOwned>(collection: &'static str, document: Document) -> Result<T, RepoError> {
    let id = document.get("_id").map_or_else(|| "without _id".to_owned(), id_text);
    bson::deserialize_from_document(document).map_err(|error| undecodable(collection, id, &error))
}

/// Like [`decode`], straight from the bytes MongoDB sent.
pub(crate) fn decode_raw<T: DeserializeOwned>(
    collection: &'static str,
    document: &RawDocument,
) -> Result<T, RepoError> {
    bson::deserialize_from_slice(document.as_bytes()).map_err(|error| {
        let id = document.get("_id").ok().flatten().and_then(|id| Bson::try_from(id).ok());
        undecodable(collection, id.as_ref().map_or_else(|| "without _id".to_owned(), id_text), &error)
    })
}

fn undecodable(collection: &'static str, id: String, error: &bson::error::Error) -> RepoError {
    // serde quotes the unexpected value, which may be anything; only a missing field is named.
    let text = error.to_string();
    let field = text.split_once("missing field `").and_then(|(_, rest)| rest.split_once('`'));
    let reason =
        field.map_or_else(|| "a field has the wrong type".to_owned(), |(field, _)| format!("{field} is missing"));
    RepoError::Undecodable { collection, id, reason }
}

/// An `_id` for people: hex for an ObjectId, otherwise its type, since a foreign `_id` may even be an email.
pub(crate) fn id_text(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        other => format!("({:?})", other.element_type()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OrgName;

    #[test]
    fn what_is_recorded_reads_as_what_it_was_made_from() {
        let (id, now) = (AdminId::generate(), OffsetDateTime::UNIX_EPOCH);
        let (name, email) = (OrgName::parse("Acme  Inc").expect("a name"), Email::from_stored("a@example.com"));
        let org = Org::provisional(OrgId::generate(), Title::of(&name), "db", id, now);
        let after = Credentials { email, password_hash: PasswordHash::new("$2b$".to_owned()), version: 2 };
        let plan = PlannedChange {
            credentials: Some(CredentialsChange { admin_id: id, from_version: 1, after }),
            keep_old_name_days: 3,
            grace_days: Some(4),
            ..PlannedChange::moving(ChangeId::generate(), ChangeKind::Delete, org.title(), org.deleted_title())
        };
        let mut recorded = new_change(&plan, "holder");
        recorded.insert("lease_until", date(now));
        let mut document = new_org(&org);
        document.insert("change", recorded);
        let mut stored: OrgDocument = decode(ORGANIZATIONS, document).expect("readable");
        let change = stored.change.take().map(PlannedChange::from).expect("a change");
        assert_eq!(format!("{change:?}"), format!("{plan:?}"));
        assert_eq!(change.credentials.expect("credentials").after.password_hash.expose(), "$2b$");
        assert_eq!(Org::from(stored), org);
    }
}
