//! The steps of changes. Each makes one database call and is safe to repeat; between two, this server can die or stall.

use crate::chaos;
use crate::domain::{ChangeKind, named_enum};

named_enum! {
    /// A step of a change.
    Step {
        /// Records a new organization, which claims its name.
        ClaimName = "claim-name",
        /// Records a change of an organization, which claims its new name.
        Begin = "begin",
        /// Renews the lease, before a command that changes the catalog.
        Renew = "renew",
        /// Frees a name whose time is over.
        FreeName = "free-name",
        /// Inserts the admin, which claims its email.
        InsertAdmin = "insert-admin",
        /// Creates the tenant collection.
        CreateCollection = "create-collection",
        /// Records which collection was created.
        RecordCollection = "record-collection",
        /// Makes a new organization visible.
        Activate = "activate",
        /// Turns a creation into a removal.
        MarkDeleting = "mark-deleting",
        /// Claims the admin's new email.
        ClaimEmail = "claim-email",
        /// Moves the tenant collection to its new name.
        MoveCollection = "move-collection",
        /// Sets the admin's new credentials.
        CommitCredentials = "commit-credentials",
        /// Makes the new name visible.
        Finish = "finish",
        /// Releases the admin's new email.
        ReleaseEmail = "release-email",
        /// Releases the new name.
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

/// Runs a step of a change of this kind.
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
