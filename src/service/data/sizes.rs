//! Tracks how large each organization's documents are, as far as this server has seen, to bound an answer's memory
//! before asking for it. MongoDB fills a reply by documents, not by bytes.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::DataService;
use crate::domain::{OrgId, Tenant};

/// MongoDB's largest reply: `maxMessageSizeBytes` leaves room for one document of the largest size.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// The assumed size of a document before one was seen. Few are larger, and the first of those corrects it.
const UNKNOWN_BYTES: usize = 256 << 10;

/// The fewest documents to request at once, however large: single ones would cost a round trip each.
const FEWEST: usize = 4;

/// How many organizations to remember. Beyond that, all are forgotten.
const MAX_REMEMBERED: usize = 100_000;

/// The size of the largest document read or written, by organization.
#[derive(Debug, Default)]
pub(super) struct Sizes(RwLock<HashMap<OrgId, usize>>);

impl Sizes {
    /// Records a document's size.
    pub(super) fn note(&self, org_id: OrgId, bytes: usize) {
        // Usually an equally large one is known, and nobody has to wait.
        if self.largest(org_id).is_some_and(|largest| largest >= bytes) {
            return;
        }
        let mut sizes = self.0.write();
        if sizes.len() >= MAX_REMEMBERED {
            sizes.clear();
        }
        sizes.entry(org_id).and_modify(|largest| *largest = bytes.max(*largest)).or_insert(bytes);
    }

    fn largest(&self, org_id: OrgId) -> Option<usize> {
        self.0.read().get(&org_id).copied()
    }
}

impl DataService {
    /// Upper bound in bytes for this many documents of a tenant, as far as is known, and at most one full reply.
    pub fn reply_bound(&self, tenant: &Tenant, documents: usize) -> usize {
        self.largest(tenant).saturating_mul(documents).min(MAX_REPLY_BYTES)
    }

    /// How many of a tenant's documents to request at once to stay near this many bytes.
    pub(super) fn documents_in(&self, tenant: &Tenant, bytes: usize) -> usize {
        (bytes / self.largest(tenant).max(1)).max(FEWEST)
    }

    fn largest(&self, tenant: &Tenant) -> usize {
        self.sizes.largest(tenant.org_id()).unwrap_or(UNKNOWN_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_document_counts_and_others_do_not_matter() {
        let sizes = Sizes::default();
        let (one, other) = (OrgId::generate(), OrgId::generate());
        for bytes in [10, 500, 20] {
            sizes.note(one, bytes);
        }
        assert_eq!((sizes.largest(one), sizes.largest(other)), (Some(500), None));
    }
}
