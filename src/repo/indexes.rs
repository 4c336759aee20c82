//! The unique indexes of the master database: the only place where uniqueness is decided.

use bson::{Document, doc};
use mongodb::{IndexModel, options::IndexOptions};

use super::Database;
use super::documents::{ADMINS, ORGANIZATIONS};
use super::error::RepoError;

/// The index that makes names unique among current and claimed ones.
pub const NAMES_INDEX: &str = "names_1";
/// The index that makes slugs unique.
pub const SLUG_INDEX: &str = "slug_1";
/// The index that gives each organization a collection of its own.
pub const COLLECTION_INDEX: &str = "collection_name_1";
/// The index that makes emails unique over all admins.
pub const EMAIL_INDEX: &str = "email_1";

struct Wanted {
    collection: &'static str,
    name: &'static str,
    keys: Document,
    is_unique: bool,
}

fn wanted() -> [Wanted; 6] {
    let index =
        |collection, name, field: &str, is_unique| Wanted { collection, name, keys: doc! { field: 1 }, is_unique };
    [
        index(ORGANIZATIONS, SLUG_INDEX, "slug", true),
        index(ORGANIZATIONS, NAMES_INDEX, "names", true),
        index(ORGANIZATIONS, COLLECTION_INDEX, "collection_name", true),
        index(ORGANIZATIONS, "state_1", "state", false),
        index(ADMINS, EMAIL_INDEX, "email", true),
        index(ADMINS, "organization_id_1", "organization_id", false),
    ]
}

/// Makes the indexes that are missing.
///
/// # Errors
/// MongoDB could not be asked, or refused one (existing documents break it, or an index of another kind has its
/// name).
pub async fn ensure(database: &Database) -> Result<(), RepoError> {
    for Wanted { collection, name, keys, is_unique } in wanted() {
        let options = IndexOptions::builder().name(name.to_owned()).unique(is_unique).build();
        let model = IndexModel::builder().keys(keys).options(options).build();
        database.collection::<Document>(collection).create_index(model).await?;
    }
    Ok(())
}

/// The indexes that are not there, as `collection.name`.
///
/// # Errors
/// MongoDB could not be asked.
pub async fn missing(database: &Database) -> Result<Vec<String>, RepoError> {
    let mut missing = Vec::new();
    for Wanted { collection, name, keys, is_unique } in wanted() {
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
