//! The life of an organization: which states there are, what each of them means, and which way each change goes through them.
//! Nobody else compares states: whoever needs to know something of one asks here.

/// Where an organization is in its life. Stored as lower-case text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrgState {
    /// Being created; nobody was told that it exists.
    Provisioning,
    /// Open for everything.
    Active,
    /// Its name or its admin's credentials are being changed; reads, logins and tenant data go on.
    Renaming,
    /// Being deleted; it does not exist any more for anybody who asks.
    Deleting,
    /// Deleted, and kept for a while for its admin to bring back.
    Deleted,
    /// Being brought back, or put right while it is deleted; nobody sees it meanwhile.
    Restoring,
}

impl OrgState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Provisioning, Self::Active, Self::Renaming, Self::Deleting, Self::Deleted, Self::Restoring];

    /// The state's name, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Renaming => "renaming",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Restoring => "restoring",
        }
    }

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
    #[must_use]
    pub const fn is_visible(self) -> bool {
        self.meaning().0
    }

    /// Whether somebody who proves to be its admin can be told of the organization.
    #[must_use]
    pub const fn is_known_to_admin(self) -> bool {
        self.meaning().1
    }

    /// Whether the organization can stay so: no change of it is in progress.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        self.meaning().2
    }
}

/// What a change does. Stored as lower-case text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// A new organization; undone when nobody finishes it.
    Create,
    /// A new name, new credentials, or both; finished when it was interrupted.
    Rename,
    /// The organization goes, at once or with a time to bring it back; finished when it was interrupted.
    Delete,
    /// A deleted organization comes back; finished when it was interrupted.
    Restore,
    /// A deleted organization goes for good; finished when it was interrupted.
    Purge,
    /// The collection goes back to where the organization says that it is; finished when it was interrupted.
    Repair,
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
    /// The kind's name, as it is stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rename => "rename",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
            Self::Repair => "repair",
        }
    }

    /// Which way such a change goes. It depends on whether the organization is kept as a deleted one afterwards.
    #[must_use]
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

    const KINDS: [ChangeKind; 6] = [
        ChangeKind::Create,
        ChangeKind::Rename,
        ChangeKind::Delete,
        ChangeKind::Restore,
        ChangeKind::Purge,
        ChangeKind::Repair,
    ];

    fn courses() -> impl Iterator<Item = (ChangeKind, bool, Course)> {
        KINDS
            .into_iter()
            .flat_map(|kind| [false, true].map(|ends_deleted| (kind, ends_deleted, kind.course(ends_deleted))))
    }

    #[test]
    fn each_change_begins_in_just_these_states() {
        let begins_in = |state| {
            let begin = courses().filter(move |(.., course)| course.from == state);
            begin.map(|(kind, ends_deleted, _)| (kind.name(), ends_deleted)).collect::<Vec<_>>()
        };
        assert_eq!(begins_in(None), [("create", false), ("create", true)]);
        for state in OrgState::ALL {
            let expected: &[_] = match state {
                OrgState::Active => {
                    &[("rename", false), ("rename", true), ("delete", false), ("delete", true), ("repair", false)]
                }
                OrgState::Deleted => {
                    &[("restore", false), ("restore", true), ("purge", false), ("purge", true), ("repair", true)]
                }
                OrgState::Provisioning | OrgState::Renaming | OrgState::Deleting | OrgState::Restoring => &[],
            };
            assert_eq!(begins_in(Some(state)), expected, "{state:?}");
        }
    }

    #[test]
    fn every_change_goes_from_rest_to_rest_and_is_under_way_in_between() {
        for (kind, ends_deleted, Course { from, meanwhile, done }) in courses() {
            let what = format!("{kind:?} {ends_deleted}");
            assert!(!meanwhile.is_at_rest(), "{what}: servers find it by its state");
            assert!(from.is_none_or(OrgState::is_at_rest) && done.is_none_or(OrgState::is_at_rest), "{what}");
            assert!(from.is_some() || done.is_some(), "{what}");
            // Seen meanwhile only what is seen before and after: a change does not flicker.
            let is_seen = |end: Option<OrgState>| end.is_some_and(OrgState::is_visible);
            assert_eq!(meanwhile.is_visible(), is_seen(from) && is_seen(done), "{what}");
        }
        for state in OrgState::ALL {
            let is_between = courses().any(|(.., course)| course.meanwhile == state);
            let is_end = courses().any(|(.., course)| course.from == Some(state) || course.done == Some(state));
            assert_eq!((is_between, is_end), (!state.is_at_rest(), state.is_at_rest()), "{state:?}");
        }
    }

    #[test]
    fn what_is_deleted_with_grace_is_kept_as_such_until_somebody_ends_it() {
        assert_eq!(ChangeKind::Delete.course(true).done, Some(OrgState::Deleted));
        assert_eq!(ChangeKind::Delete.course(false).done, None);
        assert_eq!(ChangeKind::Purge.course(false).done, None);
        assert_eq!(ChangeKind::Restore.course(false).done, Some(OrgState::Active));
        for ends_deleted in [false, true] {
            let Course { from, done, .. } = ChangeKind::Repair.course(ends_deleted);
            assert_eq!(from, done, "a repair leaves it as it is");
        }
    }

    #[test]
    fn whoever_sees_an_organization_is_also_known_to_it() {
        let states = |is: fn(OrgState) -> bool| OrgState::ALL.into_iter().filter(move |state| is(*state));
        assert!(states(OrgState::is_visible).eq([OrgState::Active, OrgState::Renaming]));
        assert!(
            states(|state| state.is_known_to_admin() && !state.is_visible())
                .eq([OrgState::Deleted, OrgState::Restoring])
        );
        assert!(states(|state| state.is_visible() && !state.is_known_to_admin()).eq([]));
    }

    #[test]
    fn names_are_read_as_what_they_are_the_names_of() {
        for state in OrgState::ALL {
            assert_eq!(serde_json::from_str::<OrgState>(&format!("{:?}", state.name())).ok(), Some(state));
        }
        for kind in KINDS {
            assert_eq!(serde_json::from_str::<ChangeKind>(&format!("{:?}", kind.name())).ok(), Some(kind));
        }
    }
}
