//! Finds records that the unique indexes would reject, and says how to resolve each case.

use std::collections::BTreeMap;

use bson::Document;

use super::plan::collection_name_of;
use crate::domain::{Email, Slug};
use crate::repo::records::{ADMINS, ORGANIZATIONS, id_text};

/// The ids of the records that share each value.
#[derive(Default)]
struct Groups(BTreeMap<String, Vec<String>>);

impl Groups {
    fn add(&mut self, value: &str, record: &Document) {
        let id = record.get("_id").map(id_text).unwrap_or_default();
        self.0.entry(value.to_owned()).or_default().push(id);
    }

    /// Each value shared by several records, with their ids as a list.
    fn shared(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter(|(_, ids)| ids.len() > 1).map(|(value, ids)| (value.as_str(), ids.join(", ")))
    }
}

/// Adds a line for every collision.
pub(super) fn find(orgs: &[Document], admins: &[Document], conflicts: &mut Vec<String>) {
    let (mut slugs, mut collections, mut emails) = (Groups::default(), Groups::default(), Groups::default());
    for org in orgs {
        let Ok(name) = org.get_str("organization_name") else { continue };
        let slug = Slug::of(name);
        collections.add(&collection_name_of(org, &slug), org);
        slugs.add(slug.as_str(), org);
    }
    for admin in admins {
        let Ok(email) = admin.get_str("email") else { continue };
        emails.add(Email::from_stored(email).as_str(), admin);
    }
    conflicts.extend(slugs.shared().map(|(slug, ids)| {
        format!(
            "organizations {ids} have the same name {slug:?} but for its spelling; give all but one another \
             organization_name: {}",
            update_one(ORGANIZATIONS, "organization_name")
        )
    }));
    conflicts.extend(collections.shared().map(|(collection, ids)| {
        format!(
            "organizations {ids} share the collection {collection:?}; give all but one a collection_name of its own and \
             move its documents there"
        )
    }));
    // Emails are personal data: admins are named by id.
    conflicts.extend(emails.shared().map(|(_, ids)| {
        format!(
            "admins {ids} have the same email but for its spelling; give all but one another email: {}",
            update_one(ADMINS, "email")
        )
    }));
}

fn update_one(collection: &str, field: &str) -> String {
    format!("db.{collection}.updateOne({{_id: ObjectId(\"…\")}}, {{$set: {{{field}: \"…\"}}}})")
}
