//! Changes of organizations, as an observer sees them.

use std::time::Duration;

use time::OffsetDateTime;

use super::{ChangeKind, Course, CredentialsChange, Title, object_id_newtype};

object_id_newtype! {
    /// Identifies a change permanently; the call that made it returns it.
    ChangeId
}

/// How long a finished change can be looked up.
pub const HISTORY_AGE: Duration = Duration::from_hours(90 * 24);

/// The longest time an organization can keep an old name, in days.
pub const OLD_NAME_MAX_DAYS: u16 = 365;

/// The most old names an organization can have at once: enough for any real history, too few to hoard names.
pub const MAX_OLD_NAMES: usize = 20;

/// A change as recorded before it starts: all that another server needs to finish or undo it.
#[derive(Debug, Clone)]
pub struct PlannedChange {
    /// Its identity.
    pub id: ChangeId,
    /// What the change does.
    pub kind: ChangeKind,
    /// The organization's titles before and after, for a change that moves the collection.
    pub titles: Option<Titles>,
    /// The admin's new credentials.
    pub credentials: Option<CredentialsChange>,
    /// How many days to keep the organization's previous name.
    pub keep_old_name_days: u16,
    /// How many days to keep a deleted organization; `None` keeps nothing.
    pub grace_days: Option<u16>,
}

/// An organization's titles before and after a change.
#[derive(Debug, Clone)]
pub struct Titles {
    /// Before.
    pub from: Title,
    /// After.
    pub to: Title,
}

impl PlannedChange {
    /// A change that moves nothing.
    pub fn new(id: ChangeId, kind: ChangeKind) -> Self {
        Self { id, kind, titles: None, credentials: None, keep_old_name_days: 0, grace_days: None }
    }

    /// A change that moves the collection if the title changes.
    pub fn moving(id: ChangeId, kind: ChangeKind, from: Title, to: Title) -> Self {
        Self { titles: Some(Titles { from, to }), ..Self::new(id, kind) }
    }

    /// Its course through the states.
    pub fn course(&self) -> Course {
        self.kind.course(self.titles.as_ref().is_some_and(|titles| titles.to.slug.is_of_deleted()))
    }
}

/// The progress of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// In progress, or waiting for a server to resume it.
    Running {
        /// The last step that was started.
        step: String,
    },
    /// Completed.
    Finished {
        /// When.
        at: OffsetDateTime,
    },
    /// Refused; everything is as before.
    Undone {
        /// When.
        at: OffsetDateTime,
        /// The reason, as a stable code.
        why: String,
    },
}

/// A change of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its identity.
    pub id: ChangeId,
    /// What the change does.
    pub kind: ChangeKind,
    /// When it was recorded, by the database's clock.
    pub started_at: OffsetDateTime,
    /// How many servers have worked on it, one after another.
    pub attempts: i64,
    /// The version of the admin's credentials that it sets, if any.
    pub credential_version: Option<i64>,
    /// Its progress.
    pub progress: Progress,
}

impl Change {
    /// Whether it ended so long ago that it can no longer be looked up.
    pub fn is_forgotten(&self, now: OffsetDateTime) -> bool {
        match self.progress {
            Progress::Running { .. } => false,
            Progress::Finished { at } | Progress::Undone { at, .. } => at < now - HISTORY_AGE,
        }
    }
}
