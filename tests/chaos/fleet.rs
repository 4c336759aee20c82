//! The servers that are hurt: real processes over one database, with their leases hurried.

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

/// How long a server may work on a change without renewing its right to it.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);
/// How long a command of the catalog may take; must be shorter than the lease.
const DDL: Duration = Duration::from_millis(700);
/// How often abandoned changes are looked for.
const RECONCILE: Duration = Duration::from_millis(300);
/// How long a name that a resumed change gave up stays reserved.
pub(crate) const COOLING: Duration = Duration::from_secs(6);
/// How often the leftovers of zombies are cleared.
const SCRUB: Duration = Duration::from_secs(1);
/// Until when a change that was abandoned must be over: its lease, a look, the change itself, and much for a machine that
/// does other things too.
pub(crate) const RECOVERY: Duration = Duration::from_secs(10);

/// What the command line says of a command that it does not know.
const NO_DOCTOR: &str = "unrecognized subcommand";

/// What a server's environment has beside what every one has.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// A database, and how a server finds it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) uri: String,
    pub(crate) database: Database,
    /// A collection that somebody made by hand and that no organization owns.
    pub(crate) by_hand: Option<&'static str>,
}

impl Place {
    pub(crate) fn new(uri: String, database: Database) -> Self {
        Self { uri, database, by_hand: None }
    }

