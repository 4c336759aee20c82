//! Changes of organizations, as somebody who watches them sees them.

use std::time::Duration;

use time::OffsetDateTime;

use super::{ChangeKind, Course, CredentialsChange, Title, object_id_newtype};

object_id_newtype! {
    /// Names a change for ever: the answer of the call that made it says it.
    ChangeId
}

/// For how long a change that is over can be looked at.
pub const HISTORY_AGE: Duration = Duration::from_hours(90 * 24);

/// The longest time that an organization can keep an old name, in days.
pub const OLD_NAME_MAX_DAYS: u16 = 365;

/// How many old names an organization can have at once: enough for every real history, too few to hoard names.
pub const MAX_OLD_NAMES: usize = 20;

/// A change as it is recorded before anything else of it happens: all that somebody else needs to finish or undo it.
#[derive(Debug, Clone)]
pub struct PlannedChange {
    /// Its identity.
    pub id: ChangeId,
    /// What it does.
    pub kind: ChangeKind,
    /// What the organization is called before and after it; for a change that moves the collection.
    pub titles: Option<Titles>,
    /// The credentials that its admin gets.
    pub credentials: Option<CredentialsChange>,
    /// For how many days the name is kept that the organization gives up.
    pub keep_old_name_days: u16,
    /// For how many days a deleted organization is kept; none at all when absent.
    pub grace_days: Option<u16>,
}

/// What an organization is called before a change and after it.
#[derive(Debug, Clone)]
pub struct Titles {
    /// Before.
    pub from: Title,
    /// After.
    pub to: Title,
}

impl PlannedChange {
    /// One that moves nothing.
    pub fn new(id: ChangeId, kind: ChangeKind) -> Self {
        Self { id, kind, titles: None, credentials: None, keep_old_name_days: 0, grace_days: None }
    }

    /// One that moves the collection, if it is called otherwise afterwards.
    pub fn moving(id: ChangeId, kind: ChangeKind, from: Title, to: Title) -> Self {
        Self { titles: Some(Titles { from, to }), ..Self::new(id, kind) }
    }

    /// Which way it goes through the states.
    pub fn course(&self) -> Course {
        self.kind.course(self.titles.as_ref().is_some_and(|titles| titles.to.slug.is_of_deleted()))
    }
}

/// How far a change is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is being carried out, or waits for a server to go on with it.
    Running {
        /// The step that was begun last.
        step: String,
    },
    /// It was made.
    Finished {
        /// When.
        at: OffsetDateTime,
    },
    /// It was refused, and everything is as it was before.
    Undone {
        /// When.
        at: OffsetDateTime,
        /// Why: a stable code.
        why: String,
    },
}

/// A change of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its identity.
    pub id: ChangeId,
    /// What it does.
    pub kind: ChangeKind,
    /// When it was recorded, by the database's clock.
    pub started_at: OffsetDateTime,
    /// How many servers have worked on it, one after another.
    pub attempts: i64,
    /// Which version of the admin's credentials it sets, if it does.
    pub credential_version: Option<i64>,
    /// How far it is.
    pub progress: Progress,
}

impl Change {
    /// Whether it was over so long ago that nobody may look at it any more.
    pub fn is_forgotten(&self, now: OffsetDateTime) -> bool {
        match self.progress {
            Progress::Running { .. } => false,
            Progress::Finished { at } | Progress::Undone { at, .. } => at < now - HISTORY_AGE,
        }
    }
}
