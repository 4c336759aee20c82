//! The life of an organization: which states there are, what each of them means, and which way each change goes through them.
//! Nobody else compares states: whoever needs to know something of one asks here.

use super::named_enum;

named_enum! {
    /// Where an organization is in its life. Stored by its name.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    OrgState {
        /// Being created; nobody was told that it exists.
        Provisioning = "provisioning",
        /// Open for everything.
        Active = "active",
        /// Its name or its admin's credentials are being changed; reads, logins and tenant data go on.
        Renaming = "renaming",
        /// Being deleted; it does not exist any more for anybody who asks.
        Deleting = "deleting",
        /// Deleted, and kept for a while for its admin to bring back.
        Deleted = "deleted",
        /// Being brought back, or put right while it is deleted; nobody sees it meanwhile.
        Restoring = "restoring",
    }
}

impl OrgState {
    /// Whether clients see it, whether its own admin can be told of it, and whether it is at rest.
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

    /// Whether somebody who proves to be its admin can be told of the organization.
    pub const fn is_known_to_admin(self) -> bool {
        self.meaning().1
    }

    /// Whether the organization can stay so: no change of it is in progress.
    pub const fn is_at_rest(self) -> bool {
        self.meaning().2
    }
}

named_enum! {
    /// What a change does. Stored by its name.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    ChangeKind {
        /// A new organization; undone when nobody finishes it.
        Create = "create",
        /// A new name, new credentials, or both; finished when it was interrupted.
        Rename = "rename",
        /// The organization goes, at once or with a time to bring it back; finished when it was interrupted.
        Delete = "delete",
        /// A deleted organization comes back; finished when it was interrupted.
        Restore = "restore",
        /// A deleted organization goes for good; finished when it was interrupted.
        Purge = "purge",
        /// The collection goes back to where the organization says that it is; finished when it was interrupted.
        Repair = "repair",
    }
}

/// The way of a change through the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// In which state it begins, and ends when it is undone; none where there is no organization.
    pub from: Option<OrgState>,
    /// In which state the organization is meanwhile.
    pub meanwhile: OrgState,
    /// In which state it ends when it is made; none where the organization is gone. Then it cannot be undone either.
    pub done: Option<OrgState>,
}

impl ChangeKind {
    /// Which way such a change goes. It depends on whether the organization is kept as a deleted one afterwards.
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
