//! A mongod with organizations in it, and a fresh server for each row, so that no row is affected by the one before.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::{Client, Collection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::{get, request};
use crate::orders::Tenant;
use crate::support::mongo::Mongod;
use crate::support::server::{PASSWORD, SECRET};
use crate::wire::Wire;

/// The database of all servers here.
pub(crate) const DATABASE: &str = "master_db";
/// The document that the victim reads.
pub(crate) const VICTIMS_DOCUMENT: &str = "mine";
/// The name of the victim's organization.
pub(crate) const VICTIM: &str = "victim";
/// How long a server may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Extra settings of a server.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

/// An attackers' organization, by the contents of its collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stock {
    Empty,
    AlsoEmpty,
    /// Strings of up to a megabyte that are hard on regular expressions.
    Strings,
    /// Documents of a megabyte, more than fit a page.
    Pages,
    AlsoPages,
    /// Very many small documents.
    Many,
}

impl Stock {
    fn name(self) -> &'static str {
        match self {
            Self::Empty => "mallory",
            Self::AlsoEmpty => "trudy",
            Self::Strings => "strings",
            Self::Pages => "pages",
            Self::AlsoPages => "more pages",
            Self::Many => "many",
        }
    }

    /// Inserts its documents directly into MongoDB.
    async fn fill(self, collection: &Collection<Document>) {
        match self {
            Self::Empty | Self::AlsoEmpty => {}
            Self::Strings => insert(collection, hard_strings().map(|text| doc! { "t": text })).await,
            Self::Pages | Self::AlsoPages => {
                // Incompressible, so that gzip works hard.
                let page = |n: u32| doc! { "_id": n, "t": noise(n.into(), 1_000_000) };
                insert(collection, (1..=16).map(page)).await;
            }
            Self::Many => insert(collection, (0..100_000).map(|n| doc! { "_id": n, "n": n, "t": "small" })).await,
        }
    }
}

/// The worst case for a quadratic search, an email pattern, and a list of words.
fn hard_strings() -> impl Iterator<Item = String> {
    let of_length = |text: &str, bytes: usize| text.repeat(bytes / text.len());
    let dots = format!("a@{}", of_length(".ab", 990_000));
    let words = of_length("alph bet gamm delt epsilo ", 990_000);
    [of_length("a", 250_000), of_length("a", 990_000), dots, words].into_iter()
}

/// Incompressible text of characters that JSON does not escape; different for each seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed;
    let letters = std::iter::repeat_with(|| {
        // Knuth's linear congruential generator; its upper bits are good enough.
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        char::from(b'0' + u8::try_from(state >> 58).expect("6 bits"))
    });
    letters.filter(|letter| *letter != '\\').take(bytes).collect()
}

async fn insert(collection: &Collection<Document>, documents: impl Iterator<Item = Document>) {
    let documents: Vec<Document> = documents.collect();
    for some in documents.chunks(10_000) {
        collection.insert_many(some).await.expect("inserted");
    }
}

/// A mongod with organizations.
pub(crate) struct Stage {
    mongod: Mongod,
    pub(crate) client: Client,
    /// bcrypt's cost.
    cost: String,
    tenants: HashMap<&'static str, Tenant>,
}

impl Stage {
    /// Creates the victim and an organization for each stock.
    pub(crate) async fn set(mongod: Mongod, cost: &str, stocks: &[Stock]) -> Self {
        let client = mongod.client().await;
        let mut stage = Self { mongod, client, cost: cost.to_owned(), tenants: HashMap::new() };
        let server = stage.serve(&[], None).await;
        let victim = server.make_tenant(VICTIM).await;
        stage.collection(&victim).insert_one(doc! { "_id": VICTIMS_DOCUMENT, "name": "Ada" }).await.expect("inserted");
        stage.tenants.insert(VICTIM, victim);
        for stock in stocks {
            if !stage.tenants.contains_key(stock.name()) {
                let tenant = server.make_tenant(stock.name()).await;
                stock.fill(&stage.collection(&tenant)).await;
                stage.tenants.insert(stock.name(), tenant);
            }
        }
        stage
    }

    fn collection(&self, tenant: &Tenant) -> Collection<Document> {
        self.client.database(DATABASE).collection(&tenant.collection)
    }

    pub(crate) fn victim(&self) -> Tenant {
        self.tenants[VICTIM].clone()
    }

    pub(crate) fn tenants(&self, stocks: &[Stock]) -> Vec<Tenant> {
        stocks.iter().map(|stock| self.tenants[stock.name()].clone()).collect()
    }

    /// Starts a server with these settings and this limit of open files.
    pub(crate) async fn serve(&self, settings: Settings, open_files: Option<u32>) -> Server {
        let mut command = Command::new("sh");
        let limit = open_files.map(|files| format!("ulimit -n {files}; ")).unwrap_or_default();
        command.args(["-c", &format!("{limit}exec \"$0\" serve"), env!("CARGO_BIN_EXE_tenantry")]).env_clear();
        command.envs([("MONGO_URI", self.mongod.uri().as_str()), ("MASTER_DB_NAME", DATABASE), ("JWT_SECRET", SECRET)]);
        command.envs([
            ("PORT", "0"),
            ("SALT_ROUNDS", &self.cost),
            ("RUST_LOG", "warn,tenantry=info,tenantry::http=error"),
        ]);
        // The victim logs in more often than a person would.
        command.env("LOGIN_ATTEMPTS_PER_MINUTE", "1000").envs(settings.iter().copied());
        Server::start(command).await
    }

    /// Restarts MongoDB to end running operations: nothing else interrupts a regular expression.
    pub(crate) async fn clear(&mut self) {
        self.mongod.kill();
        self.mongod.start().await;
        self.client = self.mongod.client().await;
    }
}

/// A server's process; killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

impl Server {
    async fn start(mut command: Command) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let log = std::fs::File::create(directory.path().join("log")).expect("a file");
        let process =
            command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { process: process.expect("it runs"), address: unknown, directory };
        let deadline = Instant::now() + START_LIMIT;
        while !server.is_ready().await {
            assert!(Instant::now() < deadline, "the server does not become ready: {}", server.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// Whether it is ready, once its log has its address.
    async fn is_ready(&mut self) -> bool {
        let log = self.log();
        // The line may not be complete yet.
        let line = log.split_once("address=").and_then(|(_, rest)| rest.split_once([' ', '\n']));
        let Some((address, _)) = line else { return false };
        self.address = address.parse().expect("an address");
        let Ok(mut wire) = Wire::open(Ipv4Addr::LOCALHOST, self.address).await else { return false };
        wire.ask(&get("/health/ready", None)).await.is(200)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("its log")
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Creates an organization and logs its admin in.
    async fn make_tenant(&self, name: &str) -> Tenant {
        let email = format!("admin@{}.example", name.replace(' ', "-"));
        let body = json!({ "organization_name": name, "email": email, "password": PASSWORD });
        let created = self.call("/org/create", &body).await;
        let collection = created["organization"]["collection_name"].as_str().expect("a name").to_owned();
        let login = self.call("/admin/login", &json!({ "email": email, "password": PASSWORD })).await;
        let token = login["access_token"].as_str().expect("a token").to_owned();
        Tenant { name: name.replace(' ', "%20"), email, token, collection }
    }

    /// A call that must succeed.
    async fn call(&self, path: &str, body: &Value) -> Value {
        let mut connection = crate::load::Connection::open(self.address).await;
        let answer = connection.ask(&request("POST", path, None, Some(&body.to_string()))).await;
        serde_json::from_slice(&answer).expect("JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if the process is already gone.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
