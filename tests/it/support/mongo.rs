//! The test program's own mongod: a replica set with one member, which ends with the program, however that ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::eventually;

/// Starts mongod, prints its process id, and kills it when the pipe to the test program closes.
const WATCHDOG: &str = r#""$0" $3 --dbpath "$1" --port "$2" --bind_ip 127.0.0.1 --nounixsocket \
    --logpath "$1/log" >/dev/null & echo $!; cat >/dev/null; kill -9 $!; wait"#;

/// Runs first: puts the data on a file system in memory, which is private to mongod and ends with it. What mongod
/// prints when that is full (its stack) is of no use to a reader of the tests.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size="$4" tmpfs "$1" || exit 1; exec 2>/dev/null; "#;

/// For a small disk: little data in memory that is not on disk yet, a journal in pieces of 10 MB instead of 100, and a
/// checkpoint, which frees what was dropped, every 10 s instead of 60.
const SMALL_MONGOD: &str = "--replSet rs0 --oplogSize 16 --wiredTigerCacheSizeGB 0.25 --syncdelay 10 \
    --wiredTigerEngineConfigString log=(file_max=10MB)";

/// The program: $MONGOD, the one on the PATH, or the pinned one, which the script downloads if needed.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tools.py");
    let found = Command::new("python3").args([script, "mongod"]).stderr(Stdio::inherit()).output().expect("python3");
    assert!(found.status.success(), "there is no mongod");
    String::from_utf8(found.stdout).expect("a path").trim().to_owned()
});

/// A mongod that can be killed, restarted, and paused.
pub(crate) struct Mongod {
    port: u16,
    data: TempDir,
    arguments: &'static str,
    /// The size of its disk, in the syntax of tmpfs; the machine's when absent.
    disk: Option<&'static str>,
    watchdog: Option<Child>,
    process: Option<Pid>,
}

/// The one shared by all tests that leave it running.
pub(crate) async fn shared() -> &'static Mongod {
    static SHARED: OnceCell<Mongod> = OnceCell::const_new();
    SHARED.get_or_init(Mongod::started).await
}

impl Mongod {
    /// Not started yet, but with its port chosen.
    pub(crate) fn stopped() -> Self {
        Self::stopped_with("--replSet rs0")
    }

    /// The same, with these arguments.
    pub(crate) fn stopped_with(arguments: &'static str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let data = tempfile::tempdir().expect("a directory");
        Self { port: free.expect("a free port").port(), data, arguments, disk: None, watchdog: None, process: None }
    }

    /// Started, and accepting writes.
    pub(crate) async fn started() -> Self {
        let mut mongod = Self::stopped();
        mongod.start().await;
        mongod
    }

    /// With its data on its own file system of this size. Only works on Linux, as root or where the kernel lets every
    /// user create namespaces; elsewhere the test fails and says so.
    pub(crate) async fn on_small_disk(size: &'static str) -> Self {
        let mut mongod = Self::stopped_with(SMALL_MONGOD);
        mongod.disk = Some(size);
        mongod.start().await;
        mongod
    }

