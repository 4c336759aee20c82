//! Writes single documents without lost updates: a write that depends on a state applies only in that state.
//!
//! A write whose answer was lost is repeated. That is safe because each write has its own revision: a document that
//! carries it shows that the write happened. The state that guards an update or delete keeps a late first attempt and
//! its repetition from both taking effect. A late insert has no such guard: it is refused while its document exists,
//! and would bring the document back if it was deleted in between.

use std::sync::Arc;

use bson::raw::{RawDocument, RawDocumentBuf};
use tracing::warn;

use super::admission::bytes_of;
use super::located::{Located, Sent};
use super::{DataError, DataService};
use crate::domain::documents::{DocumentId, EntityTag, MergePatch, NewDocument, Precondition, Version, own_members};
use crate::domain::{Amount, Invalid, Tenant, TenantCollection};
use crate::off_thread::off_thread;
use crate::repo::data::Guard;
use crate::repo::{Effect, RepoError};

/// How often an unconditional write starts over because another one was faster. Each time the other one succeeded, so
/// this ends only where far too many write one document.
const MAX_ATTEMPTS: u8 = 100;

impl DataService {
    /// Adds a document.
    pub async fn insert(&self, tenant: &Tenant, document: &NewDocument) -> Result<(), DataError> {
        self.sizes.note(tenant.org_id(), document.raw.as_bytes().len());
        let (_one, admitted) = self.admit_new(tenant, &[document]).await?;
        let stored = self.store(tenant, document).await;
        admitted.settle(stored.as_ref().map(|()| true));
        stored
    }

    /// Adds a document and makes sure of the outcome.
    async fn store(&self, tenant: &Tenant, document: &NewDocument) -> Result<(), DataError> {
        let insert = |at| async move { self.repo.insert(&at, document).await.map(|()| true) };
        let is_stored = |present: Option<&_>| is_written(present, document);
        self.until_certain(&mut self.enter(tenant).await?, &document.id, insert, is_stored).await.map(drop)
    }

    /// Puts a document in the place of the one of its id.
    pub async fn replace(
        &self,
        tenant: &Tenant,
        document: &NewDocument,
        expected: &Precondition,
    ) -> Result<(), DataError> {
        let mut located = self.enter(tenant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (guard, present_bytes) = self.guard(&mut located, &document.id, expected).await?;
            let admitted = self.admit_replacement(&mut located, document, expected, present_bytes).await?;
            let written = self.write(&mut located, document, &guard).await;
            admitted.settle(written.as_ref().copied());
            if written? {
                self.note_shrunk(tenant, present_bytes, document);
                return Ok(());
            }
            refuse_if_overtaken(expected)?;
        }
        Err(DataError::DocumentBusy)
    }

    /// Merges a patch into the current document; returns the result.
    pub async fn patch(
        &self,
        tenant: &Tenant,
        id: &DocumentId,
        patch: Arc<MergePatch>,
        expected: &Precondition,
    ) -> Result<NewDocument, DataError> {
        let mut located = self.enter(tenant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let present = self.expect(&mut located, id, expected).await?;
            let (bytes, unpatched, patch) = (present.as_bytes().len(), present.clone(), Arc::clone(&patch));
            let patched = off_thread(bytes, move || patched(&unpatched, &patch)).await?;
            let present_bytes = bytes_of(&present);
            let admitted = self.admit_rewrite(tenant, &patched, present_bytes).await?;
            let written = self.write(&mut located, &patched, &Guard::of(&present)).await;
            admitted.settle(written.as_ref().copied());
            if written? {
                self.note_shrunk(tenant, Some(present_bytes), &patched);
                return Ok(patched);
            }
            refuse_if_overtaken(expected)?;
        }
        Err(DataError::DocumentBusy)
    }

