//! The life of an organization: its states, what each one means, and the course of each change through them. No other
//! module compares states; ask here instead.

use super::named_enum;

named_enum! {
    /// The lifecycle state of an organization. Stored by name.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    OrgState {
        /// Being created, and not yet announced to anyone.
        Provisioning = "provisioning",
        /// Open for everything.
        Active = "active",
        /// Its name or its admin's credentials are changing; reads, logins and tenant data continue.
        Renaming = "renaming",
        /// Being deleted; to clients it no longer exists.
        Deleting = "deleting",
        /// Deleted, and kept for a while so that its admin can restore it.
        Deleted = "deleted",
        /// Being restored, or repaired while deleted; invisible meanwhile.
        Restoring = "restoring",
    }
}

impl OrgState {
    /// Whether clients see it, whether its own admin may know of it, and whether it is at rest.
    const fn meaning(self) -> (bool, bool, bool) {
        match self {
            Self::Active => (true, true, true),
            Self::Renaming => (true, true, false),
            Self::Deleted => (false, true, true),
            Self::Restoring => (false, true, false),
            Self::Provisioning | Self::Deleting => (false, false, false),
        }
    }

    /// Whether clients see the organization.
    pub const fn is_visible(self) -> bool {
        self.meaning().0
    }

    /// Whether a caller who proves to be its admin may know of it.
    pub const fn is_known_to_admin(self) -> bool {
        self.meaning().1
    }

    /// Whether it can stay in this state: no change is in progress.
    pub const fn is_at_rest(self) -> bool {
        self.meaning().2
    }
}

named_enum! {
    /// What a change does. Stored by name.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    ChangeKind {
        /// Creates an organization; undone if nobody finishes it.
        Create = "create",
        /// Sets a new name, new credentials, or both; finished after an interruption.
        Rename = "rename",
        /// Deletes the organization, at once or with a grace period; finished after an interruption.
        Delete = "delete",
        /// Restores a deleted organization; finished after an interruption.
        Restore = "restore",
        /// Removes a deleted organization for good; finished after an interruption.
        Purge = "purge",
        /// Moves the collection back to where the organization says it is; finished after an interruption.
        Repair = "repair",
    }
}

/// The course of a change through the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// The state it starts in, and returns to when undone; `None` where there is no organization yet.
    pub from: Option<OrgState>,
    /// The organization's state during the change.
    pub meanwhile: OrgState,
    /// The state it ends in; `None` if the organization is gone. Then it cannot be undone either.
    pub done: Option<OrgState>,
}

impl ChangeKind {
    /// The course of this kind of change, depending on whether the organization is kept as deleted.
    pub const fn course(self, ends_deleted: bool) -> Course {
        use OrgState::{Active, Deleted, Deleting, Provisioning, Renaming, Restoring};
        let (from, meanwhile, done) = match (self, ends_deleted) {
            (Self::Create, _) => (None, Provisioning, Some(Active)),
            (Self::Rename, _) | (Self::Repair, false) => (Some(Active), Renaming, Some(Active)),
            (Self::Repair, true) => (Some(Deleted), Restoring, Some(Deleted)),
            (Self::Delete, true) => (Some(Active), Deleting, Some(Deleted)),
            (Self::Delete, false) => (Some(Active), Deleting, None),
            (Self::Restore, _) => (Some(Deleted), Restoring, Some(Active)),
            (Self::Purge, _) => (Some(Deleted), Deleting, None),
        };
        Course { from, meanwhile, done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn courses() -> impl Iterator<Item = (ChangeKind, bool, Course)> {
        let both =
            |kind: &ChangeKind| [false, true].map(|ends_deleted| (*kind, ends_deleted, kind.course(ends_deleted)));
        ChangeKind::ALL.iter().flat_map(both)
    }

    #[test]
    fn each_change_begins_in_just_these_states() {
        use ChangeKind::{Create, Delete, Purge, Rename, Repair, Restore};
        let states = OrgState::ALL.iter().copied().map(Some).chain([None]);
        for state in states {
            let expected: &[_] = match state {
                None => &[(Create, false), (Create, true)],
                Some(OrgState::Active) => {
                    &[(Rename, false), (Rename, true), (Delete, false), (Delete, true), (Repair, false)]
                }
                Some(OrgState::Deleted) => {
                    &[(Restore, false), (Restore, true), (Purge, false), (Purge, true), (Repair, true)]
                }
                Some(OrgState::Provisioning | OrgState::Renaming | OrgState::Deleting | OrgState::Restoring) => &[],
            };
            let begin = courses().filter(|(.., course)| course.from == state);
            let begin: Vec<_> = begin.map(|(kind, ends_deleted, _)| (kind, ends_deleted)).collect();
            assert_eq!(begin, expected, "{state:?}");
        }
    }

    #[test]
    fn every_change_ends_in_just_this_state() {
        for (kind, ends_deleted, Course { from, done, .. }) in courses() {
            let expected = match kind {
                ChangeKind::Create | ChangeKind::Rename | ChangeKind::Restore => Some(OrgState::Active),
                ChangeKind::Delete => ends_deleted.then_some(OrgState::Deleted),
                ChangeKind::Purge => None,
                ChangeKind::Repair => from,
            };
            assert_eq!(done, expected, "{kind:?} {ends_deleted}");
        }
    }

    #[test]
    fn every_change_goes_from_rest_to_rest_and_is_under_way_in_between() {
        let is_seen = |end: Option<OrgState>| end.is_some_and(OrgState::is_visible);
        for (kind, ends_deleted, Course { from, meanwhile, done }) in courses() {
            let what = format!("{kind:?} {ends_deleted}");
            assert!(!meanwhile.is_at_rest(), "{what}: servers find it by its state");
            assert!(from.is_none_or(OrgState::is_at_rest) && done.is_none_or(OrgState::is_at_rest), "{what}");
            assert_eq!(meanwhile.is_visible(), is_seen(from) && is_seen(done), "{what}: it does not flicker");
        }
        for state in OrgState::ALL {
            let is_between = courses().any(|(.., course)| course.meanwhile == *state);
            assert_eq!(is_between, !state.is_at_rest(), "{state:?}");
            assert!(state.is_known_to_admin() || !state.is_visible(), "{state:?}");
        }
    }

    #[test]
    fn names_are_read_as_what_they_are_the_names_of() {
        for state in OrgState::ALL {
            assert_eq!(serde_json::from_value::<OrgState>(state.name().into()).ok(), Some(*state));
        }
        for kind in ChangeKind::ALL {
            assert_eq!(serde_json::from_value::<ChangeKind>(kind.name().into()).ok(), Some(*kind));
        }
    }
}
