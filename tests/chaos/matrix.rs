//! Every change under one fault at a time: checks what the client is told, what is left at rest, and whether the client's
//! next attempt succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bson::oid::ObjectId;
use clap::ValueEnum;

use crate::checker;
use crate::client::{Client, Told};
use crate::fleet::{Fleet, Place, Settings};
use crate::history::{Life, Shape, SharedRecord};
use crate::load::check_usable;
use crate::report::{Invariant, Tally, count};
use crate::support::mongo::Mongod;

/// A client's attempts after the fault: they last longer than a lease and a look for abandoned changes.
const ATTEMPTS: u32 = 40;

/// What a client does in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    Create,
    Rename,
    RenameWithCredentials,
    ChangeCredentials,
    Delete,
    /// A deletion with grace.
    PutAway,
    Restore,
    InsertDocument,
    PatchDocument,
    RemoveDocument,
}

impl Action {
    /// All actions for servers that keep deleted organizations, or for those that do not.
    pub(crate) fn all(keeps: bool) -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied().filter(move |action| action.keeps() == keeps)
    }

    fn keeps(self) -> bool {
        matches!(self, Self::PutAway | Self::Restore)
    }
}

/// An action on an organization.
pub(crate) struct Act {
    action: Action,
    record: SharedRecord,
    to: Shape,
}

/// The document that exists before the fault.
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

/// A server on a database of its own, for one case after another.
pub(crate) struct Bench {
    place: Place,
    fleet: Arc<Fleet>,
    client: Client,
    tally: Arc<Tally>,
    records: Vec<SharedRecord>,
    settings: Settings,
}

/// Makes all names unique.
static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Bench {
    /// Connects the server by `uri`, which may lead through a proxy.
    pub(crate) async fn new(mongod: &Mongod, uri: &str, keeps: bool, tally: &Arc<Tally>) -> Self {
        let database = mongod.client().await.database(&format!("chaos_{}", ObjectId::new()));
        let place = Place::new(uri.to_owned(), database);
        let settings = vec![("DELETE_GRACE_DAYS", u8::from(keeps).to_string())];
        let fleet = Fleet::start(&place, settings.clone(), 1, tally).await;
        let client = Client::new(&fleet, 0, tally);
        Self { place, fleet, client, tally: tally.clone(), records: Vec::new(), settings }
    }

    /// Sets up the case, before the fault.
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
        let client = &self.client;
        let is_ready = action == Action::Create
            || client.create(&record, ATTEMPTS).await.is_done()
                && client.log_in(&record).await.is_some()
                && client.insert(&record, DOCUMENT, 1).await.is_done();
        if !is_ready || action == Action::Restore && !client.delete(&record, ATTEMPTS).await.is_done() {
            self.tally.violate(record.violation(Invariant::Broken, "the case could not be set up"));
            return None;
        }
        Some(Act { action, record, to })
    }

    /// Acts under the fault.
    pub(crate) async fn act(&self, act: &Act) -> Told {
        act.once(&self.client, 1).await
    }

    /// After the fault: everything comes to rest and is as the client was told, and the client's next attempt succeeds. Then
    /// deletes the organization, so that it does not affect the next case.
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
        // A deletion with grace leaves something behind.
        if !is_clean || act.action.keeps() {
            self.renew(is_clean).await;
        }
    }

    /// The client finds out what happened, or does it now.
    async fn try_again(&self, act: &Act) {
        if !matches!(act.action, Action::Create | Action::Restore) {
            self.client.log_in(&act.record).await;
        }
        let told = act.once(&self.client, ATTEMPTS).await;
        let is_right = match (act.action, &told) {
            (_, Told::Done(_)) => true,
            // If the first request's key was lost, the second one meets the first one's work.
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
            let text = format!("the next attempt at {:?} says: {told}", act.action);
            self.tally.violate(act.record.violation(Invariant::Recovers, text));
        }
    }

    /// Starts over with an empty database, so that the next case does not see what this one left. A damaged database is kept
    /// for inspection.
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

    pub(crate) async fn end(&self) {
        checker::check_doctor(&self.place, &self.tally).await;
        self.fleet.end().await;
    }
}
