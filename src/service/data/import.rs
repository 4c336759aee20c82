//! Imports many new documents in batches; each document succeeds or fails on its own.
//!
//! MongoDB answers a batch as a whole, and does not answer when its account of the refusals is too large. So a batch
//! without an answer is halved and sent again. Revisions show what an earlier attempt added.

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

/// Limit for one batch's refusals in bytes, estimated from the schema: MongoDB's account of a refusal quotes the broken
/// rules. Its reply holds at most 16 MiB; the rest is room for the documents, which it quotes too. All of it is in this
/// server's memory for a moment.
const REFUSAL_BYTES: usize = 4 << 20;

/// An import in progress. It follows the collection through renames.
#[derive(Debug)]
pub struct Import {
    service: DataService,
    located: Located,
    /// Documents per command at present.
    batch: usize,
    /// The most documents per command.
    largest_batch: usize,
}

/// The outcome of an import. What became of documents that it does not mention is unknown.
#[derive(Debug, Default)]
pub struct Imported {
    /// How many were added.
    pub inserted: usize,
    /// The refused documents, by their positions.
    pub refused: Vec<(usize, DataError)>,
    /// Why the import cannot continue: the organization is gone, or MongoDB is unreachable.
    pub cut: Option<DataError>,
}

/// Documents to send together, with their positions.
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

    /// How many documents can be refused at once if each breaks every rule of the schema.
    async fn largest_batch(&self, tenant: &Tenant) -> usize {
        // If the schema cannot be read, the first batch fails for the same reason and reports it.
        let Ok(Some(Validator::Schema(schema))) = self.repo.validator(tenant.collection()).await else {
            return usize::MAX;
        };
        let bytes = RawDocumentBuf::try_from(&schema.enforced).map_or(0, |raw| raw.as_bytes().len());
        (REFUSAL_BYTES / bytes.max(1)).max(1)
    }
}

impl Import {
    /// Adds as many of the documents as there is room for, in order, and reports what is known of each.
    pub async fn insert(&mut self, documents: &[NewDocument]) -> Imported {
        let largest = documents.iter().map(|document| document.raw.as_bytes().len()).max().unwrap_or_default();
        self.service.sizes.note(self.located.tenant.org_id(), largest);
        let (mut done, mut tried) = (Imported::default(), 0);
        let all: Vec<(usize, &NewDocument)> = documents.iter().enumerate().collect();
        while let Some(rest @ [_, ..]) = all.get(tried..)
            && done.cut.is_none()
        {
            // Refused documents leave room for more.
            match self.insert_some(rest, &mut done).await {
                Ok(count) => tried += count,
                Err(error) => done.cut = Some(error),
            }
        }
        done
    }

    /// Adds as many documents as there is room for; returns how many.
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
        // After a cut, some may be stored. The next look at the quotas corrects the rest.
        admitted.settle(Ok(true));
        Ok(count)
    }

    /// Adds documents that were admitted.
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

    /// Sends a part; what remains in it must be sent again.
    async fn send(&mut self, part: &mut Part<'_>, done: &mut Imported) -> Result<(), DataError> {
        let batch: Vec<&NewDocument> = part.documents.iter().map(|(_, document)| *document).collect();
        match self.service.repo.insert_many(&self.located.collection, &batch).await {
            Ok(errors) => self.sort(part, errors, done).await,
            Err(RepoError::BatchBroken { summary }) => {
                info!(summary, documents = batch.len(), "the outcome of a batch is unknown; sending half of it");
                part.before = Effect::Unknown;
                self.batch = (batch.len() / 2).max(1);
                Ok(())
            }
            Err(error) => self.located.repeat(&mut part.before, error).await,
        }
    }

    /// Records a part's reply, and keeps in the part the documents whose error is not their own.
    async fn sort(
        &mut self,
        part: &mut Part<'_>,
        errors: Vec<(usize, RepoError)>,
        done: &mut Imported,
    ) -> Result<(), DataError> {
        let mine = self.mine_among(part, &errors).await?;
        if errors.is_empty() {
            // Grow only now: where much is refused, the next larger batch would fail as well.
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

    /// Of the refused documents, the revisions that an earlier attempt with a lost answer added.
    async fn mine_among(
        &mut self,
        part: &Part<'_>,
        errors: &[(usize, RepoError)],
    ) -> Result<HashSet<ObjectId>, DataError> {
        // Whatever refuses a document now, an earlier attempt may have added it.
        let there = errors.iter().filter(|(_, error)| part.before == Effect::Unknown && !is_passing(error));
        let there: Vec<&NewDocument> =
            there.filter_map(|(index, _)| part.documents.get(*index).map(|(_, document)| *document)).collect();
        self.mine(&there).await
    }

    /// Counts the documents that were added although their import was cut.
    async fn count_mine(&mut self, parts: &[Part<'_>]) -> usize {
        let uncertain = parts.iter().filter(|part| part.before == Effect::Unknown);
        let uncertain: Vec<&NewDocument> =
            uncertain.flat_map(|part| part.documents.iter().map(|(_, document)| *document)).collect();
        self.mine(&uncertain).await.map_or(0, |mine| mine.len())
    }

    /// The revisions of the documents stored exactly as this import made them.
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
