//! Stages every kind of change: its setup, how it begins, what gets in its way, and how it must end if its server dies at a
//! given point.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{DateTime, doc};
use clap::ValueEnum;

use crate::args::Plan;
use crate::checker;
use crate::client::{Client, Told};
use crate::fleet::{Fleet, Place, RECOVERY, Settings};
use crate::history::{Life, Possible, Shape, SharedRecord};
use crate::report::{Invariant, Tally, Violation};
use crate::support::eventually;
use crate::support::mongo::Mongod;

/// The server that dies or stops.
pub(crate) const VICTIM: usize = 0;
/// The server that takes over.
pub(crate) const HELPER: usize = 1;
/// A third server, where it takes three.
pub(crate) const THIRD: usize = 2;

/// A client's attempts at a change.
pub(crate) const ATTEMPTS: u32 = 60;
/// How long a server may take to reach the point at which it dies or stops.
pub(crate) const REACH_LIMIT: Duration = Duration::from_secs(15);
/// The cooling time here: longer than any command lives, and short enough to wait for.
const COOLING_MS: &str = "2500";
/// How long a name that was given up may stay reserved.
pub(crate) const FREE_LIMIT: Duration = Duration::from_secs(8);
const NEVER_MS: &str = "3600000";
const DOCUMENT: &str = "steady";
/// An admin without an organization that exists before the server starts.
const FIRST_ORPHAN: &str = "first@chaos.example";

/// A change, with what gets in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Create,
    /// Another organization takes the email after the name was claimed.
    CreateTakenEmail,
    /// An orphaned admin and an orphaned collection are in the way.
    CreateOverLeftovers,
    /// Another organization kept the name, but its time is up.
    CreateFreedName,
    Rename,
    RenameWithCredentials,
    /// A collection of the new name is made by hand after the name was claimed.
    RenameOccupied,
    /// Another organization takes the email after the name was claimed.
    RenameTakenEmail,
    Delete,
    SoftDelete,
    Restore,
    /// A deleted organization whose grace is over.
    Purge,
    /// A creation that another server abandoned.
    ResumeCreate,
    ResumeRename,
    ResumeDelete,
    ResumeSoftDelete,
    ResumeRestore,
    /// Leftovers of a zombie.
    Scrub,
}

/// The point from which a change is finished, not undone, when its server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    Never,
    From(&'static str),
    Always,
}

impl Scenario {
    pub(crate) fn all(plan: &Plan) -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied().filter(|scenario| plan.includes(&format!("{scenario:?}")))
    }

    /// Whether a client asks for it. If not, a server does it on its own.
    pub(crate) fn is_asked_for(self) -> bool {
        !matches!(
            self,
            Self::Purge
                | Self::ResumeCreate
                | Self::ResumeRename
                | Self::ResumeDelete
                | Self::ResumeSoftDelete
                | Self::ResumeRestore
                | Self::Scrub
        )
    }

    /// As docs/ARCHITECTURE.md has it ("after a crash"): creations are undone, all other recorded changes are finished.
    fn commits(self) -> Commits {
        match self {
            Self::Create | Self::CreateOverLeftovers | Self::CreateFreedName => Commits::From("create.activate.after"),
            Self::Rename | Self::RenameWithCredentials => Commits::From("rename.begin.after"),
            Self::Delete | Self::SoftDelete => Commits::From("delete.begin.after"),
            Self::Restore => Commits::From("restore.begin.after"),
            Self::CreateTakenEmail | Self::RenameOccupied | Self::RenameTakenEmail | Self::ResumeCreate => {
                Commits::Never
            }
            Self::Purge
            | Self::ResumeRename
            | Self::ResumeDelete
            | Self::ResumeSoftDelete
            | Self::ResumeRestore
            | Self::Scrub => Commits::Always,
        }
    }

    /// Whether the change is made if its server passed these points before it died or stopped.
    pub(crate) fn is_made(self, passed: &[String]) -> bool {
        match self.commits() {
            Commits::Never => false,
            Commits::Always => true,
            Commits::From(point) => passed.iter().any(|other| other == point),
        }
    }

    /// Whether any of it is recorded by then.
    pub(crate) fn is_recorded(self, passed: &[String]) -> bool {
        !self.is_asked_for()
            || passed.iter().any(|point| point.ends_with(".begin.after") || point.ends_with(".claim-name.after"))
    }

    /// The refusal that the client gets in the end.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        match self {
            Self::CreateTakenEmail | Self::RenameTakenEmail => Some("email_taken"),
            Self::RenameOccupied => Some("collection_occupied"),
            _ => None,
        }
    }

    /// Where the server stops while something gets in its way.
    pub(crate) fn interrupted_at(self) -> Option<&'static str> {
        match self {
            Self::CreateTakenEmail => Some("create.claim-name.after"),
            Self::RenameOccupied | Self::RenameTakenEmail => Some("rename.begin.after"),
            _ => None,
        }
    }

    /// Where the first server dies, whose change another resumes.
    fn left_at(self) -> Option<&'static str> {
        match self {
            Self::ResumeCreate => Some("create.create-collection.after"),
            Self::ResumeRename => Some("rename.begin.after"),
            Self::ResumeDelete | Self::ResumeSoftDelete => Some("delete.begin.after"),
            Self::ResumeRestore => Some("restore.begin.after"),
            _ => None,
        }
    }

    pub(crate) fn creates(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::CreateTakenEmail
                | Self::CreateOverLeftovers
                | Self::CreateFreedName
                | Self::ResumeCreate
        )
    }

    pub(crate) fn renames(self) -> bool {
        matches!(
            self,
            Self::Rename
                | Self::RenameWithCredentials
                | Self::RenameOccupied
                | Self::RenameTakenEmail
                | Self::ResumeRename
        )
    }

    pub(crate) fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::SoftDelete | Self::ResumeDelete | Self::ResumeSoftDelete)
    }

    pub(crate) fn restores(self) -> bool {
        matches!(self, Self::Restore | Self::ResumeRestore)
    }

    /// Whether a client can undo it.
    pub(crate) fn can_be_undone(self) -> bool {
        self.renames() || self.restores() || (self.deletes() && self.keeps())
    }

    /// Whether the servers keep deleted organizations.
    pub(crate) fn keeps(self) -> bool {
        matches!(self, Self::SoftDelete | Self::ResumeSoftDelete | Self::Purge) || self.restores()
    }

    /// Whether the organization is deleted before.
    fn begins_put_away(self) -> bool {
        self.restores() || self == Self::Purge
    }

    fn has_leftovers(self) -> bool {
        matches!(self, Self::CreateOverLeftovers | Self::Scrub)
    }
}

