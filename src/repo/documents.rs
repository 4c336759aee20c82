//! The BSON shapes of the master database, and nothing else: how organizations and admins are stored.
//!
//! Unknown fields are left alone (updates name the fields they set), so what the original or an operator added
//! stays.

use bson::raw::RawDocument;
use bson::{Bson, DateTime, Document, oid::ObjectId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::error::RepoError;
use crate::domain::{
    Admin, AdminId, Change, ChangeId, ChangeKind, Connection, Deletion, Email, OldName, Org, OrgId, OrgState,
    PasswordHash, Progress, Slug,
};

/// The collection of organizations.
pub const ORGANIZATIONS: &str = "organizations";
/// The collection of admins.
pub const ADMINS: &str = "admins";

/// A document of `organizations`: the organization and, while it is being changed, the journal of that change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrgDocument {
    /// The organization's identity.
    #[serde(rename = "_id")]
    pub id: ObjectId,
    /// The name as typed.
    pub organization_name: String,
    /// The name without spelling.
    pub slug: String,
    /// Every slug that nobody else may take: the current one, one that a change in progress claims, the old names that are
    /// kept, and those that cool down.
    pub names: Vec<String>,
    /// Since when the organization has its name; absent where nobody wrote it down: since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_since: Option<DateTime>,
    /// The names that it had and still answers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_names: Vec<OldNameDocument>,
    /// The names that nobody may take yet, because a command that was sent long ago could still move a collection there
    /// or away from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cooling: Vec<CoolingDocument>,
    /// The tenant collection's name.
    pub collection_name: String,
    /// The tenant collection's UUID; absent while the organization is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection_uuid: Option<bson::Uuid>,
    /// Where the data lives.
    pub connection: ConnectionDocument,
    /// The admin; null when the original left none.
    #[serde(default)]
    pub admin_user_id: Option<ObjectId>,
    /// Where the organization is in its life.
    pub state: OrgState,
    /// Counts the changes.
    pub generation: i64,
    /// Counts how often the organization was brought back; tokens carry it.
    #[serde(default)]
    pub token_epoch: i64,
    /// The change in progress; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeDocument>,
    /// What is kept of a deleted organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionDocument>,
    /// When the organization was made.
    pub created_at: DateTime,
    /// When it last changed.
    pub updated_at: DateTime,
}

/// A name that an organization had.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OldNameDocument {
    /// The name as typed.
    pub organization_name: String,
    /// The name without spelling.
    pub slug: String,
    /// Since when it was the organization's name.
    pub since: DateTime,
    /// When the organization got another.
    pub given_up_at: DateTime,
    /// Until when it is kept.
    pub until: DateTime,
    /// How many calls found the organization by it.
    #[serde(default)]
    pub uses: i64,
    /// When the last of them did.
    #[serde(default)]
    pub last_used_at: Option<DateTime>,
}

/// A name that cools down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CoolingDocument {
    /// The name without spelling.
    pub slug: String,
    /// Until when nobody may take it.
    pub until: DateTime,
}

/// What is kept of a deleted organization.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeletionDocument {
    /// The name that it had, as typed.
    pub organization_name: String,
    /// The name without spelling.
    pub slug: String,
    /// Until when it can be brought back.
    pub until: DateTime,
}

/// The rest of a document of `organizations`: the changes that are over, the oldest first, without personal data. Apart, so
/// that whoever only looks for an organization steps over it.
#[derive(Debug, Deserialize)]
pub struct OrgHistory {
    /// The changes.
    #[serde(default)]
    pub history: Vec<HistoryDocument>,
}

/// A change that is over.
#[derive(Debug, Clone, Deserialize)]
pub struct HistoryDocument {
    /// The change's identity.
    pub id: ObjectId,
    /// What it did.
    pub kind: ChangeKind,
    /// When it was recorded.
    pub started_at: DateTime,
    /// When it was over.
    pub finished_at: DateTime,
    /// How many servers worked on it.
    pub attempts: i64,
    /// Why it was undone; absent when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which version of the admin's credentials it set, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_version: Option<i64>,
}

/// `connection` in a document of `organizations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionDocument {
    /// The database.
    pub db_name: String,
    /// The tenant collection.
    pub collection_name: String,
    /// Whatever else was kept there.
    #[serde(default)]
    pub extra: Document,
}

