//! How large the documents of each organization are, as far as this server has seen them, so that it knows how much memory an
//! answer may take before it asks for it. MongoDB counts documents and not bytes when it fills a reply.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::DataService;
use crate::domain::{OrgId, Tenant};

/// The largest reply of MongoDB: `maxMessageSizeBytes` leaves room for one document of the largest size.
const MAX_REPLY_BYTES: usize = 16 << 20;

/// How large a document is taken for where none was seen yet. Few are larger, and the first that is makes itself known.
const UNKNOWN_BYTES: usize = 256 << 10;

/// How many documents are asked for at once, however large they may be: single ones would take a round trip each.
const FEWEST: usize = 4;

/// How many organizations are remembered. Past that all are forgotten.
const MAX_REMEMBERED: usize = 100_000;

/// The size of the largest document that was read or written, for each organization.
#[derive(Debug, Default)]
pub(super) struct Sizes(RwLock<HashMap<OrgId, usize>>);

impl Sizes {
    /// Notes a document's size.
    pub(super) fn note(&self, org_id: OrgId, bytes: usize) {
        // Mostly one as large was seen before, which needs nobody to wait.
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
    /// How many bytes so many documents of a tenant may be at most: as far as is known, and never more than a reply holds.
    pub fn reply_bound(&self, tenant: &Tenant, documents: usize) -> usize {
        self.largest(tenant).saturating_mul(documents).min(MAX_REPLY_BYTES)
    }

    /// How many documents of a tenant to ask for at once, so that they are about so many bytes at most.
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