/// A scenario in a database of its own.
pub(crate) struct Stage {
    pub(crate) scenario: Scenario,
    pub(crate) place: Place,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) tally: Arc<Tally>,
    /// The organization being changed.
    pub(crate) record: SharedRecord,
    /// Other organizations.
    pub(crate) others: Vec<SharedRecord>,
    /// What an update makes of it.
    to: Shape,
    before: Shape,
    is_disturbed: bool,
}

impl Stage {
    pub(crate) async fn new(scenario: Scenario, mongod: &Mongod, more: &Settings, tally: &Arc<Tally>) -> Self {
        let database = mongod.client().await.database(&format!("stage_{}", ObjectId::new()));
        let by_hand = (scenario == Scenario::RenameOccupied).then_some("org_after");
        let place = Place { uri: mongod.uri(), database, by_hand };
        let grace = if scenario.keeps() { "1" } else { "0" };
        let mut settings = vec![("DELETE_GRACE_DAYS", grace.to_owned()), ("CHAOS_COOLING_MS", COOLING_MS.to_owned())];
        settings.extend(more.iter().cloned());
        let fleet = Fleet::empty(&place, settings, 3, tally);
        let record = SharedRecord::new("it", "before");
        let before = record.lock().any_shape().expect("a shape");
        let mut to = before.clone();
        if scenario.renames() {
            "after".clone_into(&mut to.name);
        }
        if matches!(scenario, Scenario::RenameWithCredentials | Scenario::RenameTakenEmail | Scenario::ResumeRename) {
            "it-after@chaos.example".clone_into(&mut to.email);
            "another fine password".clone_into(&mut to.password);
        }
        let (tally, others) = (tally.clone(), Vec::new());
        Self { scenario, place, fleet, tally, record, others, to, before, is_disturbed: false }
    }

    /// A client of one server.
    pub(crate) fn client(&self, slot: usize) -> Client {
        Client::pinned(&self.fleet, slot, &self.tally)
    }

