//! An organization's own collection, as every command has to address it.

use uuid::Uuid;

use super::permission::{Checked, Reachable};
use super::{Actor, OrgId};

/// A tenant collection: its name is where it was last seen, its UUID is what it is.
///
/// MongoDB keeps the UUID through renames and refuses a command (error 361) whose name and UUID do not belong
/// together, so a command that carries both can never touch another tenant's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantCollection {
    /// The collection's name when the organization was loaded.
    pub name: String,
    /// The collection's identity.
    pub uuid: Uuid,
}

/// An organization's data, in the hands of somebody who may reach it: only [`super::permission::Allowed`] yields one, and only the actor's
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    org_id: OrgId,
    collection: TenantCollection,
}

impl Reachable for Tenant {
    /// `None` while the organization has no collection.
    fn of(actor: &Actor, _checked: &Checked) -> Option<Self> {
        Some(Self { org_id: actor.org().id, collection: actor.org().tenant_collection()? })
    }
}

impl Tenant {
    /// Whose it is.
    #[must_use]
    pub fn org_id(&self) -> OrgId {
        self.org_id
    }

    /// Where it was when the actor was recognized.
    #[must_use]
    pub fn collection(&self) -> &TenantCollection {
        &self.collection
    }
}

/// The mark by which a collection says whose it is. It is set together with the collection's creation, as a
/// `$comment` in its validator, and MongoDB keeps it through renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerTag(pub OrgId);

impl OwnerTag {
    const PREFIX: &'static str = "owner:";

    /// Reads `owner:<org id>`; `None` for any other text.
    #[must_use]
    pub fn parse(comment: &str) -> Option<Self> {
        OrgId::from_hex(comment.strip_prefix(Self::PREFIX)?).map(Self)
    }
}

impl std::fmt::Display for OwnerTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_as_what_it_was_written_from() {
        let tag = OwnerTag(OrgId::generate());
        assert_eq!(OwnerTag::parse(&tag.to_string()), Some(tag));
        assert_eq!(OwnerTag::parse("owner:somebody"), None);
        assert_eq!(OwnerTag::parse("a comment"), None);
    }
}
