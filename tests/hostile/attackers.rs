//! The attackers' process: clients from other addresses, bounded in number and time, that count their answers.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit, nice, setrlimit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::orders::{AttackOrders, Counts, Tenant};
use crate::rows::ROWS;
use crate::wire::{Outcome, Wire};

/// Addresses of strangers, unless a row says otherwise.
pub(crate) const STRANGERS: usize = 3;
/// The pause before a retry. A shorter one would measure how fast this machine refuses.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// Open files that the process needs for itself.
const OWN_FILES: u64 = 64;

/// A running attack.
pub(crate) struct Attack {
    pub(crate) orders: AttackOrders,
    until: Instant,
    counts: RefCell<Counts>,
    /// Clients that wait for an answer right now.
    waiting: Cell<u64>,
}

/// Carries out its orders and returns how often each answer came.
pub(crate) async fn run(orders: AttackOrders) -> Counts {
    // Real attackers have their own machines, so these should not take this one's CPU.
    let _priority = nice(5);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.or(limit.current);
    setrlimit(Resource::Nofile, limit).expect("up to the maximum");
    let row = ROWS.iter().find(|row| row.id == orders.row).expect("a row");
    let until = Instant::now() + orders.lasts;
    let attack = Rc::new(Attack { orders, until, counts: RefCell::default(), waiting: Cell::new(0) });
    // Drops whatever is unfinished, with its connections.
    let _over = timeout_at(until, (row.attack)(attack.clone())).await;
    match attack.waiting.get() {
        0 => {}
        waiting => attack.add("unanswered", waiting),
    }
    attack.counts.take()
}

/// The address of the n-th stranger. None shares a network with another, or with the victim.
pub(crate) fn stranger(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, u8::try_from(1 + number % 200).expect("at most 200"), 0, 1)
}

impl Attack {
    /// One of the organizations of the row.
    pub(crate) fn tenant(&self, number: usize) -> &Tenant {
        &self.orders.tenants[number % self.orders.tenants.len()]
    }

    /// Runs this many clients at once, or as many as open files allow.
    pub(crate) async fn by<F: Future<Output = ()>>(&self, clients: usize, client: impl Fn(usize) -> F) {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(OWN_FILES);
        let possible = usize::try_from(files).unwrap_or(usize::MAX).min(clients);
        if possible < clients {
            self.add(&format!("clients instead of {clients}"), possible as u64);
        }
        join_all((0..possible).map(client)).await;
    }

    /// Runs clients from some addresses that keep sending requests, whatever the answer.
    pub(crate) async fn again(&self, clients: usize, addresses: usize, make: impl Fn(usize, u64) -> Vec<u8>) {
        let make = &make;
        self.by(clients, async |client| {
            let (mut kept, mut number) = (None, 0);
            loop {
                let wire = match kept.take() {
                    Some(wire) => Some(wire),
                    None => self.open(stranger(client % addresses)).await,
                };
                if let Some(mut wire) = wire {
                    let outcome = self.heard(wire.ask(&make(client, number))).await;
                    kept = outcome.leaves_open().then_some(wire);
                }
                number += 1;
                sleep(PAUSE).await;
            }
        })
        .await;
    }

    /// Opens a connection, and counts a failure.
    pub(crate) async fn open(&self, from: Ipv4Addr) -> Option<Wire> {
        let wire = Wire::open(from, self.orders.address).await;
        wire.inspect_err(|_refused| self.add(&Outcome::Unreachable.to_string(), 1)).ok()
    }

    /// The same with so small a buffer that the server soon cannot send.
    pub(crate) async fn open_narrow(&self, from: Ipv4Addr) -> Option<Wire> {
        let wire = Wire::open_narrow(from, self.orders.address).await;
        wire.inspect_err(|_refused| self.add(&Outcome::Unreachable.to_string(), 1)).ok()
    }

    /// Waits for an answer, and counts it.
    pub(crate) async fn heard(&self, answer: impl Future<Output = Outcome>) -> Outcome {
        self.waiting.update(|waiting| waiting + 1);
        let outcome = answer.await;
        self.waiting.update(|waiting| waiting - 1);
        self.add(&outcome.to_string(), 1);
        outcome
    }

    pub(crate) fn add(&self, what: &str, times: u64) {
        *self.counts.borrow_mut().entry(what.to_owned()).or_default() += times;
    }

    /// Waits until this share of the attack's time is over.
    pub(crate) async fn until(&self, share: f64) {
        let began = self.until - self.orders.lasts;
        tokio::time::sleep_until(began + self.orders.lasts.mul_f64(share)).await;
    }
}
