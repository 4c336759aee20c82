//! How many documents and bytes an organization may store. Indexes and the schema do not count.

/// A number of documents and their bytes of BSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Documents.
    pub documents: u64,
    /// Bytes of BSON.
    pub bytes: u64,
}

impl Amount {
    /// Additional bytes in documents that are already counted.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { documents: 0, bytes }
    }

    /// One document of this size.
    pub fn of_document(bytes: u64) -> Self {
        Self { documents: 1, bytes }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_add(other.documents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// The difference, never below zero.
    pub fn minus(self, other: Self) -> Self {
        Self {
            documents: self.documents.saturating_sub(other.documents),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Whether both numbers are zero.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The limits of an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    documents: Option<u64>,
    bytes: Option<u64>,
}

/// One of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Documents.
    Documents,
    /// Bytes of BSON.
    Bytes,
}

/// A write would exceed a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaReached {
    /// The quota that would be exceeded.
    pub quota: Quota,
    /// Its limit.
    pub limit: u64,
    /// What is stored.
    pub used: u64,
    /// What the write would add.
    pub coming: u64,
}

impl Quotas {
    /// Sets both limits; 0 means no limit.
    pub fn new(documents: u64, bytes: u64) -> Self {
        let unless_zero = |limit: u64| (limit > 0).then_some(limit);
        Self { documents: unless_zero(documents), bytes: unless_zero(bytes) }
    }

    /// Whether there is no limit.
    pub fn are_none(self) -> bool {
        self == Self::default()
    }

    /// Whether `coming` may be added to `used`. A write that adds nothing is always allowed, even over the limit.
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
    fn a_write_must_fit_unless_it_adds_nothing() {
        let quotas = Quotas::new(10, 1_000);
        let amount = |documents, bytes| Amount { documents, bytes };
        assert_eq!(quotas.check(amount(9, 900), amount(1, 100)), Ok(()));
        let documents = QuotaReached { quota: Quota::Documents, limit: 10, used: 9, coming: 2 };
        assert_eq!(quotas.check(amount(9, 0), amount(2, 1)), Err(documents));
        let bytes = QuotaReached { quota: Quota::Bytes, limit: 1_000, used: 950, coming: 51 };
        assert_eq!(quotas.check(amount(0, 950), amount(1, 51)), Err(bytes));
        assert_eq!(quotas.check(amount(10, 950), Amount::of_bytes(50)), Ok(()), "adds no document");
        assert_eq!(quotas.check(amount(99, 9_999), amount(0, 0)), Ok(()), "over the limit already");
        assert!(quotas.check(amount(u64::MAX, 0), amount(1, 0)).is_err());
    }

    #[test]
    fn zero_means_no_limit() {
        assert!(Quotas::new(0, 0).are_none());
        let bytes_alone = Quotas::new(0, 5);
        assert!(!bytes_alone.are_none());
        assert_eq!(bytes_alone.check(Amount { documents: 99, bytes: 0 }, Amount::of_document(5)), Ok(()));
    }
}
