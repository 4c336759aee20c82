//! The codes of what can be wrong. They are stable: scripts go by them.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $remedy:literal;)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code's name, which stays.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What a person can do.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)*
                }
            }
        }
    };
}

// In the order in which they are repaired: a change that is ended may take other findings with it.
codes! {
    /// A change whose lease ran out, and that no server goes on with.
    ChangeAbandoned = "change_abandoned", "start a server, which goes on with it";
    /// A change that servers resume again and again and never end.
    ChangeStuck = "change_stuck",
        "read in the servers' logs what keeps it: a missing privilege, or who holds the collection";
    /// A deleted organization that should be gone for good.
    PurgeOverdue = "purge_overdue", "start a server, which ends it";
    /// The collection that an organization records has another name.
    CollectionMisplaced = "collection_misplaced", "move it back, by renameCollection";
    /// Another collection has the name of one that is gone.
    CollectionReplaced = "collection_replaced", "see whose data it holds, then record its UUID";
    /// An organization's collection is gone, and so is its name.
    CollectionGone = "collection_gone", "restore it from a backup under this name, or delete the organization";
    /// An organization's collection does not say whose it is.
    CollectionUntagged = "collection_untagged", "add $comment: \"owner:<organization id>\" to its validator";
    /// An organization's collection says that it is another's.
    CollectionTaggedOtherwise = "collection_tagged_otherwise",
        "see whose data it holds, then correct its validator's $comment";
    /// Organizations name or record one collection.
    CollectionCollision = "collection_collision", "give all but one a collection of its own";
    /// An empty collection of an organization that does not exist.
    CollectionLeftover = "collection_leftover", "drop it";
    /// A collection named as tenants' are, of no organization, that may be somebody's.
    CollectionUnowned = "collection_unowned", "see what it holds, then move it away or drop it";
    /// A record of an organization that lacks a field, or has one of the wrong type.
    OrganizationUnreadable = "organization_unreadable",
        "correct the field; what the FastAPI original left out, `tenantry serve` fills in";
    /// A record of an organization whose fields no step of a change leaves like this.
    OrganizationContradictory = "organization_contradictory", "correct the record by hand";
    /// An organization that no admin belongs to.
    OrganizationWithoutAdmin = "organization_without_admin", "restore the admin from a backup";
    /// An organization that names an admin who is not its own.
    AdminUnknown = "admin_unknown", "set admin_user_id to the id of its admin";
    /// An organization's list of names is not what its name, its old names and those that cool down make it.
    NamesWrong = "names_wrong", "set names to slug and the slugs in old_names and cooling";
    /// Organizations have or claim one name.
    NameCollision = "name_collision", "take the name from all but one";
    /// A record of an admin that lacks a field, or has one of the wrong type.
    AdminUnreadable = "admin_unreadable",
        "correct the field; what the FastAPI original left out, `tenantry serve` fills in";
    /// An admin of an organization that does not exist.
    AdminWithoutOrganization = "admin_without_organization",
        "restore the organization from a backup, or remove the admin";
    /// An admin claims something for a change that is over.
    ClaimLeftOver = "claim_left_over", "set emails to email alone, and remove claimed_by";
    /// Admins have or claim one email.
    EmailCollision = "email_collision", "give all but one another email";
    /// An index of the master data is not there.
    IndexMissing = "index_missing", "start a server, which makes it";
    /// MongoDB comes near to its limit of open files.
    OpenFilesLow = "open_files_low",
        "raise the open-file limit of mongod (ulimit -n, LimitNOFILE): it aborts when it runs out";
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_in_snake_case() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }
}
