//! The unique indexes of the master database. Uniqueness is decided only here.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::{IndexModel, options::IndexOptions};

use super::Database;
use super::error::RepoError;
use super::idempotency::IDEMPOTENCY_KEYS;
use super::records::{ADMINS, ORGANIZATIONS};

struct Wanted {
    collection: &'static str,
    name: &'static str,
    keys: Document,
    is_unique: bool,
    /// Documents are removed once the time in this field has passed.
    is_expiry: bool,
}

fn wanted() -> [Wanted; 9] {
    let index = |collection, name, field: &str, is_unique| Wanted {
        collection,
        name,
        keys: doc! { field: 1 },
        is_unique,
        is_expiry: false,
    };
    [
        index(ORGANIZATIONS, "slug_1", "slug", true),
        // Current and claimed names: a claim is one update, which fails when another organization has the name.
        index(ORGANIZATIONS, "names_1", "names", true),
        index(ORGANIZATIONS, "collection_name_1", "collection_name", true),
        index(ORGANIZATIONS, "state_1", "state", false),
        index(ADMINS, "email_1", "email", true),
        // The same for addresses.
        index(ADMINS, "emails_1", "emails", true),
        index(ADMINS, "organization_id_1", "organization_id", false),
        Wanted { is_expiry: true, ..index(IDEMPOTENCY_KEYS, "expires_at_1", "expires_at", false) },
        // For counting an owner's records and finding the first to expire.
        Wanted {
            keys: doc! { "owner": 1, "expires_at": 1 },
            ..index(IDEMPOTENCY_KEYS, "owner_1_expires_at_1", "owner", false)
        },
    ]
}

/// Creates the missing indexes.
///
/// # Errors
/// MongoDB could not be reached, or refused one: documents violate it, or another kind of index has its name.
pub async fn ensure(database: &Database) -> Result<(), RepoError> {
    for Wanted { collection, name, keys, is_unique, is_expiry } in wanted() {
        let expire_after = is_expiry.then_some(Duration::ZERO);
        let options =
            IndexOptions::builder().name(name.to_owned()).unique(is_unique).expire_after(expire_after).build();
        let model = IndexModel::builder().keys(keys).options(options).build();
        let made = database.collection::<Document>(collection).create_index(model).await;
        made.map_err(|error| match error.into() {
            RepoError::IndexExists => RepoError::IndexConflict { collection, index: name },
            other => other,
        })?;
    }
    Ok(())
}

/// The missing indexes, as `collection.name`.
pub async fn missing(database: &Database) -> Result<Vec<String>, RepoError> {
    let mut missing = Vec::new();
    for Wanted { collection, name, keys, is_unique, .. } in wanted() {
        let found = match database.collection::<Document>(collection).list_indexes().await {
            Ok(mut cursor) => {
                let mut found = false;
                while cursor.advance().await? {
                    let index = cursor.deserialize_current()?;
                    let unique = index.options.as_ref().and_then(|options| options.unique).unwrap_or(false);
                    found |= index.keys == keys && unique == is_unique;
                }
                found
            }
            Err(error) => match RepoError::from(error) {
                RepoError::NamespaceNotFound => false,
                other => return Err(other),
            },
        };
        if !found {
            missing.push(format!("{collection}.{name}"));
        }
    }
    Ok(missing)
}
