//! All documents of a tenant, in the order of their `_id`, for as long as it takes. When the collection is renamed, MongoDB
//! ends the cursor; another one goes on after the last document that was handed out.

use super::located::{Located, Sent};
use super::reads::continued;
use super::{DataError, DataService};
use crate::domain::query::{Filter, Position, Sort};
use crate::domain::{Invalid, Tenant, TenantCollection};
use crate::repo::data::{DocumentBatch, DocumentCursor, Find};

/// About how many bytes a batch has. MongoDB would fill 16 MiB, which several copies of then stand in memory here, whereas so
/// many bytes cost hardly more round trips.
const BATCH_BYTES: u64 = 512 << 10;
/// How many documents a batch has at most, however small they are.
const MAX_BATCH_DOCUMENTS: usize = 10_000;
/// How many bytes a batch may have where one document is far larger than the others.
const LARGEST_BATCH_BYTES: usize = 1 << 20;

/// How many documents a batch has at least, so that one large document does not make all others come one by one.
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
    /// How many documents are about right for a batch on average, and how many one has.
    by_average: usize,
    batch_documents: u32,
    /// How many bytes a batch may be, as far as is known.
    batch_bound: usize,
}

impl DataService {
    /// Begins an export; of MongoDB only the collection's size is asked yet.
    pub async fn export(&self, tenant: &Tenant, filter: Filter) -> Result<Export, DataError> {
        let stats = self.stats(tenant).await?;
        let average = stats.bytes.checked_div(stats.documents).unwrap_or_default().max(1);
        let by_average = usize::try_from(BATCH_BYTES / average).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_DOCUMENTS);
        let batch = self.batch_of_export(tenant, by_average);
        // No batch is larger than the collection.
        let size = usize::try_from(stats.bytes).unwrap_or(usize::MAX);
        let batch_bound = self.reply_bound(tenant, batch).min(size);
        let batch_documents = u32::try_from(batch).unwrap_or(u32::MAX);
        let (service, located, sort) = (self.clone(), self.locate(tenant), Sort::default());
        let (after, cursor) = (None, None);
        Ok(Export { service, located, filter, sort, after, cursor, by_average, batch_documents, batch_bound })
    }

    /// How many documents a batch has: as many as are about right on average, but few where they may be large.
    fn batch_of_export(&self, tenant: &Tenant, by_average: usize) -> usize {
        by_average.min(self.documents_in(tenant, LARGEST_BATCH_BYTES).max(FEWEST_DOCUMENTS))
    }
}

impl Export {
    /// How many bytes a batch may be, as far as is known.
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

    /// Goes on with larger or smaller batches, where the documents are far from what they were taken for.
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
