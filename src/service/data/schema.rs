//! The JSON Schema of a tenant's collection.

use bson::doc;

use super::place::refusal;
use super::{DataError, DataService};
use crate::domain::schema::CollectionSchema;
use crate::domain::{Invalid, OwnerTag, Tenant};
use crate::repo::RepoError;
use crate::repo::tenant_data::{StoredSchema, Validator};

/// What setting a schema came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedSchema {
    /// How many documents that are there already break it. They stay as they are, and a write must mend them.
    pub violating: u64,
    /// Whether it is enforced now.
    pub is_applied: bool,
}

impl DataService {
    /// The schema, as it was sent.
    pub async fn schema(&self, tenant: &Tenant) -> Result<String, DataError> {
        match self.validator(tenant).await? {
            Validator::Schema(schema) => Ok(schema.source),
            Validator::None => Err(DataError::SchemaNotFound),
            Validator::Foreign => Err(DataError::ForeignValidator),
        }
    }

    /// Sets the schema, or only says what it would come to.
    ///
    /// # Errors
    /// [`DataError::ForeignValidator`], [`DataError::TooSlow`] when the documents are too many to be looked at, or what every
    /// write meets.
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
        let broken = doc! { "$nor": [{ "$jsonSchema": schema.enforced() }] };
        let mut place = self.enter(tenant).await?;
        loop {
            match self.repo.count(&place.collection, &broken).await {
                Ok(count) => return Ok(count),
                Err(RepoError::NotAccepted { .. }) => return Err(not_accepted()),
                Err(error) => self.locator.after_read(&mut place, error).await?,
            }
        }
    }

    /// Takes the schema away.
    ///
    /// # Errors
    /// [`DataError::SchemaNotFound`], [`DataError::ForeignValidator`], or what every write meets.
    pub async fn remove_schema(&self, tenant: &Tenant) -> Result<(), DataError> {
        self.schema(tenant).await?;
        self.modify(tenant, None).await
    }

    async fn modify(&self, tenant: &Tenant, schema: Option<&StoredSchema>) -> Result<(), DataError> {
        let mut place = self.enter(tenant).await?;
        loop {
            match self.repo.set_schema(&place.collection, OwnerTag(tenant.org_id()), schema).await {
                Ok(()) => return Ok(()),
                Err(RepoError::NotAccepted { .. }) => return Err(not_accepted()),
                // Setting the same validator again is no harm.
                Err(error) => drop(self.locator.after_write(&mut place, error).await?),
            }
        }
    }

    async fn validator(&self, tenant: &Tenant) -> Result<Validator, DataError> {
        let _turn = self.turn(tenant).await?;
        let found = self.repo.validator(tenant.collection()).await.map_err(refusal)?;
        if let Some(validator) = found {
            return Ok(validator);
        }
        // The organization is gone, or its collection alone is.
        self.locator.at_rest(tenant).await?;
        Err(DataError::Replaced)
    }
}

fn not_accepted() -> DataError {
    let why = "MongoDB does not accept this schema; look at its patterns";
    DataError::invalid(Invalid::new("invalid_value", why), "")
}
