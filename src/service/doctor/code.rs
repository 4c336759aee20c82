//! The codes of the doctor's findings. They are stable, because scripts rely on them.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $remedy:literal;)*) => {
        /// The kind of a problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code's stable name.
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

// In order of repair: ending a change may resolve other findings.
codes! {
    /// A change whose lease expired and that no server has resumed.
    ChangeAbandoned = "change_abandoned", "start a server, which goes on with it";
    /// A change that servers resume again and again but never end.
    ChangeStuck = "change_stuck",
        "read in the servers' logs what keeps it: a missing privilege, or who holds the collection";
    /// A deleted organization whose purge is overdue.
    PurgeOverdue = "purge_overdue", "start a server, which ends it";
    /// The collection that an organization records is under another name.
    CollectionMisplaced = "collection_misplaced", "move it back, by renameCollection";
    /// Another collection has taken the name of one that is gone.
    CollectionReplaced = "collection_replaced", "see whose data it holds, then record its UUID";
    /// An organization's collection is gone, and no collection has its name.
    CollectionGone = "collection_gone", "restore it from a backup under this name, or delete the organization";
    /// An organization's collection has no owner tag.
    CollectionUntagged = "collection_untagged", "add $comment: \"owner:<organization id>\" to its validator";
    /// An organization's collection is tagged as another's.
    CollectionTaggedOtherwise = "collection_tagged_otherwise",
        "see whose data it holds, then correct its validator's $comment";
    /// Several organizations name or record the same collection.
    CollectionCollision = "collection_collision", "give all but one a collection of its own";
    /// An empty collection of an organization that does not exist.
    CollectionLeftover = "collection_leftover", "drop it";
    /// A collection with a tenant's name but no organization; it may hold someone's data.
    CollectionUnowned = "collection_unowned", "see what it holds, then move it away or drop it";
    /// An organization record with a missing or wrongly typed field.
    OrganizationUnreadable = "organization_unreadable",
        "correct the field; what the FastAPI original left out, `tenantry serve` fills in";
    /// An organization record in a state that no step of a change produces.
    OrganizationContradictory = "organization_contradictory", "correct the record by hand";
    /// An organization without an admin.
    OrganizationWithoutAdmin = "organization_without_admin", "restore the admin from a backup";
    /// An organization that names an admin other than its own.
    AdminUnknown = "admin_unknown", "set admin_user_id to the id of its admin";
    /// An organization's list of names does not match its name, its old names and those cooling down.
    NamesWrong = "names_wrong", "set names to slug and the slugs in old_names and cooling";
    /// Several organizations have or claim the same name.
    NameCollision = "name_collision", "take the name from all but one";
    /// An admin record with a missing or wrongly typed field.
    AdminUnreadable = "admin_unreadable",
        "correct the field; what the FastAPI original left out, `tenantry serve` fills in";
    /// An admin of an organization that does not exist.
    AdminWithoutOrganization = "admin_without_organization",
        "restore the organization from a backup, or remove the admin";
    /// An admin still holds a claim for a finished change.
    ClaimLeftOver = "claim_left_over", "set emails to email alone, and remove claimed_by";
    /// Several admins have or claim the same email.
    EmailCollision = "email_collision", "give all but one another email";
    /// An index of the master data is missing.
    IndexMissing = "index_missing", "start a server, which makes it";
    /// MongoDB is close to its open-file limit.
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
