//! All documents of a tenant, in the order of their `_id`, for as long as it takes. When the collection is renamed, MongoDB
//! ends the cursor; another one goes on after the last document that was handed out.

use super::place::Place;
use super::reads::continued;
use super::{DataError, DataService};
use crate::domain::query::{Filter, Position, Sort};
use crate::domain::{Invalid, Tenant};
use crate::repo::RepoError;
use crate::repo::tenant_data::{DocumentBatch, DocumentCursor, Find};

/// An export in progress.
#[derive(Debug)]
pub struct Export {
    service: DataService,
    place: Place,
    filter: Filter,
    sort: Sort,
    after: Option<Position>,
    cursor: Option<DocumentCursor>,
}

impl DataService {
    /// Begins an export; nothing is asked of MongoDB yet.
    #[must_use]
    pub fn export(&self, tenant: &Tenant, filter: Filter) -> Export {
        let (service, place) = (self.clone(), Place::of(tenant));
        Export { service, place, filter, sort: Sort::default(), after: None, cursor: None }
    }
}

impl Export {
    /// The next documents; `None` at the end.
    ///
    /// # Errors
    /// It cannot go on: the organization is gone, MongoDB is away, or it took too long.
    pub async fn next(&mut self) -> Result<Option<DocumentBatch>, DataError> {
        loop {
            match self.try_next().await {
                Ok(Some(batch)) => {
                    self.place.found();
                    self.note_last(&batch)?;
                    return Ok(Some(batch));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.cursor = None;
                    self.service.after_query(&mut self.place, error).await?;
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<DocumentBatch>, RepoError> {
        let mut cursor = if let Some(cursor) = self.cursor.take() {
            cursor
        } else {
            let filter = continued(&self.filter, &self.sort, self.after.as_ref());
            let find = Find { filter, sort: self.sort.to_document(), limit: None };
            self.service.repo.find_all(&self.place.collection, &find).await?
        };
        let batch = cursor.next().await?;
        self.cursor = Some(cursor);
        Ok(batch)
    }

    fn note_last(&mut self, batch: &DocumentBatch) -> Result<(), DataError> {
        if let Some(last) = batch.documents()?.last().transpose()? {
            let position = self
                .sort
                .position_of(last)
                .map_err(|unsortable| DataError::invalid(Invalid::new("unsortable", unsortable.to_string()), "/_id"))?;
            self.after = Some(position);
        }
        Ok(())
    }
}
