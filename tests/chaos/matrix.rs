//! Every change under one fault at a time: what the client is told, what is left when all is at rest, and whether the
//! client's next try succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bson::oid::ObjectId;

use crate::checker;
use crate::client::{Client, Told};
use crate::fleet::{Fleet, Place, Settings};
use crate::history::{Life, Shape, SharedRecord};
use crate::load::check_usable;
use crate::report::{Invariant, Tally, Violation, count};
use crate::support::mongo::Mongod;

/// How often a client tries again when the fault is over; more than a lease and a look-out take.
const ATTEMPTS: u32 = 40;

/// What a client does once in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Create,
    Rename,
    RenameWithCredentials,
    ChangeCredentials,
    Delete,
    /// A deletion with a way back.
    PutAway,
    Restore,
    InsertDocument,
    PatchDocument,
    RemoveDocument,
}

impl Action {
    pub(crate) const ALL: [Self; 10] = [
        Self::Create,
        Self::Rename,
        Self::RenameWithCredentials,
        Self::ChangeCredentials,
        Self::Delete,
        Self::PutAway,
        Self::Restore,
        Self::InsertDocument,
        Self::PatchDocument,
        Self::RemoveDocument,
    ];

    /// Whether it needs servers that keep deleted organizations.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::PutAway | Self::Restore)
    }
}

/// An organization, and what is done to it.
pub(crate) struct Act {
    action: Action,
    record: SharedRecord,
    to: Shape,
}

/// The document that is there before.
const DOCUMENT: &str = "steady";

impl Act {
    async fn once(&self, client: &Client, attempts: u32) -> Told {
        let record = &self.record;
        match self.action {
            Action::Create => client.create(record, attempts).await,
            Action::Rename | Action::RenameWithCredentials | Action::ChangeCredentials => {
                client.update(record, &self.to, attempts).await
            }
            Action::Delete | Action::PutAway => client.delete(record, attempts).await,
            Action::Restore => client.restore(record, attempts).await,
            Action::InsertDocument => client.insert(record, "new", 1).await,
            Action::PatchDocument => client.patch(record, DOCUMENT, 2).await,
            Action::RemoveDocument => client.remove(record, DOCUMENT).await,
        }
    }
}

/// A server that one case after another is tried on, over a database of its own.
pub(crate) struct Bench {
    place: Place,
    fleet: Arc<Fleet>,
    client: Client,
    tally: Arc<Tally>,
    records: Vec<SharedRecord>,
    settings: Settings,
}

