//! Clients at work: each makes, renames and deletes organizations of its own, under names of its own and under names that
//! all want, while another writes and reads their documents.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;

use crate::checker;
use crate::client::{Client, Told};
use crate::fleet::{Fleet, RECOVERY};
use crate::history::{Life, Shape, SharedRecord};
use crate::random::Random;
use crate::report::{Invariant, Tally, Violation, count};

/// The names that all clients want.
const CONTESTED: [&str; 6] = ["acme", "globex", "initech", "umbrella", "hooli", "stark"];
/// How many organizations a client has at once.
const ORGANIZATIONS: usize = 3;
/// How often a change is sent whose end is not told.
const ATTEMPTS: u32 = 6;
/// How many documents an organization may have been given.
const DOCUMENTS: usize = 400;

/// What the clients of one part share.
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

    /// Lets the clients finish what they are at.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn records(&self) -> Vec<SharedRecord> {
        self.records.lock().expect("no panic").clone()
    }

    /// Writes into every history what was done to the servers.
    pub(crate) fn remark(&self, what: &str) {
        for record in self.records() {
            if !record.lock().is_retired {
                record.lock().remark(what);
            }
        }
    }

    /// So many pairs of a client that changes organizations and one that uses them, until [`Load::stop`].
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

    /// After the faults: everything comes to rest, is as it was told, and can be used.
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

/// An organization that exists lets its admin in, and takes a document.
pub(crate) async fn check_usable(client: &Client, record: &SharedRecord) {
    let (life, key) = {
        let record = record.lock();
        (record.life.clone(), record.key.clone())
    };
    if !life.allows(&Life::Live) {
        return;
    }
    let must_exist = life.is_certainly(&Life::Live);
    let limit = if must_exist { RECOVERY } else { Duration::ZERO };
    let mut failure = None;
    if client.log_in_at_last(record, limit).await.is_none() {
        failure = must_exist.then(|| "nobody can log in".to_owned());
    } else {
        let number = record.lock().documents.len();
        let told = client.insert(record, &format!("{key}-at-last-{number}"), 1).await;
        if !told.is_done() {
            failure = Some(format!("it takes no document: {told}"));
        }
    }
    if let Some(text) = failure {
        let history = record.lock().history();
        client.tally().violate(Violation { history, ..Violation::new(Invariant::Recovers, &key, text) });
    }
}

/// The organizations of one pair of clients.
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
            // Long enough to leave the writers something to write to.
            tokio::time::sleep(Duration::from_millis(self.random.below(40))).await;
        }
    }

    /// A number that no other name or email has.
    fn number(&self) -> u64 {
        self.load.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn name(&mut self) -> String {
        if self.random.below(3) == 0 {
            return (*self.random.one_of(&CONTESTED)).to_owned();
        }
        // Few enough to come back to names that were given up.
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

    /// Gives an organization up that lets nobody in: the check at the end says whether that is right.
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
}

impl Changer {
    /// Brings a deleted organization back, if it was put away and its name is still free.
    async fn restore_perhaps(&mut self, record: &SharedRecord) {
        let is_put_away = record.lock().life.is_certainly(&Life::PutAway);
        let is_back = is_put_away
            && self.random.below(2) == 0
            && matches!(self.client.restore(record, ATTEMPTS).await, Told::Done(_) | Told::Unknown(_))
            && self.client.log_in_at_last(record, RECOVERY).await.is_some();
        record.lock().is_retired = !is_back;
    }
}

/// A client that uses the organizations of another.
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

/// Waits until clients are told again that something was done; counts what was between as one failover.
pub(crate) async fn wait_for_progress(tally: &Tally, limit: Duration) -> bool {
    count(&tally.failovers);
    let before = tally.acknowledged.load(Ordering::Relaxed);
    let deadline = tokio::time::Instant::now() + limit;
    while tally.acknowledged.load(Ordering::Relaxed) < before + 10 {
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
