//! Many new documents at once, in batches; each document stands or falls alone.
//!
//! MongoDB answers a batch as a whole, and where it has too much to say of what it refuses it says nothing at all. So a batch
//! that nobody heard the end of is halved and sent again. What an attempt before has added is known by its revision.

use std::collections::HashSet;

use bson::oid::ObjectId;
use bson::raw::RawDocumentBuf;
use tracing::info;

use super::located::{Located, Sent};
use super::writes::is_passing;
use super::{DataError, DataService};
use crate::domain::Tenant;
use crate::domain::documents::NewDocument;
use crate::repo::data::Validator;
use crate::repo::{Effect, RepoError};

/// How many bytes of refusals a batch may come to, as far as the schema tells: MongoDB's account of a refusal quotes the rules
/// that were broken. Its reply can have 16 MiB; the rest is room for the documents, which it quotes too, and it is all in this
/// server's memory for a moment.
const REFUSAL_BYTES: usize = 4 << 20;

/// An import in progress. It follows the collection through renames.
#[derive(Debug)]
pub struct Import {
    service: DataService,
    located: Located,
    /// How many documents go into one command now.
    batch: usize,
    /// How many do at most.
    largest_batch: usize,
}

/// What became of documents that were to be added. Of those that are in none of this nobody knows.
#[derive(Debug, Default)]
pub struct Imported {
    /// How many were added.
    pub inserted: usize,
    /// Those that were refused, by their places.
    pub refused: Vec<(usize, DataError)>,
    /// Why the import cannot go on: the organization is gone, or MongoDB is away.
    pub cut: Option<DataError>,
}

/// Documents that are to be sent together, with their places.
#[derive(Debug)]
struct Part<'d> {
    documents: Vec<(usize, &'d NewDocument)>,
    before: Effect,
}

impl DataService {
    /// Begins an import.
    pub async fn import(&self, tenant: &Tenant) -> Import {
        let largest_batch = self.largest_batch(tenant).await;
        Import { service: self.clone(), located: self.locate(tenant), batch: largest_batch, largest_batch }
    }

    /// How many documents can be refused at once, if each breaks every rule of the schema.
    async fn largest_batch(&self, tenant: &Tenant) -> usize {
        // What keeps the schema from being read is met by the first batch too, and told then.
        let Ok(Some(Validator::Schema(schema))) = self.repo.validator(tenant.collection()).await else {
            return usize::MAX;
        };
        let bytes = RawDocumentBuf::try_from(&schema.enforced).map_or(0, |raw| raw.as_bytes().len());
        (REFUSAL_BYTES / bytes.max(1)).max(1)
    }
}

impl Import {
    /// Adds documents: all for which there is room, from the first on. Says what became of each as far as anybody can know.
    pub async fn insert(&mut self, documents: &[NewDocument]) -> Imported {
        let largest = documents.iter().map(|document| document.raw.as_bytes().len()).max().unwrap_or_default();
        self.service.sizes.note(self.located.tenant.org_id(), largest);
        let (mut done, mut tried) = (Imported::default(), 0);
        let all: Vec<(usize, &NewDocument)> = documents.iter().enumerate().collect();
        while let Some(rest @ [_, ..]) = all.get(tried..)
            && done.cut.is_none()
        {
            // Once some of them were refused, there may be room for more.
            match self.insert_some(rest, &mut done).await {
                Ok(count) => tried += count,
                Err(error) => done.cut = Some(error),
            }
        }
        done
    }

    /// Adds as many documents as there is room for; gives how many those were.
    async fn insert_some(
        &mut self,
        documents: &[(usize, &NewDocument)],
        done: &mut Imported,
    ) -> Result<usize, DataError> {
        let (service, refused_before) = (self.service.clone(), done.refused.len());
        let coming: Vec<&NewDocument> = documents.iter().map(|(_, document)| *document).collect();
        let (count, mut admitted) = service.admit_new(&self.located.tenant, &coming).await?;
        let documents = documents.get(..count).unwrap_or_default();
        self.add(documents.to_vec(), done).await;
        let first = documents.first().map_or(0, |(place, _)| *place);
        let refused = done.refused.iter().skip(refused_before);
        admitted.return_documents(refused.filter_map(|(place, _)| coming.get(place - first).copied()));
        // Where the import was cut, some may be there. What is not, the next look at the quotas sees.
        admitted.settle(Ok(true));
        Ok(count)
    }

