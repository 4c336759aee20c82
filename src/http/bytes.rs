//! Memory as a resource: the bytes of bodies that are being read, of answers that are not sent yet, and of streams. Whoever makes
//! the server hold many takes them from a budget (`MAX_BYTES_IN_FLIGHT`), of which everybody has a share.

use std::sync::Arc;

use axum::response::Response;

use super::problem::Problem;
use crate::shares::{Owner, PATIENCE, Share, Shares};

/// So few bytes are not counted: as many requests as there may be hold no more than a budget's worth of them.
const UNCOUNTED_BYTES: usize = 32 << 10;

/// The right to hold so many bytes, until it is dropped.
#[derive(Debug)]
pub(super) struct HeldBytes<K: Owner> {
    budget: Arc<Shares<K>>,
    owner: K,
    share: Option<Share<K>>,
}

impl<K: Owner> HeldBytes<K> {
    /// The right to hold so many bytes of a budget, as soon as they can be had. More than one alone may have count as that.
    pub(super) async fn of(budget: &Arc<Shares<K>>, owner: K, bytes: usize) -> Result<Self, Problem> {
        let mut held = Self { budget: budget.clone(), owner, share: None };
        held.grow_to(bytes).await?;
        Ok(held)
    }

    /// Holds so many bytes in all; few are not counted.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        if bytes <= UNCOUNTED_BYTES {
            return Ok(());
        }
        let bytes = bytes.min(self.budget.total() / 2);
        match &mut self.share {
            Some(share) if share.amount() >= bytes => {}
            Some(share) => share.grow(bytes - share.amount(), PATIENCE).await?,
            none => *none = Some(self.budget.take(self.owner, bytes, PATIENCE).await?),
        }
        Ok(())
    }
}

impl<K: Owner + Sync> HeldBytes<K> {
    /// Goes along with an answer of so many bytes until that is sent.
    pub(super) fn until_sent(mut self, bytes: usize, response: &mut Response) {
        if let Some(share) = &mut self.share {
            share.shrink_to(bytes);
            response.extensions_mut().insert(UntilSent(Arc::new(self)));
        }
    }
}

/// What an answer holds until it is sent, whoever's it is.
#[derive(Clone)]
pub(super) struct UntilSent(#[expect(dead_code, reason = "dropped with the answer")] Arc<dyn Send + Sync>);
