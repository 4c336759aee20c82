//! Checks the database against what the clients were told.
//!
//! Interrupted changes must end on their own in bounded time, so a violation counts only if it lasts. The checks read
//! MongoDB directly, without any of the server's code.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;

use crate::fleet::{Place, RECOVERY};
use crate::history::{Life, Record, SharedRecord};
use crate::report::{Invariant, Tally, Violation};

/// The prefix of an owner's tag.
const OWNER: &str = "owner:";
/// The states at rest.
const AT_REST: [&str; 2] = ["active", "deleted"];

/// How long a control's violations must last.
const WAIT_FOR_WANTED: Duration = Duration::from_secs(4);

/// A tenant collection in the catalog.
#[derive(Debug, Clone)]
struct Stored {
    uuid: Option<bson::Uuid>,
    owner: Option<String>,
}

/// Everything in a database except tenants' documents.
#[derive(Debug)]
struct Snapshot {
    orgs: Vec<Document>,
    admins: Vec<Document>,
    collections: BTreeMap<String, Stored>,
}

fn id_of(document: &Document, field: &str) -> String {
    document.get_object_id(field).map(ObjectId::to_hex).unwrap_or_default()
}

fn text_of<'a>(document: &'a Document, field: &str) -> &'a str {
    document.get_str(field).unwrap_or_default()
}

fn texts_of(document: &Document, field: &str) -> Vec<String> {
    let values = document.get_array(field).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Bson::as_str).map(ToOwned::to_owned).collect()
}

impl Snapshot {
    /// Reads it piece by piece, so it may show a change in progress.
    async fn take(database: &Database) -> mongodb::error::Result<Self> {
        let orgs = database.collection("organizations").find(doc! {}).await?.try_collect().await?;
        let admins = database.collection("admins").find(doc! {}).await?.try_collect().await?;
        let mut collections = BTreeMap::new();
        let mut cursor = database.list_collections().await?;
        while let Some(found) = cursor.try_next().await? {
            if !(found.name.starts_with("org_") || found.name.starts_with("deleted_")) {
                continue;
            }
            let bytes: Option<[u8; 16]> = found.info.uuid.and_then(|uuid| uuid.bytes.try_into().ok());
            let comment = found.options.validator.as_ref().map(|validator| text_of(validator, "$comment").to_owned());
            let owner = comment.and_then(|comment| comment.strip_prefix(OWNER).map(ToOwned::to_owned));
            collections.insert(found.name, Stored { uuid: bytes.map(bson::Uuid::from_bytes), owner });
        }
        Ok(Self { orgs, admins, collections })
    }

    /// Checks everything that needs no history.
    fn violations(&self, by_hand: Option<&str>) -> Vec<Violation> {
        let mut found = Vec::new();
        for org in &self.orgs {
            self.check_org(org, &mut found);
        }
        self.check_strays(by_hand, &mut found);
        self.check_admins(&mut found);
        self.check_names(&mut found);
        found
    }

    fn check_org(&self, org: &Document, found: &mut Vec<Violation>) {
        let (id, state, name) = (id_of(org, "_id"), text_of(org, "state"), text_of(org, "collection_name"));
        if !AT_REST.contains(&state) || org.contains_key("change") {
            found.push(Violation::new(Invariant::AtRest, &id, format!("still {state}: {}", shown(org))));
            return;
        }
        let expected =
            if state == "deleted" { format!("deleted_{id}") } else { format!("org_{}", text_of(org, "slug")) };
        let in_connection = org.get_document("connection").map(|connection| text_of(connection, "collection_name"));
        if name != expected || (state == "active" && in_connection.ok() != Some(name)) {
            let text = format!("{state}, its collection should be {expected}: {}", shown(org));
            found.push(Violation::new(Invariant::InPlace, &id, text));
        }
        let uuid = org.get("collection_uuid").cloned().and_then(|uuid| bson::deserialize_from_bson(uuid).ok());
        let stored = self.collections.get(name);
        let is_in_place =
            stored.is_some_and(|stored| stored.uuid == uuid && stored.owner.as_deref() == Some(id.as_str()));
        if uuid.is_none() || !is_in_place {
            let elsewhere: Vec<_> = self.collections.iter().filter(|(_, stored)| stored.uuid == uuid).collect();
            let text = format!("at {name} is {stored:?}, its UUID is at {elsewhere:?}: {}", shown(org));
            found.push(Violation::new(Invariant::InPlace, &id, text));
        }
    }

    fn check_strays(&self, by_hand: Option<&str>, found: &mut Vec<Violation>) {
        let mut owned: BTreeSet<&str> = self.orgs.iter().map(|org| text_of(org, "collection_name")).collect();
        owned.extend(by_hand);
        for (name, stored) in self.collections.iter().filter(|(name, _)| !owned.contains(name.as_str())) {
            found.push(Violation::new(Invariant::NoStray, name, format!("nobody's: {stored:?}")));
        }
    }

