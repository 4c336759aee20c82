//! A mongod of the test program's own: a replica set of one member, which ends when the program ends, however.

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

/// Starts mongod, says its process id, and kills it when the pipe to the test program closes.
const WATCHDOG: &str = r#""$0" $3 --dbpath "$1" --port "$2" --bind_ip 127.0.0.1 --nounixsocket \
    --logpath "$1/log" >/dev/null & echo $!; cat >/dev/null; kill -9 $!; wait"#;

/// Goes before it: puts the data on a file system of its own, in memory, which nobody else sees and which goes with mongod.
/// What mongod has to say when that is full (its stack) is nothing for the reader of the tests.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size="$4" tmpfs "$1" || exit 1; exec 2>/dev/null; "#;

/// For a small disk: little in memory that is not on the disk yet, a journal in pieces of 10 MB instead of 100, and a
/// checkpoint, which frees what was dropped, every 10 s instead of 60.
const SMALL_MONGOD: &str = "--replSet rs0 --oplogSize 16 --wiredTigerCacheSizeGB 0.25 --syncdelay 10 \
    --wiredTigerEngineConfigString log=(file_max=10MB)";

/// The program: $MONGOD, the one on the PATH, or the pinned one, which the script fetches if need be.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tools.py");
    let found = Command::new("python3").args([script, "mongod"]).stderr(Stdio::inherit()).output().expect("python3");
    assert!(found.status.success(), "there is no mongod");
    String::from_utf8(found.stdout).expect("a path").trim().to_owned()
});

/// A mongod that can be killed, started again, and held.
pub(crate) struct Mongod {
    port: u16,
    data: TempDir,
    arguments: &'static str,
    /// The size of its disk, as tmpfs reads it; that of the machine when absent.
    disk: Option<&'static str>,
    watchdog: Option<Child>,
    process: Option<Pid>,
}

/// The one that all tests share which leave it running.
pub(crate) async fn shared() -> &'static Mongod {
    static SHARED: OnceCell<Mongod> = OnceCell::const_new();
    SHARED.get_or_init(Mongod::started).await
}

impl Mongod {
    /// One that does not run yet, but knows where it will.
    pub(crate) fn stopped() -> Self {
        Self::stopped_with("--replSet rs0")
    }

    /// The same with these arguments.
    pub(crate) fn stopped_with(arguments: &'static str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let data = tempfile::tempdir().expect("a directory");
        Self { port: free.expect("a free port").port(), data, arguments, disk: None, watchdog: None, process: None }
    }

    /// One that takes writes.
    pub(crate) async fn started() -> Self {
        let mut mongod = Self::stopped();
        mongod.start().await;
        mongod
    }

    /// One whose data is on a file system of its own, of this size. Only Linux has such, for root or where the kernel lets
    /// everybody have namespaces; elsewhere the test fails, and says so.
    pub(crate) async fn on_small_disk(size: &'static str) -> Self {
        let mut mongod = Self::stopped_with(SMALL_MONGOD);
        mongod.disk = Some(size);
        mongod.start().await;
        mongod
    }

    /// A file on its disk.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let process = self.process.expect("it was started").as_raw_nonzero();
        // Through the process, because nobody else sees what it has mounted.
        let data = self.data.path().strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{process}/root")).join(data).join(name)
    }

    /// Whether its process runs.
    pub(crate) fn is_alive(&self) -> bool {
        // One that ended and was not waited for is still listed, as a zombie ("Z").
        let process = self.process.expect("it was started").as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{process}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    }

    /// One whose commands can be made to fail; see [`Mongod::fail`].
    pub(crate) async fn with_fail_points() -> Self {
        let mut mongod = Self::stopped_with("--replSet rs0 --setParameter enableTestCommands=1");
        mongod.start().await;
        mongod
    }

    /// Makes these commands of the servers (not of the tests) fail so often: `{ "times": n }` or `"alwaysOn"`, with
    /// `{ "errorCode": n }` or `{ "closeConnection": true }`. `"off"` ends it. Gives how many commands failed before.
    pub(crate) async fn fail(&self, commands: &[&str], mode: impl Into<Bson>, how: Document) -> i64 {
        let mut data = doc! { "failCommands": commands, "appName": "tenantry" };
        data.extend(how);
        let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        let reply = self.client().await.database("admin").run_command(command).await.expect("a fail point");
        reply.get("count").and_then(|count| count.as_i64().or(count.as_i32().map(i64::from))).expect("a count")
    }

    /// A standalone one that asks for a password, with users who may read and write one database each; gives the
    /// administrator's client.
    pub(crate) async fn with_users(users: &[(&str, &str)]) -> (Self, Client) {
        let mut mongod = Self::stopped_with("--auth");
        mongod.start().await;
        let create = |name: &str, role: &str, database: &str| {
            doc! { "createUser": name, "pwd": "a MongoDB password", "roles": [{ "role": role, "db": database }] }
        };
        // Without any user, somebody on the same machine may make the first one.
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

    /// Where a server finds it, as this user.
    pub(crate) fn uri_of(&self, user: &str) -> String {
        self.uri().replace("mongodb://", &format!("mongodb://{user}:a%20MongoDB%20password@"))
    }

    /// Where a server finds it.
    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&heartbeatFrequencyMS=500", self.port())
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, with the data that it had, and waits until it takes writes.
    pub(crate) async fn start(&mut self) {
        self.launch();
        self.lead().await;
    }

    /// Starts it, with the data that it had, and waits for nothing.
    pub(crate) fn launch(&mut self) {
        let mut shell = Command::new("sh");
        let mut script = WATCHDOG.to_owned();
        if self.disk.is_some() {
            script.insert_str(0, SMALL_DISK);
            shell = Command::new("unshare");
            // Others than root must be root of a namespace of their own first.
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

    /// Waits until it takes writes, as the only member of its replica set if it is of one.
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

    /// Kills it, as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            watchdog.wait().expect("the watchdog ends");
        }
    }

    /// Holds it: it keeps its connections and answers nothing. A signal takes a moment to reach every thread.
    pub(crate) fn hold(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.stands_still() {
            assert!(Instant::now() < deadline, "mongod does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether each of its threads is stopped, as the kernel says (Linux); elsewhere nobody can tell.
    fn stands_still(&self) -> bool {
        let process = self.process.expect("it was started").as_raw_nonzero();
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before the state, in parentheses, may hold anything. One that has ended says nothing.
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('T'))
        })
    }

    /// How much of the processors it has used, as the kernel says (Linux); elsewhere how much time has gone by.
    pub(crate) fn used(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        let process = self.process.expect("it was started").as_raw_nonzero();
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return BEGINNING.elapsed() };
        let used = threads.flatten().map(|thread| {
            let used = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            // One that has ended says nothing.
            used.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
        });
        Duration::from_nanos(used.sum())
    }

    /// Lets it go on.
    pub(crate) fn release(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process.expect("it was started"), signal).expect("it runs");
    }

    /// A client of the test's own.
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
