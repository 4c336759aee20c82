//! Permissions in an organization, and who has them.
//!
//! A handler names its permission as a type, [`Allowed`]; there is no other way to an organization's data.

use std::marker::PhantomData;
use std::ops::Deref;

use super::{Actor, Org, Tenant};

/// A role in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May do everything: the admin.
    Owner,
}

/// A permission as a type.
pub trait Permit {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident for $($role:ident),*;)*) => {
        /// An action that needs permission in an organization.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Permission {
            $($(#[$doc])* $name,)*
        }

        $($(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Permit for $name {
            const PERMISSION: Permission = Permission::$name;
        })*

        /// Which roles have each permission.
        const TABLE: &[(Permission, &[Role])] = &[$((Permission::$name, &[$(Role::$role),*]),)*];
    };
}

permissions! {
    /// See its names, changes and size.
    OrgRead for Owner;
    /// Change, rename and delete it, and release its old names.
    OrgManage for Owner;
    /// See its documents, indexes and schema.
    DocumentsRead for Owner;
    /// Write its documents.
    DocumentsWrite for Owner;
    /// Change its indexes and its schema.
    SchemaWrite for Owner;
}

impl Role {
    /// Whether the role has this permission.
    pub fn may(self, permission: Permission) -> bool {
        TABLE.iter().any(|(known, roles)| *known == permission && roles.contains(&self))
    }
}

/// What an actor reaches with the permission `P`: its organization's data or another resource.
#[derive(Debug)]
pub struct Allowed<P, W = Tenant> {
    what: W,
    permission: PhantomData<fn() -> P>,
}

/// Proof of a permission check; only [`Allowed`] makes one.
#[derive(Debug)]
pub struct Checked(());

/// A resource that a permission gives access to.
pub trait Reachable: Sized {
    /// The actor's own resource; `None` when it has none.
    fn of(actor: &Actor, checked: &Checked) -> Option<Self>;
}

impl<P: Permit, W: Reachable> Allowed<P, W> {
    /// What the actor reaches; `None` without the permission or the resource.
    pub fn of(actor: &Actor) -> Option<Self> {
        let what = if actor.may(P::PERMISSION) { W::of(actor, &Checked(()))? } else { return None };
        Some(Self { what, permission: PhantomData })
    }
}

impl<P, W> Deref for Allowed<P, W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.what
    }
}

impl Reachable for Org {
    fn of(actor: &Actor, _checked: &Checked) -> Option<Self> {
        Some(actor.org().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_may_what_the_table_of_roles_says_and_nothing_else() {
        let may =
            |role: Role| TABLE.iter().map(|(known, _)| *known).filter(|known| role.may(*known)).collect::<Vec<_>>();
        assert_eq!(
            may(Role::Owner),
            [
                Permission::OrgRead,
                Permission::OrgManage,
                Permission::DocumentsRead,
                Permission::DocumentsWrite,
                Permission::SchemaWrite,
            ]
        );
    }
}