/// The journal of one change: everything that somebody else needs to finish or undo it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChangeDocument {
    /// The change's identity.
    pub id: ObjectId,
    /// What it does.
    pub kind: ChangeKind,
    /// Which server works on it (for people who look; authority comes from `fence`).
    pub holder: String,
    /// Rises each time the change is taken over; a step by an older holder matches nothing.
    pub fence: i64,
    /// Until when the holder may work on it, by the database's clock.
    pub lease_until: DateTime,
    /// When it was recorded, by the database's clock.
    #[serde(default = "long_ago")]
    pub started_at: DateTime,
    /// The step that was begun last, for people who look.
    #[serde(default)]
    pub step: String,
    /// Whether the answer of a command of this change was lost: it may arrive any time.
    #[serde(default)]
    pub is_uncertain: bool,
    /// For how many days the name is kept that this change gives up.
    #[serde(default)]
    pub keep_old_name_days: i64,
    /// For how many days a deleted organization is kept; none at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_days: Option<i64>,
    /// The name before; for a change that moves the collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NameDocument>,
    /// The name after; for a change that moves the collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NameDocument>,
    /// The credentials before and after, when the same change sets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsChange>,
}

/// An organization's name with all that follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameDocument {
    /// The name as typed.
    pub organization_name: String,
    /// The name without spelling.
    pub slug: String,
    /// The tenant collection's name.
    pub collection_name: String,
}

/// A change of an admin's credentials, so that it can be done again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialsChange {
    /// Whose.
    pub admin_id: ObjectId,
    /// Which version they have before it.
    pub from_version: i64,
    /// What they become.
    pub after: CredentialsDocument,
}

/// The fields of an admin that a change of credentials sets.
#[derive(Clone, Serialize, Deserialize)]
pub struct CredentialsDocument {
    /// The address, in lower case.
    pub email: String,
    /// The bcrypt hash.
    pub password_hash: String,
    /// Which password this is; tokens carry it.
    pub credential_version: i64,
}

impl std::fmt::Debug for CredentialsDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialsDocument(version {}, hidden)", self.credential_version)
    }
}

/// A document of `admins`.
#[derive(Clone, Serialize, Deserialize)]
pub struct AdminDocument {
    /// The admin's identity.
    #[serde(rename = "_id")]
    pub id: ObjectId,
    /// The organization that it administers.
    pub organization_id: ObjectId,
    /// The address, in lower case.
    pub email: String,
    /// The bcrypt hash.
    pub password_hash: String,
    /// Which password this is; tokens carry it.
    pub credential_version: i64,
    /// Every address that nobody else may take: the present one and one that a change in progress claims.
    pub emails: Vec<String>,
    /// The change that claims; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<ObjectId>,
    /// The highest fence of the servers that have claimed for that change; a lower one cannot give the claim up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_fence: Option<i64>,
    /// The change that set the present credentials, if it was not the organization's creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_by: Option<ObjectId>,
    /// The organization's generation at the last change that claimed or was given up: an older one changes nothing any
    /// more.
    #[serde(default)]
    pub change_generation: i64,
    /// Its role.
    pub role: String,
    /// When it was made.
    pub created_at: DateTime,
    /// When it last changed.
    pub updated_at: DateTime,
}

impl OrgDocument {
    /// The domain's view of the document.
    #[must_use]
    pub fn to_org(&self) -> Org {
        Org {
            id: OrgId(self.id),
            name: self.organization_name.clone(),
            slug: Slug::from_stored(&self.slug),
            collection_name: self.collection_name.clone(),
            collection_uuid: self.collection_uuid.map(bson::Uuid::to_uuid_1),
            connection: Connection {
                db_name: self.connection.db_name.clone(),
                collection_name: self.connection.collection_name.clone(),
                extra: self.connection.extra.clone(),
            },
            admin_id: self.admin_user_id.map(AdminId),
            state: self.state,
            generation: self.generation,
            token_epoch: self.token_epoch,
            created_at: self.created_at.to_time_0_3(),
            updated_at: self.updated_at.to_time_0_3(),
            name_since: self.name_since.unwrap_or(self.created_at).to_time_0_3(),
            old_names: self.old_names.iter().map(OldNameDocument::to_old_name).collect(),
            deletion: self.deletion.as_ref().map(DeletionDocument::to_deletion),
        }
    }

