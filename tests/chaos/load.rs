//! Clients in pairs: one creates, renames and deletes organizations, under names of its own and under contested ones, while
//! the other writes and reads their documents.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use crate::checker;
use crate::client::{Client, Told};
use crate::fleet::{Fleet, RECOVERY, within};
use crate::history::{Life, Shape, SharedRecord};
use crate::random::Random;
use crate::report::{Invariant, Tally, Violation, count};

/// Names that all clients want.
const CONTESTED: [&str; 6] = ["acme", "globex", "initech", "umbrella", "hooli", "stark"];
/// Organizations of a client at once.
const ORGANIZATIONS: usize = 3;
/// Attempts at a change with an unknown outcome.
const ATTEMPTS: u32 = 6;
/// The most documents of an organization.
const DOCUMENTS: usize = 400;

/// Shared by the clients of one part.
#[derive(Debug)]
pub(crate) struct Load {
    fleet: Arc<Fleet>,
    tally: Arc<Tally>,
    is_over: AtomicBool,
    records: Mutex<Vec<SharedRecord>>,
    numbers: AtomicU64,
}

impl Load {
    pub(crate) fn new(fleet: &Arc<Fleet>, tally: &Arc<Tally>) -> Arc<Self> {
        Arc::new(Self {
            fleet: fleet.clone(),
            tally: tally.clone(),
            is_over: AtomicBool::new(false),
            records: Mutex::default(),
            numbers: AtomicU64::new(0),
        })
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Lets the clients finish their current call.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn records(&self) -> Vec<SharedRecord> {
        self.records.lock().expect("no panic").clone()
    }

    /// Records in every history what was done to the servers.
    pub(crate) fn remark(&self, what: &str) {
        for record in self.records() {
            if !record.lock().is_retired {
                record.lock().remark(what);
            }
        }
    }

    /// Runs the pairs until [`Load::stop`].
    pub(crate) async fn run(self: Arc<Self>, pairs: usize, mut random: Random) {
        let tasks = (0..pairs).flat_map(|pair| {
            let mine = Arc::new(Mutex::new(Vec::new()));
            let client = || Client::new(&self.fleet, pair % self.fleet.size(), &self.tally);
            let changer =
                Changer { load: self.clone(), client: client(), mine: mine.clone(), random: random.fork(), pair };
            let writer = Writer { load: self.clone(), client: client(), mine, random: random.fork() };
            [tokio::spawn(changer.run()), tokio::spawn(writer.run())]
        });
        for ended in join_all(tasks.collect::<Vec<_>>()).await {
            if let Err(panic) = ended {
                self.tally.violate(Violation::new(Invariant::Broken, "a client", panic.to_string()));
            }
        }
    }

    /// After the faults: everything comes to rest, matches the histories, and can be used.
    pub(crate) async fn check(&self) {
        let records = self.records();
        checker::check(&self.fleet.place, &records, &self.tally).await;
        if self.tally.is_quiet() {
            return;
        }
        let client = Client::new(&self.fleet, 0, &self.tally);
        for record in &records {
            check_usable(&client, record).await;
        }
        checker::check_doctor(&self.fleet.place, &self.tally).await;
    }
}

/// An organization that exists lets its admin in and accepts a document.
pub(crate) async fn check_usable(client: &Client, record: &SharedRecord) {
    let life = record.lock().life.clone();
    if !life.allows(&Life::Live) {
        return;
    }
    let must_exist = life.is_certainly(&Life::Live);
    let limit = if must_exist { RECOVERY } else { Duration::ZERO };
    let failure = if client.log_in_at_last(record, limit).await.is_none() {
        must_exist.then(|| "nobody can log in".to_owned())
    } else {
        let (key, number) = (record.key(), record.lock().documents.len());
        let told = client.insert(record, &format!("{key}-at-last-{number}"), 1).await;
        (!told.is_done()).then(|| format!("it accepts no document: {told}"))
    };
    client.tally().violate_all(failure.map(|text| record.violation(Invariant::Recovers, text)));
}

/// The organizations of a pair.
type Mine = Arc<Mutex<Vec<SharedRecord>>>;

/// A client that changes organizations.
struct Changer {
    load: Arc<Load>,
    client: Client,
    mine: Mine,
    random: Random,
    pair: usize,
}

impl Changer {
    async fn run(mut self) {
        while self.load.goes_on() {
            let live: Vec<SharedRecord> = usable(&self.mine);
            if live.len() < ORGANIZATIONS && (live.is_empty() || self.random.below(3) == 0) {
                self.create().await;
            } else {
                let record = self.random.one_of(&live).clone();
                self.change(&record).await;
            }
            // Leaves the writers something to write to.
            tokio::time::sleep(Duration::from_millis(self.random.below(40))).await;
        }
    }

