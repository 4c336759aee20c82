//! The JSON Schema of a tenant's collection.

use bson::doc;

use super::located::Sent;
use super::{DataError, DataService};
use crate::domain::schema::CollectionSchema;
use crate::domain::{OwnerTag, Tenant};
use crate::repo::data::{StoredSchema, Validator};

/// The result of setting a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedSchema {
    /// How many existing documents violate it. They stay as they are, but the next write must fix them.
    pub violating: u64,
    /// Whether it is now enforced.
    pub is_applied: bool,
}

impl DataService {
    /// Returns the schema as it was sent.
    pub async fn schema(&self, tenant: &Tenant) -> Result<String, DataError> {
        match self.validator(tenant).await? {
            Validator::Schema(schema) => Ok(schema.source),
            Validator::None => Err(DataError::SchemaNotFound),
            Validator::Foreign => Err(DataError::ForeignValidator),
        }
    }

    /// Sets the schema, or only says what it would come to.
    pub async fn set_schema(
        &self,
        tenant: &Tenant,
        source: &str,
        schema: &CollectionSchema,
        is_dry_run: bool,
    ) -> Result<AppliedSchema, DataError> {
        if self.validator(tenant).await? == Validator::Foreign {
            return Err(DataError::ForeignValidator);
        }
        let violating = self.count_violating(tenant, schema).await?;
        if !is_dry_run {
            let schema = StoredSchema { source: source.to_owned(), enforced: schema.enforced().clone() };
            self.modify(tenant, Some(&schema)).await?;
        }
        Ok(AppliedSchema { violating, is_applied: !is_dry_run })
    }

    async fn count_violating(&self, tenant: &Tenant, schema: &CollectionSchema) -> Result<u64, DataError> {
        let broken = &doc! { "$nor": [{ "$jsonSchema": schema.enforced() }] };
        let count = |at| async move { self.repo.count(&at, broken).await };
        self.enter(tenant).await?.read(Sent::Schema, count).await
    }

    /// Takes the schema away.
    pub async fn remove_schema(&self, tenant: &Tenant) -> Result<(), DataError> {
        self.schema(tenant).await?;
        self.modify(tenant, None).await
    }

    async fn modify(&self, tenant: &Tenant, schema: Option<&StoredSchema>) -> Result<(), DataError> {
        let owner = OwnerTag(tenant.org_id());
        let set = |at, _before| async move { self.repo.set_schema(&at, owner, schema).await };
        self.enter(tenant).await?.change(Sent::Schema, set).await
    }

    async fn validator(&self, tenant: &Tenant) -> Result<Validator, DataError> {
        let _turn = self.turn(tenant).await?;
        let found = self.repo.validator(tenant.collection()).await.map_err(|error| Sent::Schema.refusal(error))?;
        if let Some(validator) = found {
            return Ok(validator);
        }
        // Either the organization is gone, or only its collection.
        self.at_rest(tenant).await?;
        Err(DataError::Replaced)
    }
}