    /// Adds documents that there is room for.
    async fn add(&mut self, documents: Vec<(usize, &NewDocument)>, done: &mut Imported) {
        let mut parts = vec![Part { documents, before: Effect::Nothing }];
        while let Some(mut part) = parts.pop() {
            if part.documents.len() > self.batch {
                parts.push(Part { documents: part.documents.split_off(self.batch), before: part.before });
            }
            let sent = self.send(&mut part, done).await;
            if !part.documents.is_empty() {
                parts.push(part);
            }
            if let Err(error) = sent {
                done.cut = Some(error);
                done.inserted += self.count_mine(&parts).await;
                break;
            }
        }
    }

    /// Sends a part; what is left in it is to be sent again.
    async fn send(&mut self, part: &mut Part<'_>, done: &mut Imported) -> Result<(), DataError> {
        let batch: Vec<&NewDocument> = part.documents.iter().map(|(_, document)| *document).collect();
        match self.service.repo.insert_many(&self.located.collection, &batch).await {
            Ok(errors) => self.sort(part, errors, done).await,
            Err(RepoError::BatchBroken { summary }) => {
                info!(summary, documents = batch.len(), "nobody knows what became of a batch; sending half of it");
                part.before = Effect::Unknown;
                self.batch = (batch.len() / 2).max(1);
                Ok(())
            }
            Err(error) => self.located.repeat(&mut part.before, error).await,
        }
    }

    /// Counts what a reply says of a part, and leaves in it those whose error is not about them.
    async fn sort(
        &mut self,
        part: &mut Part<'_>,
        errors: Vec<(usize, RepoError)>,
        done: &mut Imported,
    ) -> Result<(), DataError> {
        let mine = self.mine_among(part, &errors).await?;
        if errors.is_empty() {
            // Only then: where much is refused, the next larger batch would break as well.
            self.batch = self.batch.saturating_mul(2).min(self.largest_batch);
        }
        done.inserted += part.documents.len();
        let (sent, mut passing) = (std::mem::take(&mut part.documents), None);
        for (index, error) in errors {
            let Some((place, document)) = sent.get(index).filter(|(_, new)| !mine.contains(&new.revision)) else {
                continue;
            };
            done.inserted -= 1;
            if is_passing(&error) {
                part.documents.push((*place, document));
                passing = Some(error);
            } else {
                done.refused.push((*place, Sent::Document.refusal(error)));
            }
        }
        match passing {
            None => {
                self.located.found();
                Ok(())
            }
            Some(error) => self.located.repeat(&mut part.before, error).await,
        }
    }

    /// Of the documents that were refused: the revisions of those that an attempt whose answer was lost has added.
    async fn mine_among(
        &mut self,
        part: &Part<'_>,
        errors: &[(usize, RepoError)],
    ) -> Result<HashSet<ObjectId>, DataError> {
        // Whatever refuses a document now, an attempt before may have added it.
        let there = errors.iter().filter(|(_, error)| part.before == Effect::Unknown && !is_passing(error));
        let there: Vec<&NewDocument> =
            there.filter_map(|(index, _)| part.documents.get(*index).map(|(_, document)| *document)).collect();
        self.mine(&there).await
    }

    /// How many of the documents whose import is cut were added all the same.
    async fn count_mine(&mut self, parts: &[Part<'_>]) -> usize {
        let uncertain = parts.iter().filter(|part| part.before == Effect::Unknown);
        let uncertain: Vec<&NewDocument> =
            uncertain.flat_map(|part| part.documents.iter().map(|(_, document)| *document)).collect();
        self.mine(&uncertain).await.map_or(0, |mine| mine.len())
    }

    /// The revisions of those documents that are stored as this import has made them.
    async fn mine(&mut self, documents: &[&NewDocument]) -> Result<HashSet<ObjectId>, DataError> {
        if documents.is_empty() {
            return Ok(HashSet::new());
        }
        let made: HashSet<ObjectId> = documents.iter().map(|document| document.revision).collect();
        let repo = &self.service.repo;
        let revisions = |at| async move { repo.revisions_of(&at, documents).await };
        Ok(&self.located.read(Sent::Query, revisions).await? & &made)
    }
}
