//! Admission of writes. Every document write asks here before it is sent: is there room on MongoDB's disk, and within
//! the organization's quotas? Deletions are always allowed and never ask.
//!
//! Without quotas, and while there is room, this costs two atomic operations and no command.

use std::iter::once;

use bson::raw::RawDocument;

use super::located::Located;
use super::quota::{QuotaKeeper, Reserved};
use super::{DataError, DataService};
use crate::clock::SharedClock;
use crate::domain::documents::{NewDocument, Precondition};
use crate::domain::{Amount, OrgId, Quotas, Tenant};
use crate::service::storage::{LetIn, Storage, StorageLow};

/// Admits writes.
#[derive(Debug, Clone)]
pub struct Admission {
    storage: Storage,
    quotas: QuotaKeeper,
}

/// An admitted write. Dropping it unsettled means that it was not made.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    on_disk: LetIn<'a>,
    reserved: Option<Reserved>,
}

impl Admission {
    /// Admits what fits on the disk and within these quotas.
    pub fn new(storage: Storage, quotas: Quotas, clock: SharedClock) -> Self {
        Self { storage, quotas: QuotaKeeper::new(quotas, clock) }
    }

    /// Notes that an organization freed this amount.
    pub(super) fn give_back(&self, org_id: OrgId, amount: Amount) {
        self.quotas.give_back(org_id, amount);
    }

    /// Admits an operation that adds an unknown amount, such as an index build.
    pub(super) fn let_begin(&self) -> Result<(), StorageLow> {
        self.storage.let_begin()
    }
}

impl DataService {
    /// Lets in as many new documents as there is room for, from the first on; gives how many.
    pub(super) async fn admit_new(
        &self,
        tenant: &Tenant,
        documents: &[&NewDocument],
    ) -> Result<(usize, Admitted<'_>), DataError> {
        let reserved = self.reserve(tenant, documents.iter().map(|document| document.amount())).await?;
        let count = reserved.as_ref().map_or(documents.len(), |reserved| reserved.count);
        let bytes = documents.iter().take(count).map(|document| document.amount().bytes).sum();
        let on_disk = self.admission.storage.let_grow(bytes).await?;
        Ok((count, Admitted { on_disk, reserved }))
    }

    /// Lets in a document in the place of another one of so many bytes.
    pub(super) async fn admit_rewrite(
        &self,
        tenant: &Tenant,
        document: &NewDocument,
        present_bytes: u64,
    ) -> Result<Admitted<'_>, DataError> {
        let bytes = document.amount().bytes;
        if bytes <= present_bytes {
            return Ok(Admitted { on_disk: self.admission.storage.let_rewrite(bytes)?, reserved: None });
        }
        let reserved = self.reserve(tenant, once(Amount::of_bytes(bytes - present_bytes))).await?;
        Ok(Admitted { on_disk: self.admission.storage.let_grow(bytes).await?, reserved })
    }

    /// Lets in a document in the place of the one that there is, whose size is known only if it had to be read anyway.
    pub(super) async fn admit_replacement(
        &self,
        located: &mut Located,
        document: &NewDocument,
        expected: &Precondition,
        present_bytes: Option<u64>,
    ) -> Result<Admitted<'_>, DataError> {
        let tenant = located.tenant.clone();
        if let Some(present_bytes) = present_bytes {
            return self.admit_rewrite(&tenant, document, present_bytes).await;
        }
        // Usually all of it fits, and the old size does not matter. The next look at the quotas sees the real growth.
        match self.admit_rewrite(&tenant, document, 0).await {
            Ok(mut admitted) => {
                admitted.reserved = None;
                Ok(admitted)
            }
            Err(DataError::StorageLow | DataError::QuotaReached(_)) => {
                let present = self.expect(located, &document.id, expected).await?;
                self.admit_rewrite(&tenant, document, bytes_of(&present)).await
            }
            Err(error) => Err(error),
        }
    }

    async fn reserve(
        &self,
        tenant: &Tenant,
        coming: impl Iterator<Item = Amount>,
    ) -> Result<Option<Reserved>, DataError> {
        let look = async || {
            // Takes no turn: the caller may hold one already, and all writes share this look.
            let stats = self.measure(&mut self.locate(tenant)).await?;
            Ok(Amount { documents: stats.documents, bytes: stats.bytes })
        };
        Ok(self.admission.quotas.reserve(tenant.org_id(), coming, look).await?)
    }
}

/// The size of a stored document in bytes of BSON.
pub(super) fn bytes_of(document: &RawDocument) -> u64 {
    u64::try_from(document.as_bytes().len()).unwrap_or(u64::MAX)
}

impl Admitted<'_> {
    /// Counts the write if it was made or its outcome is unknown, but not if it failed.
    pub(super) fn settle(self, written: Result<bool, &DataError>) {
        if matches!(written, Ok(true) | Err(DataError::OutcomeUnknown(_))) {
            self.on_disk.keep();
            if let Some(reserved) = self.reserved {
                reserved.keep();
            }
        }
    }

    /// Notes that these documents were not written.
    pub(super) fn return_documents<'d>(&mut self, documents: impl Iterator<Item = &'d NewDocument>) {
        let part = documents.fold(Amount::default(), |sum, document| sum.plus(document.amount()));
        self.on_disk.return_part(part.bytes);
        if let Some(reserved) = &mut self.reserved {
            reserved.return_part(part);
        }
    }
}
