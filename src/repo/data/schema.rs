//! The validator of a tenant's collection: the owner's tag, always present, and optionally the tenant's schema.
//!
//! The schema is stored where it is enforced, in the validator itself. The stored and the enforced schema thus never
//! differ, move together in a rename, and are restored together from a backup:
//!
//! ```text
//! { $comment: "owner:…", $and: [{ $comment: "schema:<as it was sent>" }], $jsonSchema: <as MongoDB enforces it> }
//! ```

use bson::{Bson, Document, doc};

use super::{DataRepo, command};
use crate::domain::{OwnerTag, TenantCollection};
use crate::repo::command::run_ddl;
use crate::repo::error::RepoError;
use crate::repo::tenants::TenantRepo;

const SCHEMA_PREFIX: &str = "schema:";

/// The content of a collection's validator.
#[derive(Debug, Clone, PartialEq)]
pub enum Validator {
    /// Only the owner's tag.
    None,
    /// The tenant's schema.
    Schema(StoredSchema),
    /// Anything that this server did not create.
    Foreign,
}

/// A stored schema.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSchema {
    /// The JSON text as sent.
    pub source: String,
    /// What MongoDB enforces.
    pub enforced: Document,
}

impl DataRepo {
    /// The validator of the collection, wherever it is now; `None` when the collection is gone.
    pub async fn validator(&self, at: &TenantCollection) -> Result<Option<Validator>, RepoError> {
        let found = TenantRepo::new(&self.database).find_validator(at).await?;
        Ok(found.map(|validator| read(&validator.unwrap_or_default())))
    }

    /// Sets or removes the collection's schema; the owner's tag stays either way.
    ///
    /// # Errors
    /// [`RepoError::NotAccepted`] for a schema MongoDB cannot enforce, [`RepoError::CollectionBusy`] for a held
    /// collection.
    pub async fn set_schema(
        &self,
        at: &TenantCollection,
        owner: OwnerTag,
        schema: Option<&StoredSchema>,
    ) -> Result<(), RepoError> {
        let mut validator = doc! { "$comment": owner.to_string() };
        if let Some(StoredSchema { source, enforced }) = schema {
            validator.insert("$and", [doc! { "$comment": format!("{SCHEMA_PREFIX}{source}") }]);
            validator.insert("$jsonSchema", enforced);
        }
        let mut modify = command("collMod", at);
        modify.extend(doc! { "validator": validator, "validationLevel": "strict", "validationAction": "error" });
        run_ddl(&self.database, self.limit, modify).await.map(|_reply| ())
    }
}

fn read(validator: &Document) -> Validator {
    let is_ours = validator.keys().all(|key| matches!(key.as_str(), "$comment" | "$and" | "$jsonSchema"));
    if !is_ours {
        return Validator::Foreign;
    }
    match (validator.get_document("$jsonSchema"), source(validator)) {
        (Ok(enforced), Some(source)) => Validator::Schema(StoredSchema { source, enforced: enforced.clone() }),
        (Err(_), None) if !validator.contains_key("$and") => Validator::None,
        _ => Validator::Foreign,
    }
}

fn source(validator: &Document) -> Option<String> {
    let [Bson::Document(kept)] = validator.get_array("$and").ok()?.as_slice() else { return None };
    Some(kept.get_str("$comment").ok()?.strip_prefix(SCHEMA_PREFIX)?.to_owned())
}
