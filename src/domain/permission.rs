//! What may be done in an organization, and who may do it.
//!
//! A handler names its permission as a type, [`Allowed`]; there is no other way to an organization's data.

use std::marker::PhantomData;
use std::ops::Deref;

use super::{Actor, Org, Tenant};

/// What somebody is in an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Who may do everything: its admin.
    Owner,
}

/// A permission as a type.
pub trait Permit {
    /// The permission.
    const PERMISSION: Permission;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident for $($role:ident),*;)*) => {
        /// Something that may be done in an organization.
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

        /// Who may do what.
        const TABLE: &[(Permission, &[Role])] = &[$((Permission::$name, &[$(Role::$role),*]),)*];
    };
}

permissions! {
    /// See its names, changes and size.
    OrgRead for Owner;
    /// Change, rename and delete it, and give up its old names.
    OrgManage for Owner;
    /// See its documents, indexes and schema.
    DocumentsRead for Owner;
    /// Write its documents.
    DocumentsWrite for Owner;
    /// Change its indexes and its schema.
    SchemaWrite for Owner;
}

impl Role {
    /// Whether it comes with this permission.
    pub fn may(self, permission: Permission) -> bool {
        TABLE.iter().any(|(known, roles)| *known == permission && roles.contains(&self))
    }
}

/// What an actor reaches with the permission `P`: its organization's data, or something else of it.
#[derive(Debug)]
pub struct Allowed<P, W = Tenant> {
    what: W,
    permission: PhantomData<fn() -> P>,
}

/// Shows that a permission was checked; only [`Allowed`] makes one.
#[derive(Debug)]
pub struct Checked(());

/// Something that a permission leads to.
pub trait Reachable: Sized {
    /// That of the actor; `None` when there is none.
    fn of(actor: &Actor, checked: &Checked) -> Option<Self>;
}

impl<P: Permit, W: Reachable> Allowed<P, W> {
    /// What the actor reaches; `None` when it may not, or when there is nothing.
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
