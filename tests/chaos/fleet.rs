//! The servers under attack: real processes on one database, with shortened leases.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use mongodb::Database;
use rustix::process::Signal;
use tokio::sync::Mutex as AsyncMutex;

use crate::history::Life;
use crate::report::{Invariant, Tally, Violation, count};
use crate::support::process::{Running, Tenantry};
use crate::support::server::SECRET;
use crate::support::{eventually, is_ready};

/// The lease of a change.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);
/// The time limit of a command on the catalog; must be shorter than the lease.
const DDL: Duration = Duration::from_millis(700);
/// The pause between two looks for abandoned changes.
const RECONCILE: Duration = Duration::from_millis(300);
/// How long names cool down.
pub(crate) const COOLING: Duration = Duration::from_secs(6);
/// The pause between two looks for leftovers of zombies.
const SCRUB: Duration = Duration::from_secs(1);
/// An abandoned change must be finished within this time: its lease, a look, the change itself, and a margin for a busy
/// machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);

/// The message for an unknown command.
const NO_DOCTOR: &str = "unrecognized subcommand";

/// Settings of a server.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// A database and its connection string.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) uri: String,
    pub(crate) database: Database,
    /// A collection that was made by hand and belongs to no organization.
    pub(crate) by_hand: Option<&'static str>,
}

