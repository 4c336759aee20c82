//! The repositories, without a server: the conditions of each update, which decide the effect of a late, repeated or
//! foreign step. Most of these cases rarely occur over HTTP.

mod admins;
mod journal;
mod names;

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::{Collection, Database};
use tenantry::domain::{ChangeId, ChangeKind, Org, OrgId, PlannedChange, Slug, Title, Titles};
use tenantry::repo::journal::ChangeRef;
use tenantry::repo::{RepoError, Repos, master_indexes};

use crate::support::mongo::shared;
use crate::support::repos;
use crate::support::server::empty_database;

/// A database with the organization `acme`, idle in generation 4, with a name that it has had for long.
struct Store {
    repos: Repos,
    orgs: Collection<Document>,
    admins: Collection<Document>,
    id: OrgId,
    /// The record that `acme` starts with.
    made: Document,
}

impl Store {
    async fn new() -> Self {
        let database: Database = empty_database(shared().await).await;
        master_indexes::ensure(&database).await.expect("indexes");
        let id = ObjectId::new();
        let made = org(id, "acme");
        let (orgs, admins) = (database.collection("organizations"), database.collection("admins"));
        orgs.insert_one(&made).await.expect("stored");
        Self { repos: repos(&database), orgs, admins, id: OrgId(id), made }
    }

    /// Resets `acme` to its first record, with these fields set, and those that are null removed.
    async fn reset(&self, fields: Document) {
        let mut document = self.made.clone();
        document.extend(fields);
        document.retain_non_null();
        self.orgs.replace_one(doc! { "_id": self.id.0 }, document).await.expect("stored");
    }

    async fn set(&self, fields: Document) {
        self.orgs.update_one(doc! { "_id": self.id.0 }, doc! { "$set": fields }).await.expect("set");
    }

    /// The stored record of `acme`.
    async fn stored(&self) -> Document {
        self.orgs.find_one(doc! { "_id": self.id.0 }).await.expect("asked").expect("there")
    }

    /// `acme` as services see it.
    async fn org(&self) -> Org {
        self.repos.orgs.find(self.id).await.expect("asked").expect("there")
    }

    /// Begins a change of `acme` in its current state.
    async fn begin(&self, change: &PlannedChange) -> ChangeRef {
        self.try_begin(change).await.expect("asked").expect("begun")
    }

    async fn try_begin(&self, change: &PlannedChange) -> Result<Option<ChangeRef>, RepoError> {
        self.repos.orgs.begin(&self.org().await, change, "one").await
    }

    /// The slugs in a list of `acme`.
    async fn slugs(&self, list: &str) -> Vec<String> {
        let stored = self.stored().await;
        let Some(entries) = stored.get(list) else { return Vec::new() };
        let slug = |entry: &Bson| match entry {
            Bson::Document(entry) => entry.get_str("slug").expect("a slug").to_owned(),
            other => other.as_str().expect("a slug").to_owned(),
        };
        entries.as_array().expect("a list").iter().map(slug).collect()
    }
}

trait RetainNonNull {
    fn retain_non_null(&mut self);
}

impl RetainNonNull for Document {
    fn retain_non_null(&mut self) {
        let nulls: Vec<String> =
            self.iter().filter(|(_, value)| **value == Bson::Null).map(|(name, _)| name.clone()).collect();
        for name in nulls {
            self.remove(name);
        }
    }
}

/// An idle organization.
fn org(id: ObjectId, slug: &str) -> Document {
    doc! {
        "_id": id, "organization_name": slug, "slug": slug, "names": [slug], "name_since": days(-100),
        "collection_name": format!("org_{slug}"), "collection_uuid": bson::Uuid::new(),
        "connection": { "db_name": "x", "collection_name": format!("org_{slug}") },
        "state": "active", "generation": 4_i64, "token_epoch": 2_i64,
        "created_at": days(-200), "updated_at": days(-100),
    }
}

/// A time so many days from now.
fn days(days: i64) -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis() + days * 24 * 60 * 60 * 1_000)
}

/// A name that is kept or cools down until this time.
fn reserved(slug: &str, until: DateTime) -> Document {
    doc! {
        "organization_name": slug, "slug": slug, "since": days(-200), "given_up_at": days(-100), "until": until,
        "uses": 0_i64, "last_used_at": Bson::Null,
    }
}

/// A stored slug: for a deleted organization, one that no name can have.
fn slug(text: &str) -> Slug {
    bson::deserialize_from_bson(text.into()).expect("a slug")
}

fn title(text: &str) -> Title {
    Title::new(text, slug(text))
}

/// A change of `acme` that is not recorded yet.
fn change(kind: ChangeKind, to: Option<&str>) -> PlannedChange {
    let titles = to.map(|to| Titles { from: title("acme"), to: title(to) });
    PlannedChange { titles, ..PlannedChange::new(ChangeId::generate(), kind) }
}

/// The value at a dotted path; null if missing.
fn at(document: &Document, path: &str) -> Bson {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (document.get(name), rest) {
        (Some(Bson::Document(inner)), Some(rest)) => at(inner, rest),
        (Some(value), None) => value.clone(),
        (_, _) => Bson::Null,
    }
}

/// Fails unless a document has these values at these paths; null means missing.
fn assert_has(document: &Document, expected: Document) {
    for (path, value) in expected {
        assert_eq!(at(document, &path), value, "{path} of {document}");
    }
}

/// Whether the step was refused because the change is another server's or over.
fn is_overtaken<T>(result: &Result<T, RepoError>) -> bool {
    matches!(result, Err(RepoError::LeaseLost))
}
