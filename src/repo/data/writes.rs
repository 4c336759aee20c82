//! Document writes: one at a time under a condition, or many inserts at once.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf, cstr};
use bson::{Bson, Document, doc};

use super::reads::by_id;
use super::{DataRepo, command, malformed};
use crate::domain::TenantCollection;
use crate::domain::documents::REVISION_FIELD;
use crate::domain::documents::{DocumentId, NewDocument, Version};
use crate::repo::READ_MAX_TIME;
use crate::repo::command::{millis, raw_write, run_many, run_raw};
use crate::repo::error::RepoError;

/// The state a document must be in for a write to happen.
#[derive(Debug, Clone)]
pub enum Guard {
    /// Last written by one of these writes.
    Revisions(Vec<ObjectId>),
    /// Has exactly this content: it was written by a program that sets no revisions.
    Content(RawDocumentBuf),
}

impl Guard {
    /// The state in which a document was read.
    pub fn of(document: &RawDocument) -> Self {
        match Version::of(document) {
            Version::Revision(revision) => Self::Revisions(vec![revision]),
            Version::Content(_) => Self::Content(document.to_owned()),
        }
    }

    fn filter(&self, id: &DocumentId) -> Result<Document, RepoError> {
        let mut filter = by_id(id);
        match self {
            Self::Revisions(revisions) => {
                filter.insert(REVISION_FIELD, doc! { "$in": revisions });
            }
            Self::Content(content) => {
                let content = Document::try_from(content.as_ref()).map_err(|_error| malformed())?;
                filter.insert("$expr", doc! { "$eq": ["$$ROOT", { "$literal": content }] });
            }
        }
        Ok(filter)
    }
}

impl DataRepo {
    /// Adds a document.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when its `_id` or a unique index's value already exists.
    pub async fn insert(&self, at: &TenantCollection, document: &NewDocument) -> Result<(), RepoError> {
        let insert = insert_command(at, &[document])?;
        run_raw(&self.database, insert).await.map(drop)
    }

    /// Adds many documents, each independently. Returns the failures, by position.
    pub async fn insert_many(
        &self,
        at: &TenantCollection,
        documents: &[&NewDocument],
    ) -> Result<Vec<(usize, RepoError)>, RepoError> {
        let insert = insert_command(at, documents)?;
        run_many(&self.database, insert, documents.len()).await
    }

    /// The current revisions of the documents with these ids.
    pub async fn revisions_of(
        &self,
        at: &TenantCollection,
        documents: &[&NewDocument],
    ) -> Result<HashSet<ObjectId>, RepoError> {
        let ids: Vec<&Bson> = documents.iter().map(|document| document.id.as_bson()).collect();
        let mut find = command("find", at);
        find.extend(doc! {
            "filter": { "_id": { "$in": ids } },
            "projection": { REVISION_FIELD: 1 },
            "batchSize": i64::try_from(documents.len()).unwrap_or(i64::MAX),
            "maxTimeMS": millis(READ_MAX_TIME),
        });
        let mut found = HashSet::new();
        let mut cursor = self.cursor(find).await?;
        while let Some(batch) = cursor.next().await? {
            for document in batch.documents()? {
                found.extend(document?.get_object_id(REVISION_FIELD).ok());
            }
        }
        Ok(found)
    }

    /// Replaces the document that has this id; false when there is none in that state.
    ///
    /// # Errors
    /// [`RepoError::Duplicate`] when a unique index's value already exists.
    pub async fn replace(
        &self,
        at: &TenantCollection,
        document: &NewDocument,
        guard: &Guard,
    ) -> Result<bool, RepoError> {
        let filter = guard.filter(&document.id)?;
        let mut update = RawDocumentBuf::new();
        update.append(cstr!("q"), RawDocumentBuf::try_from(&filter).map_err(|_error| malformed())?);
        update.append(cstr!("u"), document.raw.as_ref());
        let mut updates = RawArrayBuf::new();
        updates.push(update);
        let mut replace = raw_write(command("update", at))?;
        replace.append(cstr!("updates"), updates);
        changed_one(&run_raw(&self.database, replace).await?)
    }

    /// Removes a document; false when there is none in that state.
    pub async fn remove(&self, at: &TenantCollection, id: &DocumentId, guard: &Guard) -> Result<bool, RepoError> {
        let mut head = command("delete", at);
        head.insert("deletes", [doc! { "q": guard.filter(id)?, "limit": 1 }]);
        changed_one(&run_raw(&self.database, raw_write(head)?).await?)
    }
}

fn insert_command(at: &TenantCollection, documents: &[&NewDocument]) -> Result<RawDocumentBuf, RepoError> {
    let mut head = command("insert", at);
    head.insert("ordered", false);
    let mut insert = raw_write(head)?;
    let mut list = RawArrayBuf::new();
    for document in documents {
        list.push(document.raw.as_ref());
    }
    insert.append(cstr!("documents"), list);
    Ok(insert)
}

/// Whether a command's single write matched a document.
fn changed_one(reply: &Document) -> Result<bool, RepoError> {
    Ok(reply.get_i32("n").map_err(|_absent| malformed())? > 0)
}
