//! Many new documents at once, in batches; each document stands or falls alone.

use std::collections::HashSet;

use bson::oid::ObjectId;

use super::place::{Before, Place, refusal};
use super::writes::is_passing;
use super::{DataError, DataService};
use crate::domain::Tenant;
use crate::domain::document::NewDocument;
use crate::repo::RepoError;

/// An import in progress. It follows the collection through renames.
#[derive(Debug)]
pub struct Import {
    service: DataService,
    place: Place,
}

impl DataService {
    /// Begins an import.
    #[must_use]
    pub fn import(&self, tenant: &Tenant) -> Import {
        Import { service: self.clone(), place: Place::of(tenant) }
    }
}

/// What became of documents that were to be added.
#[derive(Debug, Default)]
pub struct Added {
    /// How many were tried, from the first on.
    pub tried: usize,
    /// Those of them that could not be added, by their places.
    pub failed: Vec<(usize, DataError)>,
    /// Why the others were not tried, or why nobody knows of them.
    pub cut: Option<DataError>,
}

impl Import {
    /// Adds documents: all of them, or those before the first for which there is no room, or before MongoDB was away.
    pub async fn insert(&mut self, documents: &[NewDocument]) -> Added {
        let documents: Vec<&NewDocument> = documents.iter().collect();
        let mut added = Added::default();
        while let Some(rest @ [_, ..]) = documents.get(added.tried..)
            && added.cut.is_none()
        {
            // As many as there is room for; once some of them failed, there may be room for more.
            match self.insert_some(rest).await {
                Ok((tried, failed)) => {
                    added.failed.extend(failed.into_iter().map(|(place, error)| (added.tried + place, error)));
                    added.tried += tried;
                }
                Err(error) => added.cut = Some(error),
            }
        }
        added
    }

    /// Adds as many documents as there is room for; gives how many it tried and which of them could not be added.
    async fn insert_some(&mut self, documents: &[&NewDocument]) -> Result<(usize, Vec<(usize, DataError)>), DataError> {
        let service = self.service.clone();
        let (tried, mut admitted) = service.admit_new(&self.place.tenant, documents).await?;
        let sent = self.send(documents.get(..tried).unwrap_or_default()).await;
        if let Ok(failed) = &sent {
            admitted.return_documents(failed.iter().filter_map(|(place, _)| documents.get(*place).copied()));
        }
        admitted.settle(sent.as_ref().map(|_| true));
        sent.map(|failed| (tried, failed))
    }

    /// Adds documents; gives those that could not be added, by their places.
    ///
    /// # Errors
    /// None of them, or nobody knows which, could be added: the organization is gone, or MongoDB is away.
    async fn send(&mut self, documents: &[&NewDocument]) -> Result<Vec<(usize, DataError)>, DataError> {
        let (mut failed, mut before) = (Vec::new(), Before::DidNothing);
        let mut pending: Vec<(usize, &NewDocument)> = documents.iter().copied().enumerate().collect();
        while !pending.is_empty() {
            let batch: Vec<&NewDocument> = pending.iter().map(|(_, document)| *document).collect();
            let error = match self.service.repo.insert_many(&self.place.collection, &batch).await {
                Ok(errors) => {
                    let mine = self.mine_among(&batch, &errors, before).await?;
                    let mut sorted = Sorted::default();
                    for (index, error) in errors {
                        if let Some((place, document)) =
                            pending.get(index).filter(|(_, new)| !mine.contains(&new.revision))
                        {
                            sorted.add(*place, document, error);
                        }
                    }
                    failed.extend(sorted.refused);
                    pending = sorted.again;
                    sorted.moved
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                self.service.repeat(&mut self.place, &mut before, error).await?;
            }
        }
        self.place.found();
        Ok(failed)
    }

    /// Of the documents that were refused: the revisions of those that an attempt whose answer was lost has added.
    async fn mine_among(
        &mut self,
        batch: &[&NewDocument],
        errors: &[(usize, RepoError)],
        before: Before,
    ) -> Result<HashSet<ObjectId>, DataError> {
        // Whatever refuses a document now, an attempt before may have added it.
        let there = errors.iter().filter(|(_, error)| before == Before::IsUncertain && !is_passing(error));
        let there: Vec<&NewDocument> = there.filter_map(|(index, _)| batch.get(*index).copied()).collect();
        if there.is_empty() {
            return Ok(HashSet::new());
        }
        loop {
            match self.service.repo.revisions_of(&self.place.collection, &there).await {
                Ok(revisions) => return Ok(revisions),
                Err(error) => self.service.locator.after_read(&mut self.place, error).await?,
            }
        }
    }
}

/// What became of the documents of a batch that were not added.
#[derive(Default)]
struct Sorted<'d> {
    refused: Vec<(usize, DataError)>,
    /// Those that came too late for the collection's name, and the error that says where it is.
    again: Vec<(usize, &'d NewDocument)>,
    moved: Option<RepoError>,
}

impl<'d> Sorted<'d> {
    fn add(&mut self, place: usize, document: &'d NewDocument, error: RepoError) {
        if let RepoError::CollectionMismatch { .. } = error {
            self.again.push((place, document));
            self.moved = Some(error);
        } else {
            self.refused.push((place, refusal(error)));
        }
    }
}
