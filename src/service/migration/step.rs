//! The steps of changes. Each reaches the database once, and each is safe to repeat; between any two of them this server
//! can die or stall for as long as it likes.

use crate::chaos;
use crate::domain::{ChangeKind, named_enum};

named_enum! {
    /// A step of a change.
    Step {
        /// Records a new organization, which claims its name.
        ClaimName = "claim-name",
        /// Records a change of an organization, which claims the name that it gets.
        Begin = "begin",
        /// Renews the lease, before a command that changes the catalog.
        Renew = "renew",
        /// Frees a name whose time was over.
        FreeName = "free-name",
        /// Inserts the admin, which claims its email.
        InsertAdmin = "insert-admin",
        /// Makes the tenant collection.
        CreateCollection = "create-collection",
        /// Writes down which collection was made.
        RecordCollection = "record-collection",
        /// Lets a new organization be seen.
        Activate = "activate",
        /// Turns a creation into its removal.
        MarkDeleting = "mark-deleting",
        /// Claims the admin's new email.
        ClaimEmail = "claim-email",
        /// Moves the tenant collection to its new name.
        MoveCollection = "move-collection",
        /// Sets the admin's new credentials.
        CommitCredentials = "commit-credentials",
        /// Lets the new name be seen.
        Finish = "finish",
        /// Gives the admin's new email back.
        ReleaseEmail = "release-email",
        /// Gives the new name back.
        Undo = "undo",
        /// Drops the tenant collection.
        DropCollection = "drop-collection",
        /// Removes the admins.
        RemoveAdmins = "remove-admins",
        /// Removes the organization, which frees its name.
        RemoveOrg = "remove-org",
        /// Removes admins whose organization does not exist.
        RemoveOrphan = "remove-orphan",
        /// Drops an empty collection whose organization does not exist.
        DropLeftover = "drop-leftover",
    }
}

/// Takes a step of a change of this kind.
pub(super) async fn take<T>(kind: ChangeKind, step: Step, work: impl Future<Output = T>) -> T {
    chaos::pass(kind.name(), step.name(), "before");
    let done = work.await;
    chaos::pass(kind.name(), step.name(), "after");
    done
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
    }
}