    /// A unique number for a name or an email.
    fn number(&self) -> u64 {
        self.load.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn name(&mut self) -> String {
        if self.random.below(3) == 0 {
            return (*self.random.one_of(&CONTESTED)).to_owned();
        }
        // Few, so that names that were given up are taken again.
        format!("own-{}-{}", self.pair, self.random.below(6))
    }

    async fn create(&mut self) {
        let key = format!("c{}-{}", self.pair, self.number());
        let record = SharedRecord::new(&key, &self.name());
        self.load.records.lock().expect("no panic").push(record.clone());
        self.mine.lock().expect("no panic").push(record.clone());
        let told = self.client.create(&record, ATTEMPTS).await;
        let is_there = match told {
            Told::Done(_) | Told::Unknown(_) => self.client.log_in(&record).await.is_some(),
            _ => false,
        };
        record.lock().is_retired = !is_there;
    }

    async fn change(&mut self, record: &SharedRecord) {
        let Some(before) = record.lock().any_shape() else { return };
        let mut to = before.clone();
        match self.random.below(20) {
            0..9 => to.name = self.name(),
            9..11 => to.email = self.email(record),
            11..13 => to.password = format!("password {}", self.number()),
            13..15 => {
                to = Shape {
                    name: self.name(),
                    email: self.email(record),
                    password: format!("password {}", self.number()),
                }
            }
            15..18 => return self.log_in(record).await,
            _ => return self.delete(record).await,
        }
        let days = u32::from(self.random.below(8) == 0);
        let told = self.client.update_and_keep(record, &to, days, ATTEMPTS).await;
        let is_token_good = matches!(told, Told::Done(_) | Told::Later(_)) || told.is_refused_as("new_name_taken");
        if !is_token_good {
            self.log_in(record).await;
        }
    }

    fn email(&self, record: &SharedRecord) -> String {
        format!("{}-{}@chaos.example", record.key(), self.number())
    }

    /// Retires an organization that lets nobody in; the final check decides whether that is right.
    async fn log_in(&self, record: &SharedRecord) {
        let token = self.client.log_in_at_last(record, RECOVERY).await;
        record.lock().is_retired = token.is_none();
    }

    async fn delete(&mut self, record: &SharedRecord) {
        match self.client.delete(record, ATTEMPTS).await {
            Told::Done(_) => self.restore_perhaps(record).await,
            Told::Unknown(_) | Told::Silence => {
                let token = self.client.log_in(record).await;
                record.lock().is_retired = token.is_none();
            }
            Told::Refused(_) | Told::Later(_) => self.log_in(record).await,
        }
    }

    /// Restores half of the deleted organizations that can be restored.
    async fn restore_perhaps(&mut self, record: &SharedRecord) {
        let is_put_away = record.lock().life.is_certainly(&Life::PutAway);
        let is_back = is_put_away
            && self.random.below(2) == 0
            && matches!(self.client.restore(record, ATTEMPTS).await, Told::Done(_) | Told::Unknown(_))
            && self.client.log_in_at_last(record, RECOVERY).await.is_some();
        record.lock().is_retired = !is_back;
    }
}

/// A client that writes and reads documents.
struct Writer {
    load: Arc<Load>,
    client: Client,
    mine: Mine,
    random: Random,
}

impl Writer {
    async fn run(mut self) {
        while self.load.goes_on() {
            let live = usable(&self.mine);
            if live.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            let record = self.random.one_of(&live).clone();
            self.write(&record).await;
        }
    }

    async fn write(&mut self, record: &SharedRecord) {
        let (key, ids) = {
            let record = record.lock();
            (record.key.clone(), record.documents.keys().cloned().collect::<Vec<_>>())
        };
        let value = i64::try_from(self.random.below(1_000_000)).expect("small");
        if ids.is_empty() || (ids.len() < DOCUMENTS && self.random.below(2) == 0) {
            let id = format!("{key}-d{}", ids.len());
            self.client.insert(record, &id, value).await;
            return;
        }
        let id = self.random.one_of(&ids).clone();
        match self.random.below(4) {
            0 => self.client.read(record, &id).await,
            1 => drop(self.client.remove(record, &id).await),
            _ => drop(self.client.patch(record, &id, value).await),
        }
    }
}

fn usable(mine: &Mine) -> Vec<SharedRecord> {
    mine.lock().expect("no panic").iter().filter(|record| record.lock().is_usable()).cloned().collect()
}

/// Counts a failover, and waits until clients get acknowledgements again.
pub(crate) async fn wait_for_progress(tally: &Tally, limit: Duration) -> bool {
    count(&tally.failovers);
    let before = tally.acknowledged.load(Ordering::Relaxed);
    within(limit, async || tally.acknowledged.load(Ordering::Relaxed) >= before + 10).await
}