    /// A change of the organization, in progress or over.
    #[must_use]
    pub fn find_change(&self, history: &OrgHistory, id: ChangeId) -> Option<Change> {
        let running = self.change.as_ref().filter(|change| change.id == id.0).map(ChangeDocument::to_change);
        running.or_else(|| history.history.iter().find(|entry| entry.id == id.0).map(HistoryDocument::to_change))
    }
}

impl OldNameDocument {
    fn to_old_name(&self) -> OldName {
        OldName {
            name: self.organization_name.clone(),
            slug: Slug::from_stored(&self.slug),
            since: self.since.to_time_0_3(),
            given_up_at: self.given_up_at.to_time_0_3(),
            until: self.until.to_time_0_3(),
            uses: self.uses,
            last_used_at: self.last_used_at.map(DateTime::to_time_0_3),
        }
    }
}

impl DeletionDocument {
    fn to_deletion(&self) -> Deletion {
        Deletion {
            name: self.organization_name.clone(),
            slug: Slug::from_stored(&self.slug),
            until: self.until.to_time_0_3(),
        }
    }
}

impl ChangeDocument {
    fn to_change(&self) -> Change {
        Change {
            id: ChangeId(self.id),
            kind: self.kind,
            started_at: self.started_at.to_time_0_3(),
            attempts: self.fence,
            credential_version: self.credentials.as_ref().map(|change| change.after.credential_version),
            progress: Progress::Running { step: self.step.clone() },
        }
    }
}

impl HistoryDocument {
    fn to_change(&self) -> Change {
        let at = self.finished_at.to_time_0_3();
        Change {
            id: ChangeId(self.id),
            kind: self.kind,
            started_at: self.started_at.to_time_0_3(),
            attempts: self.attempts,
            credential_version: self.credential_version,
            progress: match &self.error {
                None => Progress::Finished { at },
                Some(why) => Progress::Undone { at, why: why.clone() },
            },
        }
    }
}

/// For a change that an older server recorded, which did not write down when.
fn long_ago() -> DateTime {
    DateTime::from_millis(0)
}

impl From<&Org> for NameDocument {
    fn from(org: &Org) -> Self {
        Self {
            organization_name: org.name.clone(),
            slug: org.slug.as_str().to_owned(),
            collection_name: org.collection_name.clone(),
        }
    }
}

impl AdminDocument {
    /// The domain's view of the document.
    #[must_use]
    pub fn to_admin(&self) -> Admin {
        Admin {
            id: AdminId(self.id),
            org_id: OrgId(self.organization_id),
            email: Email::from_stored(&self.email),
            password_hash: PasswordHash::new(self.password_hash.clone()),
            role: self.role.clone(),
            credential_version: self.credential_version,
        }
    }
}

impl From<&Admin> for CredentialsDocument {
    fn from(admin: &Admin) -> Self {
        Self {
            email: admin.email.as_str().to_owned(),
            password_hash: admin.password_hash.expose().to_owned(),
            credential_version: admin.credential_version,
        }
    }
}

/// Decodes a stored document; one that cannot be read is an error that names it, and never skipped.
pub(crate) fn decode<T: DeserializeOwned>(collection: &'static str, document: Document) -> Result<T, RepoError> {
    let id = document.get("_id").map_or_else(|| "without _id".to_owned(), id_text);
    bson::deserialize_from_document(document).map_err(|error| undecodable(collection, id, &error))
}

/// The same for one as MongoDB sent it, which is read without a detour.
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
    // serde quotes the value that it did not expect, which may be anything; only a missing field is named.
    let text = error.to_string();
    let field = text.split_once("missing field `").and_then(|(_, rest)| rest.split_once('`'));
    let reason =
        field.map_or_else(|| "a field has the wrong type".to_owned(), |(field, _)| format!("{field} is missing"));
    RepoError::Undecodable { collection, id, reason }
}

/// An `_id` for people: hex for an ObjectId, else its kind (a foreign `_id` could be anything, also an email).
pub(crate) fn id_text(id: &Bson) -> String {
    match id {
        Bson::ObjectId(id) => id.to_hex(),
        other => format!("({:?})", other.element_type()),
    }
}