/// Polls until it is so, or until the limit. Returns whether it was.
pub(crate) async fn within<F: Future<Output = bool>>(limit: Duration, mut is_so: impl FnMut() -> F) -> bool {
    let deadline = Instant::now() + limit;
    while !is_so().await {
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

impl Place {
    pub(crate) fn new(uri: String, database: Database) -> Self {
        Self { uri, database, by_hand: None }
    }

    /// Runs the program with the usual settings, overridden by `more`.
    fn command(&self, arguments: &[&str], more: &[(&'static str, String)]) -> Tenantry {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let mut settings = vec![
            ("MONGO_URI", self.uri.clone()),
            ("MASTER_DB_NAME", self.database.name().to_owned()),
            ("JWT_SECRET", SECRET.to_owned()),
            ("PORT", "0".to_owned()),
            ("SALT_ROUNDS", "4".to_owned()),
            ("MIN_FREE_STORAGE_PERCENT", "0".to_owned()),
            ("LOGIN_ATTEMPTS_PER_MINUTE", "100000".to_owned()),
            ("CREATIONS_PER_MINUTE", "100000".to_owned()),
            ("UNKNOWN_NAMES_PER_MINUTE", "100000".to_owned()),
            ("REQUEST_TIMEOUT_SECONDS", "30".to_owned()),
            ("RUST_LOG", "warn,tenantry=info,tenantry::http=error".to_owned()),
            ("DELETE_GRACE_DAYS", "0".to_owned()),
            ("CHAOS_LEASE_MS", milliseconds(LEASE)),
            ("CHAOS_DDL_MS", milliseconds(DDL)),
            ("CHAOS_RECONCILE_MS", milliseconds(RECONCILE)),
            ("CHAOS_COOLING_MS", milliseconds(COOLING)),
            ("CHAOS_SCRUB_MS", milliseconds(SCRUB)),
        ];
        for (name, value) in more {
            settings.retain(|(other, _)| other != name);
            settings.push((name, value.clone()));
        }
        let borrowed: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Tenantry::new(arguments, &borrowed)
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(&self, more: &[(&'static str, String)]) -> Process {
        let running = self.command(&["serve"], more).start();
        guard("+", running.process_id());
        let mut process = Process { running, url: String::new() };
        eventually("a server listens", async || process.running.url().is_some()).await;
        process.url = process.running.url().expect("an address");
        let client = reqwest::Client::new();
        // A server with orders can die or stop before anybody sees that it is ready.
        let has_fallen = || process.is_over() || process.state() == Some('T');
        eventually("a server is ready", async || has_fallen() || is_ready(&client, &process.url).await).await;
        process
    }

    /// What `tenantry doctor` reports; `None` when nothing is wrong, or when there is no doctor.
    pub(crate) async fn doctor(&self) -> Option<String> {
        let output = self.ask_doctor(&["doctor", "--json"]).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(0) => None,
            Some(2) if err.contains(NO_DOCTOR) => None,
            code => Some(format!("exit code {code:?}: {out}{err}")),
        }
    }

    /// Runs `tenantry doctor --fix`; false when there is no doctor.
    pub(crate) async fn mend(&self) -> bool {
        let output = self.ask_doctor(&["doctor", "--fix"]).await;
        !String::from_utf8_lossy(&output.stderr).contains(NO_DOCTOR)
    }

    async fn ask_doctor(&self, arguments: &'static [&'static str]) -> Output {
        let command = self.command(arguments, &[]);
        tokio::task::spawn_blocking(|| command.output()).await.expect("no panic")
    }
}

/// A server that runs, is stopped, or has died.
pub(crate) struct Process {
    running: Running,
    pub(crate) url: String,
}

impl Process {
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    pub(crate) fn stop(&self) {
        self.running.signal(Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        self.running.signal(Signal::CONT);
    }

    /// The kernel's letter for the process's state: `T` when it is stopped, `Z` when it has died.
    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.process_id())).ok()?;
        // The name before it, in parentheses, can hold anything.
        stat.rsplit(')').next()?.trim_start().chars().next()
    }

    fn is_over(&self) -> bool {
        matches!(self.state(), None | Some('Z'))
    }

    /// Kills it, as a power failure would, and returns its log.
    pub(crate) async fn kill(self) -> String {
        // A dead process can still be signalled until it is waited for, as below.
        self.running.signal(Signal::KILL);
        guard("-", self.running.process_id());
        tokio::task::spawn_blocking(|| self.running.end().1).await.expect("no panic")
    }
}

/// Checks for lines that a server's log must never have.
pub(crate) fn check_log(log: &str, about: &str, tally: &Tally) {
    for line in log.lines() {
        if line.contains("panicked") {
            tally.violate(Violation::new(Invariant::Answers, about, line));
        }
        if line.contains("chaos: unguarded") {
            tally.violate(Violation::new(Invariant::Guarded, about, line));
        }
    }
}

/// Several servers on one database, which are killed, stopped and restarted while clients use them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) place: Place,
    settings: Settings,
    slots: Vec<Slot>,
    tally: Arc<Tally>,
}

/// Holds a server, or none.
struct Slot {
    process: AsyncMutex<Option<Process>>,
    url: Mutex<String>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Fleet {
    /// Starts `size` servers.
    pub(crate) async fn start(place: &Place, settings: Settings, size: usize, tally: &Arc<Tally>) -> Arc<Self> {
        let fleet = Self::empty(place, settings, size, tally);
        for slot in 0..size {
            fleet.restart(slot).await;
        }
        fleet
    }

    /// `size` empty slots.
    pub(crate) fn empty(place: &Place, settings: Settings, size: usize, tally: &Arc<Tally>) -> Arc<Self> {
        let slots = (0..size).map(|_| Slot { process: AsyncMutex::default(), url: Mutex::default() }).collect();
        Arc::new(Self { place: place.clone(), settings, slots, tally: tally.clone() })
    }

    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// What a deletion makes of an organization under these servers' settings.
    pub(crate) fn life_after_delete(&self) -> Life {
        let keeps = self.settings.iter().any(|(name, value)| *name == "DELETE_GRACE_DAYS" && value != "0");
        if keeps { Life::PutAway } else { Life::Gone }
    }

    /// The URL of the slot's current or last server.
    pub(crate) fn url(&self, slot: usize) -> String {
        self.slots[slot].url.lock().expect("no panic").clone()
    }

    pub(crate) async fn kill(&self, slot: usize) {
        if let Some(process) = self.slots[slot].process.lock().await.take() {
            count(&self.tally.kills);
            check_log(&process.kill().await, "a server's log", &self.tally);
        }
    }

    pub(crate) async fn restart(&self, slot: usize) {
        self.start_in(slot, &[]).await;
    }

    /// Starts a server with extra settings.
    pub(crate) async fn start_in(&self, slot: usize, more: &[(&'static str, String)]) {
        let mut settings = self.settings.clone();
        settings.extend(more.iter().cloned());
        let process = self.place.start(&settings).await;
        self.slots[slot].url.lock().expect("no panic").clone_from(&process.url);
        *self.slots[slot].process.lock().await = Some(process);
    }

    pub(crate) async fn log(&self, slot: usize) -> String {
        self.slots[slot].process.lock().await.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Whether the server dies on its own within the limit; that empties the slot.
    pub(crate) async fn dies(&self, slot: usize, limit: Duration) -> bool {
        let has_died = match self.slots[slot].process.lock().await.as_ref() {
            Some(process) => within(limit, async || process.is_over()).await,
            None => true,
        };
        if has_died {
            self.kill(slot).await;
        }
        has_died
    }

    /// Whether the server stops on its own within the limit.
    pub(crate) async fn stands_still(&self, slot: usize, limit: Duration) -> bool {
        let place = self.slots[slot].process.lock().await;
        let Some(process) = place.as_ref() else { return false };
        within(limit, async || matches!(process.state(), Some('T' | 'Z') | None)).await && process.state() == Some('T')
    }

    pub(crate) async fn stop(&self, slot: usize) {
        self.slots[slot].process.lock().await.as_ref().inspect(|process| process.stop());
    }

    pub(crate) async fn go_on(&self, slot: usize) {
        self.slots[slot].process.lock().await.as_ref().inspect(|process| process.go_on());
    }

    /// Stops the server for a while.
    pub(crate) async fn stall(&self, slot: usize, time: Duration) {
        let process = self.slots[slot].process.lock().await;
        if let Some(process) = process.as_ref() {
            count(&self.tally.stalls);
            process.stop();
            tokio::time::sleep(time).await;
            process.go_on();
        }
    }

    /// Ends all servers and checks their logs.
    pub(crate) async fn end(&self) {
        for slot in &self.slots {
            if let Some(process) = slot.process.lock().await.take() {
                check_log(&process.kill().await, "a server's log", &self.tally);
            }
        }
    }
}

/// A shell that reads until its pipe closes, and then kills the servers that are left. So none outlives this program,
/// however it ends.
const GUARD: &str = r#"live=" "; while read -r op pid; do case $op in
    +) live="$live$pid ";;
    -) live=$(echo "$live" | sed "s/ $pid / /");;
esac; done; [ "$live" = " " ] || kill -9 $live"#;

fn guard(op: &str, process_id: u32) {
    static CHILD: LazyLock<Mutex<Child>> = LazyLock::new(|| {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.spawn().expect("a shell"))
    });
    let mut child = CHILD.lock().expect("no panic");
    if let Some(pipe) = child.stdin.as_mut() {
        writeln!(pipe, "{op} {process_id}").expect("the guard reads");
    }
}