    fn check_admins(&self, found: &mut Vec<Violation>) {
        for org in &self.orgs {
            let id = id_of(org, "_id");
            let admins: Vec<&Document> =
                self.admins.iter().filter(|admin| id_of(admin, "organization_id") == id).collect();
            let is_one = matches!(*admins, [admin] if id_of(admin, "_id") == id_of(org, "admin_user_id"));
            if !is_one {
                let text = format!("{} admins: {}", admins.len(), shown(org));
                found.push(Violation::new(Invariant::OneAdmin, &id, text));
            }
        }
        for admin in &self.admins {
            let (id, of) = (id_of(admin, "_id"), id_of(admin, "organization_id"));
            if !self.orgs.iter().any(|org| id_of(org, "_id") == of) {
                let text = format!("the admin {id} ({}) has none", text_of(admin, "email"));
                found.push(Violation::new(Invariant::OneAdmin, &of, text));
            }
            let is_claimed = admin.contains_key("claimed_by");
            let (email, claims) = (text_of(admin, "email"), texts_of(admin, "emails"));
            if is_claimed || claims != [email] {
                let text = format!("the admin {id} has {email} and claims {claims:?}, for a change: {is_claimed}");
                found.push(Violation::new(Invariant::Names, &of, text));
            }
        }
    }

    fn check_names(&self, found: &mut Vec<Violation>) {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for org in &self.orgs {
            let id = id_of(org, "_id");
            let names = texts_of(org, "names");
            let allowed = allowed_names(org);
            if !names.contains(&text_of(org, "slug").to_owned()) || names.iter().any(|name| !allowed.contains(name)) {
                let text = format!("claims {names:?}, may claim {allowed:?}");
                found.push(Violation::new(Invariant::Names, &id, text));
            }
            for name in names {
                if let Some(other) = owners.insert(name.clone(), id.clone()) {
                    found.push(Violation::new(Invariant::Names, &id, format!("{name} is also of {other}")));
                }
            }
        }
    }
}

/// Its own name and those that it holds: old ones, those that cool down, and the one from before its deletion.
fn allowed_names(org: &Document) -> BTreeSet<String> {
    let mut allowed = BTreeSet::from([text_of(org, "slug").to_owned()]);
    for list in ["old_names", "cooling"] {
        let entries = org.get_array(list).map(Vec::as_slice).unwrap_or_default();
        allowed.extend(entries.iter().filter_map(Bson::as_document).map(|entry| text_of(entry, "slug").to_owned()));
    }
    if let Ok(deletion) = org.get_document("deletion") {
        allowed.insert(text_of(deletion, "slug").to_owned());
    }
    allowed
}

/// An organization's document without the lengthy fields.
fn shown(org: &Document) -> String {
    let mut org = org.clone();
    for field in ["history", "connection", "created_at", "updated_at"] {
        org.remove(field);
    }
    org.to_string()
}

/// Checks all invariants. Every organization in the database must be one of these records. What is still wrong when
/// interrupted changes have had time to end is a violation.
pub(crate) async fn check(place: &Place, records: &[SharedRecord], tally: &Tally) {
    let deadline = Instant::now() + if tally.is_quiet() { WAIT_FOR_WANTED } else { RECOVERY };
    let mut found = look(place, records).await;
    while !found.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = look(place, records).await;
    }
    for violation in &mut found {
        if violation.history.is_empty() {
            let record = records.iter().find(|record| record.lock().id.as_deref() == Some(violation.about.as_str()));
            violation.history = record.map(|record| record.lock().history()).unwrap_or_default();
        }
    }
    tally.violate_all(found);
}

async fn look(place: &Place, records: &[SharedRecord]) -> Vec<Violation> {
    match Snapshot::take(&place.database).await {
        Ok(snapshot) => {
            let mut found = snapshot.violations(place.by_hand);
            if found.is_empty() {
                found = check_records(place, &snapshot, records).await;
            }
            found
        }
        Err(error) => vec![Violation::new(Invariant::Broken, "the check", error.to_string())],
    }
}

pub(crate) async fn check_doctor(place: &Place, tally: &Tally) {
    tally.violate_all(place.doctor().await.map(|text| Violation::new(Invariant::Doctor, place.database.name(), text)));
}

