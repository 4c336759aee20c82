//! Who calls: a live admin of a live organization, known by a checked token.

use super::{Admin, Org, OrgReference};

/// The bearer of a valid token, with the organization that the token speaks for. Only [`crate::service::auth`]
/// makes one.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The admin, as stored now.
    pub admin: Admin,
    /// The admin's organization, as stored now.
    pub org: Org,
}

impl Caller {
    /// Whether a reference, in whatever spelling, means the caller's own organization.
    #[must_use]
    pub fn is_of(&self, reference: &OrgReference) -> bool {
        self.org.slug == *reference.slug()
    }
}
