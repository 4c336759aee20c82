//! Who calls: known by a checked token, with the organization that the token speaks for.

use super::permission::{Permission, Role};
use super::{Admin, Org};

/// Whoever a request comes from, as stored now. Only [`crate::service::auth`] makes one.
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
    /// The organization that it acts in.
    pub fn org(&self) -> &Org {
        let Self::Admin { org, .. } = self;
        org
    }

    /// The admin that it is, if it is one of this organization.
    pub fn admin_of(&self, of: &Org) -> Option<&Admin> {
        let Self::Admin { admin, org } = self;
        (org.id == of.id).then_some(admin)
    }

    /// Whether it may do this in its organization.
    pub fn may(&self, permission: Permission) -> bool {
        let Self::Admin { .. } = self;
        Role::Owner.may(permission)
    }
}
