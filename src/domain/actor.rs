//! The caller: authenticated by a token, and bound to the organization that the token is for.

use super::permission::{Permission, Role};
use super::{Admin, Org};

/// The authenticated caller, as currently stored. Only [`crate::service::auth`] creates one.
#[derive(Debug, Clone)]
pub enum Actor {
    /// A live admin of a live organization.
    Admin {
        /// The admin.
        admin: Admin,
        /// Its organization.
        org: Org,
    },
}

impl Actor {
    /// The organization it acts in.
    pub fn org(&self) -> &Org {
        let Self::Admin { org, .. } = self;
        org
    }

    /// The admin, if it is an admin of this organization.
    pub fn admin_of(&self, of: &Org) -> Option<&Admin> {
        let Self::Admin { admin, org } = self;
        (org.id == of.id).then_some(admin)
    }

    /// Whether it has this permission in its organization.
    pub fn may(&self, permission: Permission) -> bool {
        let Self::Admin { .. } = self;
        Role::Owner.may(permission)
    }
}