    /// All settings of a server, these included.
    fn settings(&self, more: &[(&'static str, String)]) -> Settings {
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
        settings
    }

    /// A server that is ready, with these settings more.
    pub(crate) async fn start(&self, more: &[(&'static str, String)]) -> Process {
        let settings = self.settings(more);
        let borrowed: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let running = Tenantry::new(&["serve"], &borrowed).start();
        guard("+", running.process_id());
        let mut process = Process { running, url: String::new() };
        eventually("a server listens", async || process.running.url().is_some()).await;
        process.url = process.running.url().expect("an address");
        let client = reqwest::Client::new();
        // One with orders can die or stop before anybody sees that it is ready.
        let has_fallen = || process.is_over() || process.state() == Some('T');
        eventually("a server is ready", async || has_fallen() || is_ready(&client, &process.url).await).await;
        process
    }

    /// What `tenantry doctor` has to say; nothing when all is well, or when there is no doctor.
    pub(crate) async fn doctor(&self) -> Option<String> {
        let output = self.ask_doctor(&["doctor", "--json"]).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            Some(0) => None,
            Some(2) if err.contains(NO_DOCTOR) => None,
            code => Some(format!("exit code {code:?}: {out}{err}")),
        }
    }

    /// Lets `tenantry doctor --fix` mend what it can; false when there is no doctor.
    pub(crate) async fn mend(&self) -> bool {
        let output = self.ask_doctor(&["doctor", "--fix"]).await;
        !String::from_utf8_lossy(&output.stderr).contains(NO_DOCTOR)
    }

    async fn ask_doctor(&self, arguments: &'static [&'static str]) -> Output {
        let settings = self.settings(&[]);
        let output = tokio::task::spawn_blocking(move || {
            let borrowed: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Tenantry::new(arguments, &borrowed).output()
        });
        output.await.expect("no panic")
    }
}

/// A server that runs, or stands still, or has died.
pub(crate) struct Process {
    running: Running,
    pub(crate) url: String,
}

impl Process {
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    /// Stops it where it is.
    pub(crate) fn stop(&self) {
        self.running.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.running.signal(Signal::CONT);
    }

    /// The state of the process as the kernel calls it: `T` when it stands still, `Z` when it has died.
    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.process_id())).ok()?;
        // The name before it, in parentheses, may hold anything.
        stat.rsplit(')').next()?.trim_start().chars().next()
    }

    fn is_over(&self) -> bool {
        matches!(self.state(), None | Some('Z'))
    }

    /// Whether it dies within this time, by its own hand.
    async fn dies(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.is_over() {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Whether it stands still within this time.
    async fn stands_still(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.state() != Some('T') {
            if Instant::now() > deadline || self.is_over() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Kills it, as a power failure would; gives what it logged.
    pub(crate) async fn kill(self) -> String {
        // A process that has died can be signalled until somebody waits for it, as below.
        self.running.signal(Signal::KILL);
        guard("-", self.running.process_id());
        tokio::task::spawn_blocking(|| self.running.end().1).await.expect("no panic")
    }
}

/// What must never stand in a server's log.
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

/// Several servers over one database, which are killed, stopped and started again while clients use them.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) place: Place,
    settings: Settings,
    slots: Vec<Slot>,
    tally: Arc<Tally>,
}

/// The place of a server, which may be empty.
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
    /// So many servers that are ready.
    pub(crate) async fn start(place: &Place, settings: Settings, size: usize, tally: &Arc<Tally>) -> Arc<Self> {
        let fleet = Self::empty(place, settings, size, tally);
        for slot in 0..size {
            fleet.restart(slot).await;
        }
        fleet
    }

    /// Room for so many servers.
    pub(crate) fn empty(place: &Place, settings: Settings, size: usize, tally: &Arc<Tally>) -> Arc<Self> {
        let slots = (0..size).map(|_| Slot { process: AsyncMutex::default(), url: Mutex::default() }).collect();
        Arc::new(Self { place: place.clone(), settings, slots, tally: tally.clone() })
    }

    pub(crate) fn size(&self) -> usize {
        self.slots.len()
    }

    /// What a deletion makes of an organization: these servers' settings say.
    pub(crate) fn life_after_delete(&self) -> Life {
        let keeps = self.settings.iter().any(|(name, value)| *name == "DELETE_GRACE_DAYS" && value != "0");
        if keeps { Life::PutAway } else { Life::Gone }
    }

    /// Where the server of this slot is, or was.
    pub(crate) fn url(&self, slot: usize) -> String {
        self.slots[slot].url.lock().expect("no panic").clone()
    }

    /// Kills the server of this slot.
    pub(crate) async fn kill(&self, slot: usize) {
        if let Some(process) = self.slots[slot].process.lock().await.take() {
            count(&self.tally.kills);
            check_log(&process.kill().await, "a server's log", &self.tally);
        }
    }

    /// Puts a fresh server into this slot.
    pub(crate) async fn restart(&self, slot: usize) {
        self.start_in(slot, &[]).await;
    }

    /// Puts a server with these settings more into this slot.
    pub(crate) async fn start_in(&self, slot: usize, more: &[(&'static str, String)]) {
        let mut settings = self.settings.clone();
        settings.extend(more.iter().cloned());
        let process = self.place.start(&settings).await;
        self.slots[slot].url.lock().expect("no panic").clone_from(&process.url);
        *self.slots[slot].process.lock().await = Some(process);
    }

    /// What the server of this slot has logged.
    pub(crate) async fn log(&self, slot: usize) -> String {
        self.slots[slot].process.lock().await.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Whether the server of this slot dies within this time, by its own hand; then the slot is empty.
    pub(crate) async fn dies(&self, slot: usize, limit: Duration) -> bool {
        let mut place = self.slots[slot].process.lock().await;
        let has_died = match place.as_ref() {
            Some(process) => process.dies(limit).await,
            None => true,
        };
        if has_died && let Some(process) = place.take() {
            count(&self.tally.kills);
            check_log(&process.kill().await, "a server's log", &self.tally);
        }
        has_died
    }

    /// Whether the server of this slot stands still within this time, by its own hand.
    pub(crate) async fn stands_still(&self, slot: usize, limit: Duration) -> bool {
        match self.slots[slot].process.lock().await.as_ref() {
            Some(process) => process.stands_still(limit).await,
            None => false,
        }
    }

    /// Stops the server of this slot where it is.
    pub(crate) async fn stop(&self, slot: usize) {
        self.slots[slot].process.lock().await.as_ref().inspect(|process| process.stop());
    }

    /// Lets the server of this slot go on.
    pub(crate) async fn go_on(&self, slot: usize) {
        self.slots[slot].process.lock().await.as_ref().inspect(|process| process.go_on());
    }

    /// Stops the server of this slot for so long.
    pub(crate) async fn stall(&self, slot: usize, time: Duration) {
        let process = self.slots[slot].process.lock().await;
        if let Some(process) = process.as_ref() {
            count(&self.tally.stalls);
            process.stop();
            tokio::time::sleep(time).await;
            process.go_on();
        }
    }

    /// Ends all servers, and looks into their logs.
    pub(crate) async fn end(&self) {
        for slot in &self.slots {
            if let Some(process) = slot.process.lock().await.take() {
                check_log(&process.kill().await, "a server's log", &self.tally);
            }
        }
    }
}

/// Kills the servers that are left when this program ends, however it ends: it reads until its pipe closes.
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
