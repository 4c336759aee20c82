//! What each of the original's records lacks. Pure: turns documents into plans.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use time::PrimitiveDateTime;
use time::format_description::well_known::{Iso8601, Rfc3339};

use crate::domain::{Email, Slug};
use crate::repo::records::{ADMINS, ORGANIZATIONS, id_text};
use crate::repo::tenants::Catalog;

/// What one organization lacks.
#[derive(Debug)]
pub(super) struct OrgPlan {
    pub(super) id: ObjectId,
    pub(super) collection_name: String,
    /// Another database that its connection names.
    pub(super) elsewhere: Option<String>,
    pub(super) set: Document,
}

/// What one admin lacks.
#[derive(Debug)]
pub(super) struct AdminPlan {
    pub(super) id: ObjectId,
    pub(super) set: Document,
}

/// An incomplete record: the fields to set, and its conflicts.
struct Record<'a> {
    kind: &'static str,
    collection: &'static str,
    stored: &'a Document,
    set: Document,
    conflicts: &'a mut Vec<String>,
}

impl Record<'_> {
    /// Records that this document cannot be taken over as it is. `what` names fields, never their values.
    fn conflict(&mut self, what: &str) {
        let id = self.stored.get("_id").map(id_text).unwrap_or_default();
        self.conflicts.push(format!("{} {id} (db.{}): {what}", self.kind, self.collection));
    }

    /// Sets a missing or null field.
    fn fill(&mut self, field: &str, value: impl Into<Bson>) {
        if matches!(self.stored.get(field), None | Some(Bson::Null)) {
            self.set.insert(field, value);
        }
    }

    /// Sets a field whose value differs.
    fn correct(&mut self, field: &str, present: Option<&Bson>, value: impl Into<Bson>) {
        let value = value.into();
        if present != Some(&value) {
            self.set.insert(field, value);
        }
    }

    /// The time in a field, as a date: stored as one, parsed from text, or `otherwise` when missing.
    fn time(&mut self, field: &str, otherwise: DateTime) -> DateTime {
        let present = self.stored.get(field).filter(|value| **value != Bson::Null);
        let time = present.map_or(Some(otherwise), stored_time);
        if time.is_none() {
            self.conflict(&format!("its {field} is neither a date nor a time in ISO 8601; correct or remove it"));
        }
        let time = time.unwrap_or(otherwise);
        self.correct(field, present, time);
        time
    }
}

/// What each organization lacks.
pub(super) fn orgs(
    orgs: &[Document],
    admins: &[Document],
    database: &str,
    catalog: &Catalog,
    conflicts: &mut Vec<String>,
) -> Vec<OrgPlan> {
    let lacks = |org: &&Document| !org.contains_key("names") || !org.contains_key("state");
    let plan = |org: &Document| {
        let (kind, collection) = ("organization", ORGANIZATIONS);
        let mut record = Record { kind, collection, stored: org, set: Document::new(), conflicts };
        let (Ok(id), Ok(name)) = (org.get_object_id("_id"), org.get_str("organization_name")) else {
            record
                .conflict("its _id is not an ObjectId or its organization_name is not a text; set it, or move it away");
            return None;
        };
        if name.trim().is_empty() {
            record.conflict("its organization_name is empty; give it one");
        }
        let slug = Slug::of(name);
        let collection_name = match collection_names_of(org) {
            (Some(one), Some(other)) if one != other => match (known(catalog, one), known(catalog, other)) {
                (true, false) => one.to_owned(),
                (false, true) => other.to_owned(),
                (true, true) | (false, false) => {
                    record.conflict(&format!(
                        "its collection_name is {one:?} and its connection.collection_name {other:?}; make them one"
                    ));
                    return None;
                }
            },
            (named, nested) => named.or(nested).map_or_else(|| slug.collection_name(), ToOwned::to_owned),
        };
        record.set.extend(doc! { "slug": slug.as_str(), "names": [slug.as_str()] });
        record.correct("collection_name", org.get("collection_name"), collection_name.as_str());
        plan_connection(&mut record, database, &collection_name, catalog);
        record.correct("admin_user_id", org.get("admin_user_id"), admin_of(id, org, admins));
        record.fill("state", "active");
        record.fill("generation", 0_i64);
        let created_at = record.time("created_at", id.timestamp());
        record.time("updated_at", created_at);
        let elsewhere = org.get_document("connection").ok().and_then(|connection| connection.get_str("db_name").ok());
        let elsewhere = elsewhere.filter(|stored| *stored != database).map(ToOwned::to_owned);
        Some(OrgPlan { id, set: record.set, collection_name, elsewhere })
    };
    orgs.iter().filter(lacks).filter_map(plan).collect()
}

