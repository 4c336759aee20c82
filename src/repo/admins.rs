//! Admins in the master database.

use bson::{DateTime, Document, doc, oid::ObjectId};
use mongodb::Collection;

use super::documents::{ADMINS, AdminDocument, CredentialsDocument, ORGANIZATIONS, OrgDocument, decode};
use super::error::RepoError;
use super::{Database, READ_MAX_TIME};
use crate::domain::{Admin, AdminId, Email, Org, OrgId};

/// The admins.
#[derive(Debug, Clone)]
pub struct AdminRepo {
    collection: Collection<Document>,
}

impl AdminRepo {
    pub(crate) fn new(database: &Database) -> Self {
        Self { collection: database.collection(ADMINS) }
    }

    /// An admin of this id that belongs to this organization, with the organization as it is now, in one round trip.
    ///
    /// # Errors
    /// MongoDB could not be asked, or a document cannot be read.
    pub async fn find_with_org(&self, id: AdminId, org_id: OrgId) -> Result<Option<(Admin, Org)>, RepoError> {
        self.join_org(doc! { "_id": id.0, "organization_id": org_id.0 }).await
    }

    /// The admin with this email, with its organization as it is now, in one round trip. `None` also for an admin
    /// whose organization is gone.
    ///
    /// # Errors
    /// MongoDB could not be asked, or a document cannot be read.
    pub async fn find_by_email_with_org(&self, email: &Email) -> Result<Option<(Admin, Org)>, RepoError> {
        self.join_org(doc! { "email": email.as_str() }).await
    }

    /// Whether another admin than `except` has this email.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn is_email_taken(&self, email: &Email, except: Option<AdminId>) -> Result<bool, RepoError> {
        let mut query = doc! { "email": email.as_str() };
        if let Some(AdminId(id)) = except {
            query.insert("_id", doc! { "$ne": id });
        }
        let found = self.collection.find_one(query).projection(doc! { "_id": 1 }).max_time(READ_MAX_TIME).await?;
        Ok(found.is_some())
    }

    /// Records a new admin and claims its email.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the email belongs to another admin.
    pub async fn insert(&self, admin: &AdminDocument) -> Result<(), RepoError> {
        let document = bson::serialize_to_document(admin)
            .map_err(|_error| RepoError::Refused { summary: "an admin could not be encoded".to_owned() })?;
        self.collection.insert_one(document).await?;
        Ok(())
    }

    /// Sets an admin's credentials to `to` if they are of the version of `from` or were set to `to` before: safe to
    /// repeat.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when the email belongs to another admin; [`RepoError::TakenOver`] when the
    /// credentials are of a third version.
    pub async fn replace_credentials(
        &self,
        id: ObjectId,
        from: &CredentialsDocument,
        to: &CredentialsDocument,
        now: DateTime,
    ) -> Result<(), RepoError> {
        let filter =
            doc! { "_id": id, "credential_version": { "$in": [from.credential_version, to.credential_version] } };
        let set = doc! {
            "email": &to.email,
            "password_hash": &to.password_hash,
            "credential_version": to.credential_version,
            "updated_at": now,
        };
        let result = self.collection.update_one(filter, doc! { "$set": set }).await?;
        if result.matched_count == 1 { Ok(()) } else { Err(RepoError::TakenOver) }
    }

    /// Removes all admins of an organization that is going.
    ///
    /// # Errors
    /// MongoDB could not be asked.
    pub async fn remove_of(&self, org_id: OrgId) -> Result<(), RepoError> {
        self.collection.delete_many(doc! { "organization_id": org_id.0 }).await?;
        Ok(())
    }

    async fn join_org(&self, query: Document) -> Result<Option<(Admin, Org)>, RepoError> {
        let pipeline = [
            doc! { "$match": query },
            doc! { "$lookup": {
                "from": ORGANIZATIONS, "localField": "organization_id", "foreignField": "_id", "as": "organization",
            } },
        ];
        let mut cursor = self.collection.aggregate(pipeline).max_time(READ_MAX_TIME).await?;
        if !cursor.advance().await? {
            return Ok(None);
        }
        let mut document = cursor.deserialize_current()?;
        let orgs = document.remove("organization");
        let Some(org) = orgs.and_then(|orgs| orgs.as_array()?.first()?.as_document().cloned()) else {
            return Ok(None);
        };
        let admin: AdminDocument = decode(ADMINS, document)?;
        let org: OrgDocument = decode(ORGANIZATIONS, org)?;
        Ok(Some((admin.to_admin(), org.to_org())))
    }
}