    /// Sets the scenario up, with the helper. That ends if the victim acts on its own.
    pub(crate) async fn prepare(&mut self) {
        self.fleet.start_in(HELPER, &[]).await;
        let client = self.client(HELPER);
        if !self.scenario.creates() && self.scenario != Scenario::Scrub {
            self.must("create", &client.create(&self.record, ATTEMPTS).await);
            client.log_in(&self.record).await.expect("a token");
            self.must("insert", &client.insert(&self.record, DOCUMENT, 1).await);
        }
        if self.scenario.begins_put_away() {
            self.must("delete", &client.delete(&self.record, ATTEMPTS).await);
        }
        if self.scenario == Scenario::CreateFreedName {
            self.keep_name_too_long(&client).await;
        }
        if let Some(point) = self.scenario.left_at() {
            self.fleet.start_in(THIRD, &[("CHAOS_KILL_AT", point.to_owned())]).await;
            let _unknown = self.request_of(THIRD, &self.record, 1).await;
            if !self.fleet.dies(THIRD, RECOVERY).await {
                self.violate(Invariant::Guarded, format!("{point} was not reached"));
            }
        }
        if !self.scenario.is_asked_for() {
            self.fleet.kill(HELPER).await;
        }
    }

    fn must(&self, what: &str, told: &Told) {
        if !told.is_done() {
            self.violate(Invariant::Broken, format!("{what}: {told}"));
        }
    }

    /// Leaves the name with another organization, although its time is up.
    async fn keep_name_too_long(&mut self, client: &Client) {
        let holder = SharedRecord::new("holder", "holder");
        self.must("create", &client.create(&holder, ATTEMPTS).await);
        self.others.push(holder);
        let cooling = doc! { "slug": "before", "until": DateTime::from_millis(0) };
        let update = doc! { "$push": { "names": "before", "cooling": cooling } };
        let orgs = self.place.database.collection::<bson::Document>("organizations");
        orgs.update_one(doc! { "slug": "holder" }, update).await.expect("MongoDB");
    }

    /// Starts the server that will die or stop, with its orders.
    pub(crate) async fn start_victim(&self, orders: &Settings) {
        let mut settings = orders.clone();
        if self.scenario == Scenario::CreateOverLeftovers {
            self.fleet.stop(HELPER).await;
            settings.push(("CHAOS_SCRUB_MS", NEVER_MS.to_owned()));
            self.insert_orphan(FIRST_ORPHAN).await;
        }
        self.fleet.start_in(VICTIM, &settings).await;
        if self.scenario == Scenario::CreateOverLeftovers {
            self.let_it_scrub_once().await;
        }
    }

    /// Its first look for leftovers comes right after the start; the scenario's leftovers must come later.
    async fn let_it_scrub_once(&self) {
        let admins = self.place.database.collection::<bson::Document>("admins");
        let is_clear = async || matches!(admins.count_documents(doc! { "email": FIRST_ORPHAN }).await, Ok(0));
        eventually("the first orphan is cleared", is_clear).await;
    }

    async fn insert_orphan(&self, email: &str) {
        let orphan = doc! {
            "organization_id": ObjectId::new(), "email": email, "emails": [email], "password_hash": "$2b$04$none",
            "credential_version": 1, "change_generation": 0, "role": "admin",
            "created_at": DateTime::now(), "updated_at": DateTime::now(),
        };
        self.place.database.collection("admins").insert_one(orphan).await.expect("MongoDB");
    }

    async fn leave_leftovers(&self) {
        self.insert_orphan(&self.to.email).await;
        let tag = doc! { "$comment": format!("owner:{}", ObjectId::new()) };
        self.place.database.create_collection("org_before").validator(tag).await.expect("MongoDB");
    }

    /// Makes the servers begin where no client asks for it, and does whatever must come last.
    pub(crate) async fn provoke(&self) {
        if self.scenario.has_leftovers() {
            self.leave_leftovers().await;
        }
        if self.scenario == Scenario::Purge {
            let over = doc! { "$set": { "deletion.until": DateTime::from_millis(0) } };
            let orgs = self.place.database.collection::<bson::Document>("organizations");
            orgs.update_one(doc! { "state": "deleted" }, over).await.expect("MongoDB");
        }
    }

    /// A client's request for the change, to one server.
    pub(crate) fn request_of(
        &self,
        slot: usize,
        record: &SharedRecord,
        attempts: u32,
    ) -> impl Future<Output = Told> + Send + use<> {
        let (client, scenario, record, to) = (self.client(slot), self.scenario, record.clone(), self.to.clone());
        async move {
            if scenario.creates() {
                client.create(&record, attempts).await
            } else if scenario.renames() {
                client.update(&record, &to, attempts).await
            } else if scenario.deletes() {
                client.delete(&record, attempts).await
            } else {
                client.restore(&record, attempts).await
            }
        }
    }

