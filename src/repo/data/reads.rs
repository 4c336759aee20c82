//! Finding, counting and measuring documents.

use std::time::Duration;

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Bson, Document, doc};
use futures_util::StreamExt;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use super::{DataRepo, command, malformed};
use crate::domain::TenantCollection;
use crate::domain::documents::DocumentId;
use crate::repo::READ_MAX_TIME;
use crate::repo::command::{millis, run_cursor};
use crate::repo::error::RepoError;

/// How long a whole export may work inside MongoDB, not counting the time spent waiting for its client.
const EXPORT_MAX_TIME: Duration = Duration::from_mins(10);

/// The number of documents in a further batch when their size is unknown.
const BATCH_DOCUMENTS: u32 = 1_000;

/// The number of documents in the first batch: MongoDB's default, so that it arrives soon.
const FIRST_BATCH_DOCUMENTS: u32 = 101;

/// A query: which documents, in which order.
#[derive(Debug, Clone)]
pub struct Find {
    /// The filter.
    pub filter: Document,
    /// The order.
    pub sort: Document,
    /// The maximum number; `None` for all.
    pub limit: Option<u32>,
}

/// Documents as MongoDB sent them.
#[derive(Debug)]
pub struct DocumentBatch(RawBatch);

/// The batches of a query, one after another.
pub struct DocumentCursor(RawBatchCursor);

/// The size of a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionStats {
    /// The number of documents.
    pub documents: u64,
    /// Their size as BSON, in bytes.
    pub bytes: u64,
    /// Their compressed size on disk, in bytes.
    pub storage_bytes: u64,
    /// The size of each index in bytes, by name.
    pub index_bytes: Vec<(String, u64)>,
}

impl DataRepo {
    /// The document of this id.
    pub async fn find_one(&self, at: &TenantCollection, id: &DocumentId) -> Result<Option<RawDocumentBuf>, RepoError> {
        let mut find = command("find", at);
        find.extend(doc! {
            "filter": by_id(id), "limit": 1, "singleBatch": true, "maxTimeMS": millis(READ_MAX_TIME),
        });
        let batch = self.cursor(find).await?.next().await?;
        let Some(batch) = batch else { return Ok(None) };
        let first = batch.documents()?.next().transpose()?;
        Ok(first.map(ToOwned::to_owned))
    }

    /// Some documents, in batches of this size.
    pub async fn find_some(&self, at: &TenantCollection, find: &Find, batch: u32) -> Result<DocumentCursor, RepoError> {
        let mut command = find_command(at, find, READ_MAX_TIME);
        command.insert("batchSize", i64::from(batch));
        run_cursor(&self.database, command, batch).await.map(DocumentCursor)
    }

    /// All documents, in batches of this size.
    pub async fn find_all(&self, at: &TenantCollection, find: &Find, batch: u32) -> Result<DocumentCursor, RepoError> {
        let mut command = find_command(at, find, EXPORT_MAX_TIME);
        // Limit the first batch too, or it would have that many documents, however large.
        command.insert("batchSize", i64::from(batch.min(FIRST_BATCH_DOCUMENTS)));
        run_cursor(&self.database, command, batch).await.map(DocumentCursor)
    }

    pub(super) async fn cursor(&self, command: Document) -> Result<DocumentCursor, RepoError> {
        run_cursor(&self.database, command, BATCH_DOCUMENTS).await.map(DocumentCursor)
    }

    /// The number of matching documents.
    pub async fn count(&self, at: &TenantCollection, filter: &Document) -> Result<u64, RepoError> {
        let pipeline = [doc! { "$match": filter }, doc! { "$count": "count" }];
        let counted = self.aggregate(at, &pipeline).await?;
        // Counting no documents yields no result document.
        Ok(counted.first().map(|counted| number(counted, "count")).unwrap_or_default())
    }

