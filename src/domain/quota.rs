//! How much an organization may keep: documents, and bytes of them. Indexes and the schema do not count.

/// How many documents, and how many bytes of BSON they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many documents.
    pub documents: u64,
    /// How many bytes of BSON they are.
    pub bytes: u64,
}

impl Amount {
    /// So many bytes in documents that count already.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        Self { documents: 0, bytes }
    }

    /// One document of so many bytes.
    #[must_use]
    pub fn of_document(bytes: u64) -> Self {
        Self { documents: 1, bytes }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_add(other.documents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What is left without the other; nothing where the other has more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_sub(other.documents),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Whether it is nothing at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The most that an organization may keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    documents: Option<u64>,
    bytes: Option<u64>,
}

/// One of the quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// How many documents.
    Documents,
    /// How many bytes of BSON.
    Bytes,
}

/// A quota that does not allow what a write would add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaReached {
    /// Which.
    pub quota: Quota,
    /// The most that it allows.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
    /// How much the write would add.
    pub coming: u64,
}

impl Quotas {
    /// These quotas; 0 for none.
    #[must_use]
    pub fn new(documents: u64, bytes: u64) -> Self {
        let unless_zero = |limit: u64| (limit > 0).then_some(limit);
        Self { documents: unless_zero(documents), bytes: unless_zero(bytes) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn are_none(self) -> bool {
        self == Self::default()
    }

    /// Whether so much may be added to what there is. What adds nothing to a quota may always come, however much there is.
    pub fn check(self, used: Amount, coming: Amount) -> Result<(), QuotaReached> {
        let documents = (Quota::Documents, self.documents, used.documents, coming.documents);
        let bytes = (Quota::Bytes, self.bytes, used.bytes, coming.bytes);
        for (quota, limit, used, coming) in [documents, bytes] {
            let limit = limit.unwrap_or(u64::MAX);
            if coming > 0 && used.saturating_add(coming) > limit {
                return Err(QuotaReached { quota, limit, used, coming });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_may_come_and_what_adds_nothing_always_may() {
        let quotas = Quotas::new(10, 1_000);
        let amount = |documents, bytes| Amount { documents, bytes };
        assert_eq!(quotas.check(amount(9, 900), amount(1, 100)), Ok(()));
        let documents = QuotaReached { quota: Quota::Documents, limit: 10, used: 9, coming: 2 };
        assert_eq!(quotas.check(amount(9, 0), amount(2, 1)), Err(documents));
        let bytes = QuotaReached { quota: Quota::Bytes, limit: 1_000, used: 950, coming: 51 };
        assert_eq!(quotas.check(amount(0, 950), amount(1, 51)), Err(bytes));
        assert_eq!(quotas.check(amount(10, 950), Amount::of_bytes(50)), Ok(()), "no document more");
        assert_eq!(quotas.check(amount(99, 9_999), amount(0, 0)), Ok(()), "over it already");
        assert!(quotas.check(amount(u64::MAX, 0), amount(1, 0)).is_err());
    }

    #[test]
    fn zero_is_no_quota() {
        assert!(Quotas::new(0, 0).are_none());
        let bytes_alone = Quotas::new(0, 5);
        assert!(!bytes_alone.are_none());
        assert_eq!(bytes_alone.check(Amount { documents: 99, bytes: 0 }, Amount::of_document(5)), Ok(()));
    }
}