async fn check_records(place: &Place, snapshot: &Snapshot, records: &[SharedRecord]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let told: BTreeSet<String> = records.iter().filter_map(|record| record.lock().id.clone()).collect();
    for record in records {
        // A copy, so that no lock is held across the call to MongoDB.
        let expected = record.lock().clone();
        let org = snapshot.org_of(&expected, &told);
        known.extend(org.map(|org| id_of(org, "_id")));
        let mut of_record = expected.violations(snapshot, org);
        if let Some(org) = org {
            match stored_documents(&place.database, text_of(org, "collection_name")).await {
                Ok(documents) => of_record.extend(expected.document_violations(&documents)),
                Err(error) => of_record.push(Violation::new(Invariant::Broken, &expected.key, error.to_string())),
            }
        }
        found.extend(of_record.into_iter().map(|violation| Violation { history: expected.history(), ..violation }));
    }
    for org in &snapshot.orgs {
        let id = id_of(org, "_id");
        if !known.contains(&id) {
            found.push(Violation::new(Invariant::Exists, &id, format!("nobody created it: {}", shown(org))));
        }
    }
    found
}

/// The `_id` and the fields that clients wrote.
type Documents = Vec<(String, String, Option<i64>)>;

async fn stored_documents(database: &Database, collection: &str) -> mongodb::error::Result<Documents> {
    let stored: Vec<Document> = database.collection(collection).find(doc! {}).await?.try_collect().await?;
    let number = |document: &Document| document.get("v").and_then(|v| v.as_i64().or(v.as_i32().map(i64::from)));
    let fields = |document: &Document| {
        (text_of(document, "_id").to_owned(), text_of(document, "org").to_owned(), number(document))
    };
    Ok(stored.iter().map(fields).collect())
}

/// What a record says about the database.
impl Record {
    fn violations(&self, snapshot: &Snapshot, org: Option<&Document>) -> Vec<Violation> {
        let violation = |invariant, text: String| Violation::new(invariant, &self.key, text);
        let Some(org) = org else {
            let mut found = Vec::new();
            if !self.life.allows(&Life::Gone) {
                found.push(violation(Invariant::Exists, "it is gone".to_owned()));
            }
            found.extend(self.leftovers(snapshot).map(|text| violation(Invariant::Gone, text)));
            return found;
        };
        let life = if text_of(org, "state") == "deleted" { Life::PutAway } else { Life::Live };
        if !self.life.allows(&life) {
            let is_over = self.life.is_certainly(&Life::Gone) && self.id.is_some();
            let invariant = if is_over { Invariant::Gone } else { Invariant::Exists };
            return vec![violation(invariant, format!("it is {life:?}: {}", shown(org)))];
        }
        let name = text_of(org, "organization_name");
        let admin = snapshot.admins.iter().find(|admin| id_of(admin, "organization_id") == id_of(org, "_id"));
        let email = admin.map(|admin| text_of(admin, "email")).unwrap_or_default();
        let is_told = self.shape.all().iter().any(|shape| shape.name == name && shape.email == email);
        if is_told {
            return Vec::new();
        }
        vec![violation(Invariant::LastWord, format!("it is {name} of {email}: {}", shown(org)))]
    }

    /// What is left of an organization that is gone for good.
    fn leftovers<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = String> + 'a {
        let id = self.id.clone().unwrap_or_default();
        let of_admins = snapshot.admins.iter().filter({
            let id = id.clone();
            move |admin| !id.is_empty() && id_of(admin, "organization_id") == id
        });
        let of_collections =
            snapshot.collections.iter().filter(move |(_, stored)| !id.is_empty() && stored.owner.as_ref() == Some(&id));
        let admins = of_admins.map(|admin| format!("its admin {} is left", id_of(admin, "_id")));
        admins.chain(of_collections.map(|(name, _)| format!("its collection {name} is left")))
    }

    fn document_violations(&self, documents: &Documents) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut violate = |invariant, text: String| found.push(Violation::new(invariant, &self.key, text));
        let mut stored: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for (id, org, value) in documents {
            if *org != self.key {
                violate(Invariant::Apart, format!("{id} of {org:?} is in its collection"));
            }
            stored.insert(id, *value);
        }
        for (id, possible) in &self.documents {
            let value = stored.remove(id.as_str()).flatten();
            if !possible.allows(&value) {
                violate(Invariant::Kept, format!("{id} is {value:?}, told was {possible:?}"));
            }
        }
        for (id, value) in stored {
            violate(Invariant::Kept, format!("{id} = {value:?} was never sent"));
        }
        found
    }
}

impl Snapshot {
    /// A record's organization: by its id, or by its admin's email if the client was never told the id. In that case it is
    /// none of those whose ids were told.
    fn org_of(&self, expected: &Record, told: &BTreeSet<String>) -> Option<&Document> {
        let by_id = |id: &str| self.orgs.iter().find(|org| id_of(org, "_id") == id);
        if let Some(id) = &expected.id {
            return by_id(id);
        }
        let emails: Vec<String> = expected.shape.all().into_iter().map(|shape| shape.email).collect();
        let admin = self.admins.iter().find(|admin| emails.iter().any(|email| email == text_of(admin, "email")))?;
        Some(id_of(admin, "organization_id")).filter(|id| !told.contains(id)).and_then(|id| by_id(&id))
    }
}
