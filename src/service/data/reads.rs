//! Reads documents: one, a page, their number, their size.

use bson::raw::{RawDocument, RawDocumentBuf};
use bson::{Document, doc};

use super::located::{Located, Sent};
use super::{DataError, DataService};
use crate::domain::documents::DocumentId;
use crate::domain::query::{Filter, Position, Sort, fingerprint_source};
use crate::domain::{Invalid, Tenant, TenantCollection};
use crate::repo::RepoError;
use crate::repo::data::{CollectionStats, DocumentBatch, Find};

/// The most bytes of BSON on a page, unless a single document is larger: small enough that nobody waits for another's
/// page, and large enough that few pages end early.
pub const PAGE_BYTES: usize = 1 << 20;

/// A request for a page of documents.
#[derive(Debug, Clone)]
pub struct ListDocuments {
    /// Which documents.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// The most documents to return.
    pub limit: u32,
    /// Where the previous page ended; the first page has none.
    pub cursor: Option<String>,
    /// Whether to count all matches.
    pub is_counted: bool,
}

/// A page of documents.
#[derive(Debug)]
pub struct Page {
    batches: Vec<DocumentBatch>,
    /// How many of the batches' documents are on the page; more may have been read to see if any follow.
    length: usize,
    /// Their size in bytes of BSON.
    pub bytes: usize,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
    /// How many documents match, if requested.
    pub total: Option<u64>,
}

impl Page {
    /// The documents on the page.
    pub fn documents(&self) -> Result<impl Iterator<Item = Result<&RawDocument, RepoError>>, RepoError> {
        let batches: Result<Vec<_>, RepoError> = self.batches.iter().map(DocumentBatch::documents).collect();
        Ok(batches?.into_iter().flatten().take(self.length))
    }
}

/// What was read of a page so far.
#[derive(Debug, Default)]
struct Reading {
    batches: Vec<DocumentBatch>,
    length: usize,
    bytes: usize,
    has_more: bool,
}

impl DataService {
    /// Returns the document with this id.
    pub async fn get(&self, tenant: &Tenant, id: &DocumentId) -> Result<RawDocumentBuf, DataError> {
        self.find(&mut self.enter(tenant).await?, id).await?.ok_or(DataError::NotFound)
    }

    /// Returns a page of documents.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for another query's cursor, or an order in which the documents have no place;
    /// [`DataError::TooSlow`], or the errors of any read.
    pub async fn list(&self, tenant: &Tenant, query: &ListDocuments) -> Result<Page, DataError> {
        let purpose = fingerprint_source(&query.filter, &query.sort);
        let position = match &query.cursor {
            Some(cursor) => Some(self.open_cursor(tenant, &purpose, cursor, &query.sort)?),
            None => None,
        };
        let find = Find {
            filter: continued(&query.filter, &query.sort, position.as_ref()),
            sort: query.sort.to_document(),
            limit: Some(query.limit.saturating_add(1)),
        };
        let batch = self.documents_in(tenant, PAGE_BYTES);
        let batch = u32::try_from(batch).unwrap_or(u32::MAX).min(query.limit.saturating_add(1));
        let mut located = self.enter(tenant).await?;
        let read = |at| self.read_page(tenant, at, &find, batch, query.limit);
        let Reading { batches, length, bytes, has_more } = located.read(Sent::Query, read).await?;
        let mut page = Page { batches, length, bytes, next: None, total: None };
        if let Some(last) = last_position(&page, &query.sort)?.filter(|_| has_more) {
            page.next = Some(self.seal_cursor(tenant, &purpose, &last)?);
        }
        if query.is_counted {
            let count = |at| async move { self.repo.count(&at, query.filter.as_document()).await };
            page.total = Some(located.read(Sent::Query, count).await?);
        }
        Ok(page)
    }

    /// Upper bound of a page's replies in bytes, as far as is known.
    pub fn page_bound(&self, tenant: &Tenant, limit: u32) -> usize {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let batch = self.reply_bound(tenant, self.documents_in(tenant, PAGE_BYTES).min(limit));
        // All earlier batches, and the one that exceeds the page.
        self.reply_bound(tenant, limit).min(PAGE_BYTES + batch)
    }

    /// Reads a page batch by batch, until it is full.
    async fn read_page(
        &self,
        tenant: &Tenant,
        at: TenantCollection,
        find: &Find,
        batch: u32,
        limit: u32,
    ) -> Result<Reading, RepoError> {
        let mut cursor = self.repo.find_some(&at, find, batch).await?;
        let (mut read, limit) = (Reading::default(), usize::try_from(limit).unwrap_or(usize::MAX));
        while !read.has_more
            && let Some(batch) = cursor.next().await?
        {
            read.take(batch, limit, |bytes| self.sizes.note(tenant.org_id(), bytes))?;
        }
        Ok(read)
    }

    /// The size of a tenant's collection.
    pub async fn stats(&self, tenant: &Tenant) -> Result<CollectionStats, DataError> {
        self.measure(&mut self.enter(tenant).await?).await
    }

    /// The size of the collection located here.
    pub(super) async fn measure(&self, located: &mut Located) -> Result<CollectionStats, DataError> {
        located.read(Sent::Query, |at| async move { self.repo.stats(&at).await }).await
    }

    fn open_cursor(&self, tenant: &Tenant, purpose: &[u8], cursor: &str, sort: &Sort) -> Result<Position, DataError> {
        let values = self.cursors.open(tenant.org_id(), purpose, cursor);
        values.and_then(|values| Position::from_values(sort, values).ok()).ok_or_else(|| {
            let why = "is not a cursor of this organization, filter and sort; begin again without one";
            DataError::invalid(Invalid::new("invalid_cursor", why), "?cursor")
        })
    }

    fn seal_cursor(&self, tenant: &Tenant, purpose: &[u8], position: &Position) -> Result<String, DataError> {
        self.cursors.seal(tenant.org_id(), purpose, position.values()).ok_or_else(|| {
            let why = "a document's value is too long to continue from; choose another field";
            DataError::invalid(Invalid::new("unsortable", why), "?sort")
        })
    }
}

/// The filter, limited to what follows the position.
pub(super) fn continued(filter: &Filter, sort: &Sort, after: Option<&Position>) -> Document {
    match after {
        None => filter.as_document().clone(),
        Some(position) => doc! { "$and": [filter.as_document(), sort.after(position)] },
    }
}

/// Where the page's last document stands. Every document is checked, not only the last: one without a place could
/// appear twice or never.
fn last_position(page: &Page, sort: &Sort) -> Result<Option<Position>, DataError> {
    let mut last = None;
    for document in page.documents()? {
        last = Some(sort.position_of(document?).map_err(|unsortable| {
            let why = unsortable.to_string();
            DataError::invalid(Invalid::new("unsortable", why), "?sort")
        })?);
    }
    Ok(last)
}

impl Reading {
    /// Takes as many of a batch's documents as the page has room for, and reports each size to `hear`.
    fn take(&mut self, batch: DocumentBatch, limit: usize, hear: impl Fn(usize)) -> Result<(), RepoError> {
        for document in batch.documents()? {
            let size = document?.as_bytes().len();
            hear(size);
            if self.length == limit || (self.length > 0 && self.bytes + size > PAGE_BYTES) {
                self.has_more = true;
                break;
            }
            (self.length, self.bytes) = (self.length + 1, self.bytes + size);
        }
        self.batches.push(batch);
        Ok(())
    }
}