/// Where an organization's data is, and whether it exists.
fn plan_connection(record: &mut Record<'_>, database: &str, collection_name: &str, catalog: &Catalog) {
    let empty = Document::new();
    let connection = match record.stored.get("connection") {
        Some(Bson::Document(connection)) => connection,
        None | Some(Bson::Null) => {
            record.set.insert("connection", doc! {});
            &empty
        }
        Some(_) => {
            record.conflict("its connection is not an object; correct or remove it");
            return;
        }
    };
    if connection.get("extra").is_some_and(|extra| extra.as_document().is_none()) {
        record.conflict("its connection.extra is not an object; correct it, or move it elsewhere in the document");
    }
    let stored_database = connection.get_str("db_name").ok().filter(|stored| *stored != database);
    match (catalog.get(collection_name), stored_database) {
        (None, Some(stored)) => record.conflict(&format!(
            "its data is in the database {stored:?}, not in {database:?}; move the collection {collection_name:?} here, \
             or set connection.db_name"
        )),
        (None, None) if collection_name.contains('$') || collection_name.starts_with("system.") => record.conflict(
            "it has no collection, and MongoDB lets none be made under its collection_name; give it another",
        ),
        (Some(None), _) => {
            record.conflict(&format!("{collection_name:?} is a view, not a collection; give it a collection"));
        }
        (Some(Some(_)) | None, _) => {}
    }
    if record.set.contains_key("connection") {
        let connection = doc! { "db_name": database, "collection_name": collection_name, "extra": {} };
        record.set.insert("connection", connection);
        return;
    }
    // Field by field, so that whatever else was stored there stays.
    record.correct("connection.db_name", connection.get("db_name"), database);
    record.correct("connection.collection_name", connection.get("collection_name"), collection_name);
    if !connection.contains_key("extra") {
        record.set.insert("connection.extra", doc! {});
    }
}

/// What each admin lacks.
pub(super) fn admins(admins: &[Document], orgs: &[Document], conflicts: &mut Vec<String>) -> Vec<AdminPlan> {
    let lacks = |admin: &&Document| !admin.contains_key("credential_version") || !admin.contains_key("emails");
    let plan = |admin: &Document| {
        let (kind, collection) = ("admin", ADMINS);
        let mut record = Record { kind, collection, stored: admin, set: Document::new(), conflicts };
        let (Ok(id), Ok(email)) = (admin.get_object_id("_id"), admin.get_str("email")) else {
            record.conflict("its _id is not an ObjectId or its email is not a text; set it, or move it away");
            return None;
        };
        let email = Email::from_stored(email);
        record.correct("email", admin.get("email"), email.as_str());
        record.set.insert("emails", [email.as_str()].as_slice());
        if !matches!(admin.get("role"), None | Some(Bson::Null | Bson::String(_))) {
            record.conflict("its role is not a text; correct or remove it");
        }
        record.fill("role", "admin");
        record.fill("credential_version", 0_i64);
        let created_at = record.time("created_at", id.timestamp());
        record.time("updated_at", created_at);
        // An admin without an organization stays as it is; it cannot log in.
        if let Some(org) = org_of(id, admin, orgs) {
            record.correct("organization_id", admin.get("organization_id"), org);
        }
        Some(AdminPlan { id, set: record.set })
    };
    admins.iter().filter(lacks).filter_map(plan).collect()
}

/// The collection that an organization names in either place, or else the one derived from its name.
pub(super) fn collection_name_of(org: &Document, slug: &Slug) -> String {
    let (named, nested) = collection_names_of(org);
    named.or(nested).map_or_else(|| slug.collection_name(), ToOwned::to_owned)
}

/// The two places where an organization names its collection.
fn collection_names_of(org: &Document) -> (Option<&str>, Option<&str>) {
    let nested = org.get_document("connection").ok().and_then(|connection| connection.get_str("collection_name").ok());
    (org.get_str("collection_name").ok(), nested)
}

fn known(catalog: &Catalog, name: &str) -> bool {
    catalog.get(name).is_some_and(Option::is_some)
}

/// The organization's admin: the one it names, or else one that names it, or null.
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

/// The admin's organization: the one it names, or else one that names it.
fn org_of(id: ObjectId, admin: &Document, orgs: &[Document]) -> Option<ObjectId> {
    let named = admin.get("organization_id").and_then(object_id);
    named.or_else(|| {
        orgs.iter()
            .find(|org| org.get("admin_user_id").and_then(object_id) == Some(id))
            .and_then(|org| org.get_object_id("_id").ok())
    })
}

/// An ObjectId that the original stored as such or as 24 hex digits.
fn object_id(value: &Bson) -> Option<ObjectId> {
    match value {
        Bson::ObjectId(id) => Some(*id),
        Bson::String(hex) => ObjectId::parse_str(hex).ok(),
        _ => None,
    }
}

/// A time stored as a date or as text: `isoformat()` or `str()` of a Python datetime; UTC if without offset.
fn stored_time(value: &Bson) -> Option<DateTime> {
    match value {
        Bson::DateTime(time) => Some(*time),
        Bson::String(text) => {
            let text = text.replacen(' ', "T", 1);
            time::OffsetDateTime::parse(&text, &Rfc3339)
                .or_else(|_error| PrimitiveDateTime::parse(&text, &Iso8601::PARSING).map(PrimitiveDateTime::assume_utc))
                .ok()
                .map(DateTime::from_time_0_3)
        }
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
            Bson::String("2023-11-14 22:13:20.123000".into()),
            Bson::String("2023-11-14 22:13:20.123000+00:00".into()),
        ] {
            assert_eq!(stored_time(&value), Some(date), "{value:?}");
        }
        assert_eq!(stored_time(&"yesterday".into()), None);
    }
}
