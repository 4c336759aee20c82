//! Exports all documents of a tenant in the order of their `_id`, with no time limit. When the collection is renamed,
//! MongoDB closes the cursor; a new one resumes after the last document returned.

use super::located::{Located, Sent};
use super::reads::continued;
use super::{DataError, DataService};
use crate::domain::query::{Filter, Position, Sort};
use crate::domain::{Invalid, Tenant, TenantCollection};
use crate::repo::data::{DocumentBatch, DocumentCursor, Find};

/// Target size of a batch. MongoDB would fill 16 MiB, and several copies of that would be in memory here; this size
/// costs hardly more round trips.
const BATCH_BYTES: u64 = 512 << 10;
/// The most documents in a batch, however small they are.
const MAX_BATCH_DOCUMENTS: usize = 10_000;
/// The most bytes in a batch when one document is far larger than the others.
const LARGEST_BATCH_BYTES: usize = 1 << 20;

/// The fewest documents in a batch, so that one large document does not make the rest arrive one by one.
const FEWEST_DOCUMENTS: usize = 8;

/// An export in progress.
#[derive(Debug)]
pub struct Export {
    service: DataService,
    located: Located,
    filter: Filter,
    sort: Sort,
    after: Option<Position>,
    cursor: Option<DocumentCursor>,
    /// Documents per batch by average size, and at present.
    by_average: usize,
    batch_documents: u32,
    /// Upper bound of a batch in bytes, as far as is known.
    batch_bound: usize,
}

impl DataService {
    /// Begins an export. Only the collection's size is read yet.
    pub async fn export(&self, tenant: &Tenant, filter: Filter) -> Result<Export, DataError> {
        let stats = self.stats(tenant).await?;
        let average = stats.bytes.checked_div(stats.documents).unwrap_or_default().max(1);
        let by_average = usize::try_from(BATCH_BYTES / average).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_DOCUMENTS);
        let batch = self.batch_of_export(tenant, by_average);
        // A batch is never larger than the collection.
        let size = usize::try_from(stats.bytes).unwrap_or(usize::MAX);
        let batch_bound = self.reply_bound(tenant, batch).min(size);
        let batch_documents = u32::try_from(batch).unwrap_or(u32::MAX);
        let (service, located, sort) = (self.clone(), self.locate(tenant), Sort::default());
        let (after, cursor) = (None, None);
        Ok(Export { service, located, filter, sort, after, cursor, by_average, batch_documents, batch_bound })
    }

    /// Documents per batch: by average size, but few where documents may be large.
    fn batch_of_export(&self, tenant: &Tenant, by_average: usize) -> usize {
        by_average.min(self.documents_in(tenant, LARGEST_BATCH_BYTES).max(FEWEST_DOCUMENTS))
    }
}

impl Export {
    /// Upper bound of a batch in bytes, as far as is known.
    pub fn batch_bound(&self) -> usize {
        self.batch_bound
    }

    /// The next documents; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<DocumentBatch>, DataError> {
        let Self { service, located, filter, sort, after, cursor, batch_documents, .. } = self;
        let next = |at: TenantCollection| {
            let (cursor, repo, batch) = (cursor.take(), &service.repo, *batch_documents);
            let filter = continued(filter, sort, after.as_ref());
            let find = Find { filter, sort: sort.to_document(), limit: None };
            async move {
                let mut cursor = match cursor {
                    Some(cursor) => cursor,
                    None => repo.find_all(&at, &find, batch).await?,
                };
                Ok((cursor.next().await?, cursor))
            }
        };
        let (batch, open) = located.read(Sent::Query, next).await?;
        *cursor = Some(open);
        if let Some(batch) = &batch {
            self.note_last(batch)?;
            self.fit_batch();
        }
        Ok(batch)
    }

    /// Adjusts the batch size when documents differ much from the estimate.
    fn fit_batch(&mut self) {
        let fitting =
            u32::try_from(self.service.batch_of_export(&self.located.tenant, self.by_average)).unwrap_or(u32::MAX);
        if fitting / 4 >= self.batch_documents || fitting <= self.batch_documents / 4 {
            self.batch_documents = fitting;
            self.cursor = None;
        }
    }

    fn note_last(&mut self, batch: &DocumentBatch) -> Result<(), DataError> {
        let mut last = None;
        for document in batch.documents()? {
            let document = document?;
            self.service.sizes.note(self.located.tenant.org_id(), document.as_bytes().len());
            last = Some(document);
        }
        if let Some(last) = last {
            let position = self
                .sort
                .position_of(last)
                .map_err(|unsortable| DataError::invalid(Invalid::new("unsortable", unsortable.to_string()), "/_id"))?;
            self.after = Some(position);
        }
        Ok(())
    }
}
