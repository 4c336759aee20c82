//! Memory as a resource: the bytes of bodies being read, of answers not sent yet, and of streams. Large ones are taken
//! from a budget (`MAX_BYTES_IN_FLIGHT`), of which each owner has a share.

use std::sync::Arc;

use axum::response::Response;

use super::problem::Problem;
use crate::shares::{Owner, PATIENCE, Share, Shares};

/// Up to this many bytes are not counted: even the maximum number of requests holds at most one budget's worth of them.
const UNCOUNTED_BYTES: usize = 32 << 10;

/// The right to hold a number of bytes, until it is dropped.
#[derive(Debug)]
pub(super) struct HeldBytes<K: Owner> {
    budget: Arc<Shares<K>>,
    owner: K,
    share: Option<Share<K>>,
}

impl<K: Owner> HeldBytes<K> {
    /// Waits for the right to hold so many bytes of a budget. More than one owner may have counts as that maximum.
    pub(super) async fn of(budget: &Arc<Shares<K>>, owner: K, bytes: usize) -> Result<Self, Problem> {
        let mut held = Self { budget: budget.clone(), owner, share: None };
        held.grow_to(bytes).await?;
        Ok(held)
    }

    /// Grows to so many bytes in total; few are not counted.
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
    /// Keeps so many bytes until the answer is sent.
    pub(super) fn until_sent(mut self, bytes: usize, response: &mut Response) {
        if let Some(share) = &mut self.share {
            share.shrink_to(bytes);
            response.extensions_mut().insert(UntilSent(Arc::new(self)));
        }
    }
}

/// What an answer holds until it is sent, for any type of owner.
#[derive(Clone)]
pub(super) struct UntilSent(#[expect(dead_code, reason = "dropped with the answer")] Arc<dyn Send + Sync>);
