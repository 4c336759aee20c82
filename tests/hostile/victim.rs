//! The victim: an ordinary tenant that works at a steady pace and records how long calls took and what was refused.

use std::cell::RefCell;
use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::load::{get, request};
use crate::orders::{Call, Felt, Tenant, VictimOrders};
use crate::stage::VICTIMS_DOCUMENT;
use crate::support::PASSWORD;
use crate::wire::{Outcome, Wire};

/// No attacker has this address.
const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Longer than the server's limit for a request.
const PATIENCE: Duration = Duration::from_secs(12);
/// The typical timeout of a liveness probe.
const WATCHERS_PATIENCE: Duration = Duration::from_secs(5);

struct Victim {
    orders: VictimOrders,
    felt: RefCell<Felt>,
    is_over: Arc<AtomicBool>,
}

/// Works until standard input ends.
pub(crate) async fn run(orders: VictimOrders) -> Felt {
    let is_over = Arc::new(AtomicBool::new(false));
    let shared = is_over.clone();
    std::thread::spawn(move || {
        let _bytes = std::io::stdin().read_to_end(&mut Vec::new());
        shared.store(true, Ordering::Relaxed);
    });
    let victim = Victim { orders, felt: RefCell::default(), is_over };
    victim.work().await;
    victim.felt.into_inner()
}

impl Victim {
    async fn work(&self) {
        let Tenant { name, email, token, .. } = &self.orders.tenant;
        let read = get(&format!("/org/{name}/documents/{VICTIMS_DOCUMENT}"), Some(token));
        let credentials = json!({ "email": email, "password": PASSWORD }).to_string();
        let login = request("POST", "/admin/login", None, Some(&credentials));
        let (live, ready) = (get("/health/live", None), get("/health/ready", None));
        tokio::join!(
            self.keep_reading(&read),
            self.repeat(Call::Login, self.orders.login_every, &login),
            self.repeat(Call::Live, Duration::from_millis(20), &live),
            self.repeat(Call::Ready, Duration::from_millis(50), &ready),
            self.stream(),
        );
    }

    /// Reads on a kept-open connection, as an application server does.
    async fn keep_reading(&self, request: &[u8]) {
        const EVERY: Duration = Duration::from_millis(10);
        let mut kept = None;
        while self.goes_on() {
            let began = Instant::now();
            let asked = async {
                let mut wire = match kept.take() {
                    Some(wire) => wire,
                    None => match self.connect().await {
                        Ok(wire) => wire,
                        Err(outcome) => return (None, outcome),
                    },
                };
                let outcome = wire.ask(request).await;
                (outcome.leaves_open().then_some(wire), outcome)
            };
            let (wire, outcome) = timeout(PATIENCE, asked).await.unwrap_or((None, Outcome::Silent));
            kept = wire;
            self.note(Call::Read, &outcome, began.elapsed(), EVERY);
            sleep(EVERY).await;
        }
    }

    /// Repeats a request, each time on a new connection.
    async fn repeat(&self, call: Call, every: Duration, request: &[u8]) {
        while self.goes_on() {
            let began = Instant::now();
            let asked = async {
                match self.connect().await {
                    Ok(mut wire) => wire.ask(request).await,
                    Err(outcome) => outcome,
                }
            };
            let patience = if call == Call::Live { WATCHERS_PATIENCE } else { PATIENCE };
            let outcome = timeout(patience, asked).await.unwrap_or(Outcome::Silent);
            let took = began.elapsed();
            self.note(call, &outcome, took, every);
            sleep(every.saturating_sub(took)).await;
        }
    }

    /// Imports and exports repeatedly, if the row asks for it.
    async fn stream(&self) {
        const EVERY: Duration = Duration::from_millis(700);
        if !self.orders.is_streaming {
            return;
        }
        let Tenant { name, token, .. } = &self.orders.tenant;
        let lines = "{\"line\":1}\n{\"line\":2}\n";
        let import = format!(
            "POST /org/{name}/documents HTTP/1.1\r\nhost: victim\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{lines}",
            lines.len()
        );
        let export = format!(
            "GET /org/{name}/export HTTP/1.1\r\nhost: victim\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        tokio::join!(
            self.repeat(Call::Import, EVERY, import.as_bytes()),
            self.repeat(Call::Export, EVERY, export.as_bytes())
        );
    }

    async fn connect(&self) -> Result<Wire, Outcome> {
        Wire::open(HOME, self.orders.address).await.map_err(|_refused| Outcome::Unreachable)
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Records a call. One that took longer than the pause counts for all that would have been sent meanwhile; otherwise a
    /// server that stalls would seem to stall once.
    fn note(&self, call: Call, outcome: &Outcome, took: Duration, every: Duration) {
        let mut felt = self.felt.borrow_mut();
        if !outcome.is(200) {
            *felt.refusals.entry(format!("{call:?} {outcome}")).or_default() += 1;
        }
        let times = felt.took.entry(call).or_default();
        let mut waited = took;
        loop {
            times.push(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
            if waited <= every {
                return;
            }
            waited -= every;
        }
    }
}