    /// Gets in the way while the server is stopped; only the first call counts.
    pub(crate) async fn disturb(&mut self) {
        if std::mem::replace(&mut self.is_disturbed, true) {
            return;
        }
        match self.scenario {
            Scenario::CreateTakenEmail | Scenario::RenameTakenEmail => {
                let rival = SharedRecord::with_email("rival", "rival", &self.to.email);
                self.must("create", &self.client(HELPER).create(&rival, ATTEMPTS).await);
                self.others.push(rival);
            }
            Scenario::RenameOccupied => {
                let foreign = self.place.database.collection("org_after");
                foreign.insert_one(doc! { "by": "hand" }).await.expect("MongoDB");
            }
            _ => {}
        }
    }

    /// Removes the collection that was made by hand, which would count as a stray.
    pub(crate) async fn clear_the_way(&self) {
        if self.scenario == Scenario::RenameOccupied {
            self.place.database.collection::<bson::Document>("org_after").drop().await.expect("MongoDB");
        }
    }

    /// Records how the change must have ended.
    pub(crate) fn settle(&self, is_made: bool) {
        let mut record = self.record.lock();
        let scenario = self.scenario;
        if scenario.creates() {
            record.life = Possible::certainly(if is_made { Life::Live } else { Life::Gone });
        } else if scenario.renames() && is_made {
            record.shape = Possible::certainly(self.to.clone());
        } else if scenario.renames() {
            record.shape = Possible::certainly(self.before.clone());
        } else if scenario.deletes() {
            let life = if is_made { self.fleet.life_after_delete() } else { Life::Live };
            record.life = Possible::certainly(life);
        } else if scenario.restores() {
            record.life = Possible::certainly(if is_made { Life::Live } else { Life::PutAway });
        } else {
            record.life = Possible::certainly(Life::Gone);
        }
        if record.life.is_certainly(&Life::Gone) {
            record.documents.clear();
        }
    }

    pub(crate) fn shape_before(&self) -> Shape {
        self.before.clone()
    }

    /// Every organization must be one of these.
    pub(crate) fn records(&self) -> Vec<SharedRecord> {
        let mut records = vec![self.record.clone()];
        records.extend(self.others.iter().cloned());
        records
    }

    pub(crate) async fn check(&self, when: &str) {
        self.record.lock().remark(&format!("checked {when}"));
        checker::check(&self.place, &self.records(), &self.tally).await;
    }

    /// Others can take the names and emails that the change gave up, but not those that it holds.
    pub(crate) async fn check_freedom(&mut self, slot: usize, is_made: bool) {
        let (from, to) = ("before".to_owned(), self.to.clone());
        let life = self.record.lock().life.clone();
        let scenario = self.scenario;
        let free_name = match (scenario.renames(), is_made) {
            (true, true) => Some(from),
            (true, false) => Some(to.name.clone()),
            (false, _) => (!life.is_certainly(&Life::Live)).then_some(from),
        };
        if let Some(name) = free_name {
            let is_email_free = life.is_certainly(&Life::Gone) && scenario != Scenario::CreateTakenEmail;
            let email = is_email_free.then(|| to.email.clone());
            self.must_be_free(slot, &name, email).await;
        }
        if life.is_certainly(&Life::Live) {
            let taken = self.record.lock().any_shape().expect("a shape").name;
            let told = self.client(slot).create(&SharedRecord::new("thief", &taken), 1).await;
            if !told.is_refused_as("organization_exists") {
                self.violate(Invariant::Names, format!("{taken} is taken, but a creation is told: {told}"));
            }
        }
    }

    async fn must_be_free(&mut self, slot: usize, name: &str, email: Option<String>) {
        let email = email.unwrap_or_else(|| "newcomer@chaos.example".to_owned());
        let newcomer = SharedRecord::with_email("newcomer", name, &email);
        let client = self.client(slot);
        let deadline = Instant::now() + FREE_LIMIT;
        loop {
            let told = client.create(&newcomer, ATTEMPTS).await;
            if told.is_done() {
                self.others.push(newcomer);
                return;
            }
            if Instant::now() > deadline {
                return self.violate(Invariant::Names, format!("{name} does not become free: {told}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) fn violate(&self, invariant: Invariant, text: String) {
        let about = format!("{:?} in {}", self.scenario, self.place.database.name());
        let history = self.record.lock().history();
        self.tally.violate(Violation { history, ..Violation::new(invariant, &about, text) });
    }

    /// Ends the servers, and drops the database unless it has violations to inspect.
    pub(crate) async fn end(&self, before: usize) {
        checker::check_doctor(&self.place, &self.tally).await;
        self.fleet.end().await;
        if self.tally.violations().len() == before {
            self.place.database.drop().await.expect("MongoDB");
        }
    }
}