    /// Removes a document.
    pub async fn remove(&self, tenant: &Tenant, id: &DocumentId, expected: &Precondition) -> Result<(), DataError> {
        let mut located = self.enter(tenant).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (guard, present_bytes) = self.guard(&mut located, id, expected).await?;
            if self.erase(&mut located, id, &guard).await? {
                let removed = Amount::of_document(present_bytes.unwrap_or_default());
                self.admission.give_back(tenant.org_id(), removed);
                return Ok(());
            }
            refuse_if_overtaken(expected)?;
        }
        Err(DataError::DocumentBusy)
    }

    /// Removes a document in the guarded state and makes sure of the outcome; false when it is not in that state.
    async fn erase(&self, located: &mut Located, id: &DocumentId, guard: &Guard) -> Result<bool, DataError> {
        let remove = |at| async move { self.repo.remove(&at, id, guard).await };
        // The first attempt removed it, or another client did, which amounts to the same.
        self.until_certain(located, id, remove, |present| present.is_none()).await
    }

    /// Replaces a document in the guarded state and makes sure of the outcome; false when it is not in that state.
    async fn write(&self, located: &mut Located, document: &NewDocument, guard: &Guard) -> Result<bool, DataError> {
        self.sizes.note(located.tenant.org_id(), document.raw.as_bytes().len());
        let replace = |at| async move { self.repo.replace(&at, document, guard).await };
        self.until_certain(located, &document.id, replace, |present| is_written(present, document)).await
    }

    /// Writes a document and makes sure of the outcome; false when it was in another state. When a repeated write is
    /// refused, the document itself shows whether the first attempt happened.
    async fn until_certain<F: Future<Output = Result<bool, RepoError>>>(
        &self,
        located: &mut Located,
        id: &DocumentId,
        write: impl Fn(TenantCollection) -> F,
        has_happened: impl FnOnce(Option<&RawDocument>) -> bool,
    ) -> Result<bool, DataError> {
        let mut before = Effect::Nothing;
        let otherwise = loop {
            let error = match write(located.collection.clone()).await {
                Ok(false) if before == Effect::Unknown => break overtaken(),
                Ok(is_done) => {
                    located.found();
                    return Ok(is_done);
                }
                Err(error) => error,
            };
            if before == Effect::Unknown && !is_passing(&error) {
                break error;
            }
            located.repeat(&mut before, error).await?;
        };
        let present = self.find(located, id).await?;
        // It may have been written, and overwritten since.
        if has_happened(present.as_deref()) { Ok(true) } else { Err(DataError::OutcomeUnknown(otherwise)) }
    }

    /// The state in which a write must find the document: the one that the client names, or the current one. Never just
    /// any, even without a client's condition: a first attempt that arrives late, after its repetition and other
    /// writes, must not apply. Includes the document's size in bytes, if it had to be read.
    async fn guard(
        &self,
        located: &mut Located,
        id: &DocumentId,
        expected: &Precondition,
    ) -> Result<(Guard, Option<u64>), DataError> {
        if let Precondition::IsOneOf(tags) = expected
            && let Some(revisions) = tags.iter().map(EntityTag::revision).collect()
        {
            return Ok((Guard::Revisions(revisions), None));
        }
        let present = self.expect(located, id, expected).await?;
        Ok((Guard::of(&present), Some(bytes_of(&present))))
    }

    /// Counts what a document has shrunk by.
    fn note_shrunk(&self, tenant: &Tenant, present_bytes: Option<u64>, written: &NewDocument) {
        let lost = present_bytes.unwrap_or_default().saturating_sub(written.amount().bytes);
        self.admission.give_back(tenant.org_id(), Amount::of_bytes(lost));
    }

    /// Returns the document if it is as the client expects.
    pub(super) async fn expect(
        &self,
        located: &mut Located,
        id: &DocumentId,
        expected: &Precondition,
    ) -> Result<RawDocumentBuf, DataError> {
        match self.find(located, id).await? {
            Some(present) if expected.allows(&Version::of(&present)) => Ok(present),
            None if expected.is_none() => Err(DataError::NotFound),
            Some(_) | None => Err(DataError::PreconditionFailed),
        }
    }

    /// Finds the document with this id, wherever the collection is now.
    pub(super) async fn find(
        &self,
        located: &mut Located,
        id: &DocumentId,
    ) -> Result<Option<RawDocumentBuf>, DataError> {
        let found = located.read(Sent::Query, |at| async move { self.repo.find_one(&at, id).await }).await?;
        if let Some(found) = &found {
            self.sizes.note(located.tenant.org_id(), found.as_bytes().len());
        }
        Ok(found)
    }
}

impl Located {
    /// Prepares to repeat a write, or returns why it cannot succeed.
    pub(super) async fn repeat(&mut self, before: &mut Effect, error: RepoError) -> Result<(), DataError> {
        let was_uncertain = *before == Effect::Unknown;
        match self.after_failure(Sent::Document, error).await {
            Ok(Effect::Unknown) => {
                warn!("the outcome of a write is unknown; sending it again");
                *before = Effect::Unknown;
                Ok(())
            }
            Ok(Effect::Nothing) => Ok(()),
            // A failed repetition says nothing about the first attempt.
            Err(error) if was_uncertain => {
                warn!(%error, "a write with an unknown outcome cannot be repeated");
                Err(DataError::OutcomeUnknown(if let DataError::Repo(error) = error { error } else { overtaken() }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the stored document is the written one.
fn is_written(present: Option<&RawDocument>, written: &NewDocument) -> bool {
    present.is_some_and(|present| Version::of(present) == Version::Revision(written.revision))
}

/// The result of patching a document.
fn patched(present: &RawDocumentBuf, patch: &MergePatch) -> Result<NewDocument, DataError> {
    let unreadable =
        |_error| Sent::Document.refusal(RepoError::Refused { summary: "a document that is no BSON".to_owned() });
    let id = present.get("_id").map_err(unreadable)?.map(bson::Bson::try_from).transpose().map_err(unreadable)?;
    let mut members = own_members(present).map_err(unreadable)?;
    patch.apply(&mut members);
    let members = RawDocumentBuf::try_from(&members).map_err(unreadable)?;
    let id = DocumentId::of_stored(id.unwrap_or(bson::Bson::Null));
    NewDocument::new(id, &members).map_err(|invalid: Invalid| DataError::invalid(invalid, ""))
}

/// Whether being overtaken ends a write: only if it was meant for one state.
fn refuse_if_overtaken(expected: &Precondition) -> Result<(), DataError> {
    match expected {
        Precondition::None | Precondition::Exists => Ok(()),
        Precondition::IsOneOf(_) => Err(DataError::PreconditionFailed),
    }
}

/// Whether a failure says nothing about the write itself: the collection had moved, or MongoDB was unreachable.
pub(super) fn is_passing(error: &RepoError) -> bool {
    error.is_undecided() || matches!(error, RepoError::CollectionMismatch { .. })
}

/// The write was repeated after another client had written.
fn overtaken() -> RepoError {
    RepoError::unknown("the answer was lost and the document has changed since")
}
