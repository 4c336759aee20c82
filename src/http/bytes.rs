//! Memory as a resource: the bytes of bodies that are being read and of answers that are not sent yet. Whoever makes the server
//! hold many takes them from one budget (`MAX_BYTES_IN_FLIGHT`), of which everybody has a share.

use std::sync::Arc;

use axum::response::Response;

use super::problem::Problem;
use super::state::HttpState;
use crate::domain::{Network, OrgId};
use crate::shares::{PATIENCE, Share};

/// So few bytes are not counted: as many requests as there may be hold no more than a budget's worth of them.
const UNCOUNTED_BYTES: usize = 32 << 10;

/// Who makes the server hold bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client of whom nothing else is known yet.
    Client(Network),
    /// An organization, whose documents an answer shows.
    Org(OrgId),
}

/// The right to hold so many bytes, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct HeldBytes(Option<Share<Holder>>);

impl HttpState {
    /// The right to hold so many bytes, as soon as they can be had. More than there are in all count as all.
    ///
    /// # Errors
    /// They cannot be had for too long.
    pub(super) async fn hold(&self, holder: Holder, bytes: usize) -> Result<HeldBytes, Problem> {
        if bytes <= UNCOUNTED_BYTES {
            return Ok(HeldBytes(None));
        }
        // Half of all is what one alone can have.
        let bytes = bytes.min(self.bytes.total() / 2);
        Ok(HeldBytes(Some(self.bytes.take(holder, bytes, PATIENCE).await?)))
    }
}

impl HeldBytes {
    /// Goes along with an answer of so many bytes until that is sent.
    pub(super) fn until_sent(mut self, bytes: usize, response: &mut Response) {
        if let Some(share) = &mut self.0 {
            share.shrink_to(bytes);
            response.extensions_mut().insert(Arc::new(self));
        }
    }
}