    /// Whether the collection has no documents.
    pub async fn is_empty(&self, at: &TenantCollection) -> Result<bool, RepoError> {
        Ok(self.aggregate(at, &[doc! { "$limit": 1 }]).await?.is_empty())
    }

    /// How large the collection is.
    pub async fn stats(&self, at: &TenantCollection) -> Result<CollectionStats, RepoError> {
        let mut total = CollectionStats::default();
        // One document per shard that holds a part of it.
        for part in self.aggregate(at, &[doc! { "$collStats": { "storageStats": {} } }]).await? {
            let stats = part.get_document("storageStats").map_err(|_absent| malformed())?;
            total.documents += number(stats, "count");
            total.bytes += number(stats, "size");
            total.storage_bytes += number(stats, "storageSize");
            let index_sizes = stats.get_document("indexSizes").map_err(|_absent| malformed())?;
            for name in index_sizes.keys() {
                let bytes = number(index_sizes, name);
                match total.index_bytes.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += bytes,
                    None => total.index_bytes.push((name.clone(), bytes)),
                }
            }
        }
        Ok(total)
    }

    async fn aggregate(&self, at: &TenantCollection, pipeline: &[Document]) -> Result<Vec<Document>, RepoError> {
        let mut aggregate = command("aggregate", at);
        aggregate.extend(doc! { "pipeline": pipeline, "cursor": {}, "maxTimeMS": millis(READ_MAX_TIME) });
        self.all(aggregate).await
    }

    /// All documents that a command finds, where they are few.
    pub(super) async fn all(&self, command: Document) -> Result<Vec<Document>, RepoError> {
        let (mut cursor, mut found) = (self.cursor(command).await?, Vec::new());
        while let Some(batch) = cursor.next().await? {
            for document in batch.documents()? {
                found.push(Document::try_from(document?).map_err(|_malformed| malformed())?);
            }
        }
        Ok(found)
    }
}

impl DocumentBatch {
    /// The documents, in order.
    pub fn documents(&self) -> Result<impl Iterator<Item = Result<&RawDocument, RepoError>>, RepoError> {
        let documents = self.0.doc_slices().map_err(|_error| malformed())?;
        Ok(documents.into_iter().map(|value| value.ok().and_then(bson::RawBsonRef::as_document).ok_or_else(malformed)))
    }
}

impl DocumentCursor {
    /// The next batch; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<DocumentBatch>, RepoError> {
        self.0.next().await.transpose().map(|batch| batch.map(DocumentBatch)).map_err(RepoError::of_read)
    }
}

impl std::fmt::Debug for DocumentCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentCursor").finish_non_exhaustive()
    }
}

fn find_command(at: &TenantCollection, find: &Find, time: Duration) -> Document {
    let mut command = command("find", at);
    command.extend(doc! { "filter": &find.filter, "sort": &find.sort, "maxTimeMS": millis(time) });
    if let Some(limit) = find.limit {
        command.insert("limit", i64::from(limit));
    }
    command
}

/// Matches the document with this id. For a plain value, MongoDB takes its fastest path (docs/BENCHMARKS.md). Values
/// that could read as an operator or pattern, which only other programs' documents have, get an explicit `$eq`.
pub(super) fn by_id(id: &DocumentId) -> Document {
    match id.as_bson() {
        plain @ (Bson::String(_) | Bson::ObjectId(_) | Bson::Int32(_) | Bson::Int64(_)) => doc! { "_id": plain },
        other => doc! { "_id": { "$eq": other } },
    }
}

/// A size or count, in whichever number type MongoDB chose.
pub(in crate::repo) fn number(document: &Document, name: &str) -> u64 {
    let value = match document.get(name) {
        Some(Bson::Int32(value)) => i64::from(*value),
        Some(Bson::Int64(value)) => *value,
        #[expect(clippy::cast_possible_truncation, reason = "a count of bytes, which fits 64 bits")]
        Some(Bson::Double(value)) => *value as i64,
        _ => 0,
    };
    u64::try_from(value).unwrap_or_default()
}
