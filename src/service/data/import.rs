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

impl Import {
    /// Adds documents; gives those that could not be added, by their places.
    ///
    /// # Errors
    /// None of them, or nobody knows which, could be added: the organization is gone, or MongoDB is away.
    pub async fn insert(&mut self, documents: &[NewDocument]) -> Result<Vec<(usize, DataError)>, DataError> {
        let (mut failed, mut before) = (Vec::new(), Before::DidNothing);
        let largest = documents.iter().map(|document| document.raw.as_bytes().len()).max().unwrap_or_default();
        self.service.sizes.note(self.place.tenant.org_id(), largest);
        let mut pending: Vec<(usize, &NewDocument)> = documents.iter().enumerate().collect();
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