/// Makes the names of all cases different.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Bench {
    /// One server that finds MongoDB by this connection string, perhaps through a proxy, and keeps what is deleted or not.
    pub(crate) async fn new(mongod: &Mongod, uri: &str, keeps: bool, tally: &Arc<Tally>) -> Self {
        let database = mongod.client().await.database(&format!("chaos_{}", ObjectId::new()));
        let place = Place::new(uri.to_owned(), database);
        let settings = vec![("DELETE_GRACE_DAYS", u8::from(keeps).to_string())];
        let fleet = Fleet::start(&place, settings.clone(), 1, tally).await;
        let client = Client::new(&fleet, 0, tally);
        Self { place, fleet, client, tally: tally.clone(), records: Vec::new(), settings }
    }

    /// What comes before the fault.
    pub(crate) async fn prepare(&mut self, case: &str, action: Action) -> Option<Act> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (key, name) = (format!("m{number}"), format!("matrix-{number}"));
        let record = SharedRecord::new(&key, &name);
        record.lock().remark(case);
        self.records.push(record.clone());
        let mut to = record.lock().any_shape()?;
        if matches!(action, Action::Rename | Action::RenameWithCredentials) {
            to.name = format!("{name}-renamed");
        }
        if matches!(action, Action::RenameWithCredentials | Action::ChangeCredentials) {
            to.email = format!("{key}-new@chaos.example");
            to.password = "another fine password".into();
        }
        if action != Action::Create {
            let is_ready = self.client.create(&record, ATTEMPTS).await.is_done()
                && self.client.log_in(&record).await.is_some()
                && self.client.insert(&record, DOCUMENT, 1).await.is_done();
            if !is_ready {
                self.violate(Invariant::Broken, &record, "it could not be prepared".to_owned());
                return None;
            }
        }
        if action == Action::Restore && !self.client.delete(&record, ATTEMPTS).await.is_done() {
            self.violate(Invariant::Broken, &record, "it could not be prepared".to_owned());
            return None;
        }
        Some(Act { action, record, to })
    }

    /// Does it under the fault.
    pub(crate) async fn act(&self, act: &Act) -> Told {
        act.once(&self.client, 1).await
    }

    /// After the fault: all comes to rest and is as the client was told, the client's next try succeeds, and all is in order
    /// again. The organization goes then, so that its case does not trouble the next.
    pub(crate) async fn conclude(&mut self, act: &Act, told: &Told) {
        count(&self.tally.cases);
        let before = self.tally.violations().len();
        checker::check(&self.place, &self.records, &self.tally).await;
        if matches!(told, Told::Later(_) | Told::Unknown(_)) {
            self.try_again(act).await;
            checker::check(&self.place, &self.records, &self.tally).await;
        }
        check_usable(&self.client, &act.record).await;
        if act.record.lock().life.allows(&Life::Live) && act.record.lock().token.is_some() {
            self.client.delete(&act.record, ATTEMPTS).await;
        }
        self.records.clear();
        let is_clean = self.tally.violations().len() == before;
        // Of what was put away, something stays.
        if !is_clean || act.action.keeps() {
            self.renew(is_clean).await;
        }
    }

    /// The client finds out what became of it, or does it now.
    async fn try_again(&self, act: &Act) {
        if !matches!(act.action, Action::Create | Action::Restore) {
            self.client.log_in(&act.record).await;
        }
        let told = act.once(&self.client, ATTEMPTS).await;
        let is_right = match (act.action, &told) {
            (_, Told::Done(_)) => true,
            // Without a key that is known, the second request meets the work of the first.
            (Action::Create | Action::Restore, _) => self.client.log_in(&act.record).await.is_some(),
            (Action::Delete | Action::PutAway, _) => self.client.log_in(&act.record).await.is_none(),
            (Action::InsertDocument, told) => told.is_refused_as("document_exists"),
            (Action::RemoveDocument, told) => told.is_refused_as("document_not_found"),
            (Action::PatchDocument, _) => false,
            (Action::Rename | Action::RenameWithCredentials | Action::ChangeCredentials, _) => {
                let name = if self.client.log_in(&act.record).await.is_some() {
                    self.client.locate(&act.record).await
                } else {
                    None
                };
                name.is_some_and(|name| name == act.to.name)
            }
        };
        if !is_right {
            self.violate(Invariant::Recovers, &act.record, format!("the next try of {:?} says: {told}", act.action));
        }
    }

    fn violate(&self, invariant: Invariant, record: &SharedRecord, text: String) {
        let (about, history) = (record.key(), record.lock().history());
        self.tally.violate(Violation { history, ..Violation::new(invariant, &about, text) });
    }

    /// Begins anew with an empty database, so that what one case left is not seen in the next. A database with damage stays
    /// for somebody to look at.
    async fn renew(&mut self, is_clean: bool) {
        self.fleet.end().await;
        if is_clean {
            self.place.database.drop().await.expect("MongoDB");
        }
        let name = format!("chaos_{}", ObjectId::new());
        self.place.database = self.place.database.client().database(&name);
        self.fleet = Fleet::start(&self.place, self.settings.clone(), 1, &self.tally).await;
        self.client = Client::new(&self.fleet, 0, &self.tally);
    }

    /// The end of all its cases.
    pub(crate) async fn end(&self) {
        checker::check_doctor(&self.place, &self.tally).await;
        self.fleet.end().await;
    }
}
