//! An organization's own collection, and how commands must address it.

use uuid::Uuid;

use super::permission::{Checked, Reachable};
use super::{Actor, OrgId};

/// A tenant collection: its UUID is its identity, its name only where it was last seen.
///
/// MongoDB keeps the UUID through renames and refuses a command (error 361) whose name and UUID do not match, so a
/// command with both can never touch another tenant's data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantCollection {
    /// The collection's name when the organization was loaded.
    pub name: String,
    /// The collection's identity.
    pub uuid: Uuid,
}

/// Authorized access to an organization's data: only [`super::permission::Allowed`] yields one, and only the actor's own.
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
    /// The organization that owns the data.
    pub fn org_id(&self) -> OrgId {
        self.org_id
    }

    /// Where the collection was when the actor was authenticated.
    pub fn collection(&self) -> &TenantCollection {
        &self.collection
    }
}

/// Marks a collection's owner. It is set as a `$comment` in the validator when the collection is created, and MongoDB
/// keeps it through renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerTag(pub OrgId);

impl OwnerTag {
    const PREFIX: &'static str = "owner:";

    /// Reads `owner:<org id>`; `None` for any other text.
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