    /// A file on its disk.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let process = self.process.expect("it was started").as_raw_nonzero();
        // Through the process, because its mounts are private.
        let data = self.data.path().strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{process}/root")).join(data).join(name)
    }

    /// Whether its process is running.
    pub(crate) fn is_alive(&self) -> bool {
        // A process that ended and was not waited for is still listed, as a zombie ("Z").
        let process = self.process.expect("it was started").as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{process}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    }

    /// With commands that can be made to fail; see [`Mongod::fail`].
    pub(crate) async fn with_fail_points() -> Self {
        let mut mongod = Self::stopped_with("--replSet rs0 --setParameter enableTestCommands=1");
        mongod.start().await;
        mongod
    }

    /// Makes these commands fail so often, but not the tests' own: `{ "times": n }` or `"alwaysOn"`, with
    /// `{ "errorCode": n }` or `{ "closeConnection": true }`. `"off"` ends it. Returns how many failed before.
    pub(crate) async fn fail(&self, commands: &[&str], mode: impl Into<Bson>, how: Document) -> i64 {
        let mut data = doc! { "failCommands": commands, "appName": "tenantry" };
        data.extend(how);
        let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        let reply = self.client().await.database("admin").run_command(command).await.expect("a fail point");
        reply.get("count").and_then(|count| count.as_i64().or(count.as_i32().map(i64::from))).expect("a count")
    }

    /// A standalone mongod that asks for a password, with users who may each read and write one database. Also returns
    /// the administrator's client.
    pub(crate) async fn with_users(users: &[(&str, &str)]) -> (Self, Client) {
        let mut mongod = Self::stopped_with("--auth");
        mongod.start().await;
        let create = |name: &str, role: &str, database: &str| {
            doc! { "createUser": name, "pwd": "a MongoDB password", "roles": [{ "role": role, "db": database }] }
        };
        // While there are no users, anybody on the machine may create the first.
        let admin = mongod.client().await.database("admin");
        admin.run_command(create("root", "root", "admin")).await.expect("the first user");
        let options = ClientOptions::parse(mongod.uri_of("root")).await.expect("a connection string");
        let root = Client::with_options(options).expect("options");
        for (name, database) in users {
            let user = create(name, "readWrite", database);
            root.database("admin").run_command(user).await.expect("a user");
        }
        (mongod, root)
    }

    /// The connection string for a server, as this user.
    pub(crate) fn uri_of(&self, user: &str) -> String {
        self.uri().replace("mongodb://", &format!("mongodb://{user}:a%20MongoDB%20password@"))
    }

    /// The connection string for a server.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&heartbeatFrequencyMS=500", self.port())
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it with its former data, and waits until it accepts writes.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.lead().await;
    }

    /// Starts it with its former data, and does not wait.
    pub(crate) fn launch(&mut self) {
        let mut shell = Command::new("sh");
        let mut script = WATCHDOG.to_owned();
        if self.disk.is_some() {
            script.insert_str(0, SMALL_DISK);
            shell = Command::new("unshare");
            // Users other than root must first become root of their own namespace.
            shell.arg(if getuid().is_root() { "-m" } else { "-Urm" }).arg("sh");
        }
        let mut watchdog = shell
            .args(["-c", &script])
            .arg(&*PROGRAM)
            .arg(self.data.path())
            .arg(self.port.to_string())
            .arg(self.arguments)
            .arg(self.disk.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell, and Linux' unshare for a small disk");
        let mut said = String::new();
        BufReader::new(watchdog.stdout.take().expect("piped")).read_line(&mut said).expect("a process id");
        assert!(
            !said.is_empty(),
            "cannot start mongod: one on a small disk needs Linux, and the right to mount (root, or user namespaces)"
        );
        self.process = Pid::from_raw(said.trim().parse().expect("a number"));
        self.watchdog = Some(watchdog);
    }

    /// Waits until it accepts writes; if it belongs to a replica set, as its only member.
    async fn lead(&self) {
        let admin = self.client().await.database("admin");
        eventually("mongod takes writes", || async {
            let hello = admin.run_command(doc! { "hello": 1 }).await;
            if hello.as_ref().is_ok_and(|hello| matches!(hello.get_bool("isreplicaset"), Ok(true))) {
                let host = format!("127.0.0.1:{}", self.port);
                let config = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": host }] };
                admin.run_command(doc! { "replSetInitiate": config }).await.ok();
            }
            hello.is_ok_and(|hello| matches!(hello.get_bool("isWritablePrimary"), Ok(true)))
        })
        .await;
    }

    /// Kills it, like a power failure.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            watchdog.wait().expect("the watchdog ends");
        }
    }

    /// Pauses it: it keeps its connections and answers nothing. The signal takes a moment to reach every thread.
    pub(crate) fn hold(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "mongod does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether the kernel reports each of its threads as stopped (Linux); elsewhere there is no way to tell.
    fn stands_still(&self) -> bool {
        let process = self.process.expect("it was started").as_raw_nonzero();
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before the state, in parentheses, may contain anything. A thread that has ended reports nothing.
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('T'))
        })
    }

    /// The processor time it has used, according to the kernel (Linux); elsewhere, the time elapsed.
    pub(crate) fn used(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        let process = self.process.expect("it was started").as_raw_nonzero();
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return BEGINNING.elapsed() };
        let used = threads.flatten().map(|thread| {
            let used = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            // A thread that has ended reports nothing.
            used.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(used.sum())
    }

    /// Resumes it.
    pub(crate) fn release(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process.expect("it was started"), signal).expect("it runs");
    }

    /// The test's own client.
    pub(crate) async fn client(&self) -> Client {
        let mut options = ClientOptions::parse(self.uri()).await.expect("a connection string");
        options.server_selection_timeout = Some(Duration::from_secs(1));
        Client::with_options(options).expect("options")
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Every document of every collection.
pub(crate) async fn everything(database: &Database) -> BTreeMap<String, Vec<Document>> {
    let mut all = BTreeMap::new();
    for name in database.list_collection_names().await.expect("names") {
        let mut cursor = database.collection::<Document>(&name).find(doc! {}).await.expect("found");
        let mut documents = Vec::new();
        while cursor.advance().await.expect("more") {
            documents.push(cursor.deserialize_current().expect("readable"));
        }
        all.insert(name, documents);
    }
    all
}
