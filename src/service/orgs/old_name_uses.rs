//! Counts how often organizations are found by old names: in memory, stored periodically, so that using an old name
//! costs no write. A server that dies loses the last few seconds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bson::DateTime;
use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::domain::{OrgId, Slug};
use crate::repo::{OrgRepo, RepoError};

/// The uses of one old name since the last write.
#[derive(Debug, Clone, Copy)]
struct Uses {
    count: i64,
    last: OffsetDateTime,
}

/// The uses of old names not yet stored.
#[derive(Debug, Default)]
pub(super) struct OldNameUses {
    counted: Mutex<HashMap<(OrgId, Slug), Uses>>,
}

impl OldNameUses {
    /// Counts a use.
    pub(super) fn note(&self, org_id: OrgId, slug: &Slug, now: OffsetDateTime) {
        self.add((org_id, slug.clone()), Uses { count: 1, last: now });
    }

    /// Stores all of them.
    pub(super) async fn write_down(&self, orgs: &OrgRepo) -> Result<(), RepoError> {
        let counted = std::mem::take(&mut *self.counted.lock());
        let mut result = Ok(());
        for ((org_id, slug), uses) in counted {
            let written = match &result {
                Ok(()) => orgs.count_uses(org_id, &slug, uses.count, DateTime::from_time_0_3(uses.last)).await,
                Err(_) => Err(RepoError::unasked("not tried")),
            };
            if let Err(error) = written {
                self.add((org_id, slug), uses);
                result = result.and(Err(error));
            }
        }
        result
    }

    fn add(&self, key: (OrgId, Slug), uses: Uses) {
        match self.counted.lock().entry(key) {
            Entry::Vacant(new) => {
                new.insert(uses);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                *known = Uses { count: known.count + uses.count, last: known.last.max(uses.last) };
            }
        }
    }
}
