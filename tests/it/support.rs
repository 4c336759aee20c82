//! One mongod for the whole test program, and a set of services over a database of its own for each test.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use secrecy::SecretString;
use tenantry::clock::{ManualClock, SharedClock};
use tenantry::domain::{Caller, Email, EmailQuery, NewPassword, Org, OrgName, OrgReference, PasswordAttempt};
use tenantry::repo::{Database, Repos, connect, indexes};
use tenantry::service::{
    AccessToken, AuthError, AuthService, MigrationService, OrgError, OrgService, PasswordHasher, TokenService,
};

/// The password of every admin that a test makes.
pub(crate) const PASSWORD: &str = "a fine password";

/// Where the shared mongod listens. A watchdog with a pipe to this process ends it when this process ends, however.
static MONGO_URI: LazyLock<String> = LazyLock::new(|| {
    let mongod = std::env::var_os("MONGOD").expect("MONGOD names a mongod; `make test` sets it");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let data = tempfile::tempdir().expect("a directory").keep();
    let script = r#""$0" --dbpath "$1" --port "$2" --bind_ip 127.0.0.1 --nounixsocket --logpath "$1/log" &
        cat >/dev/null; kill -9 $!; wait; rm -rf "$1""#;
    let watchdog = Command::new("sh")
        .args(["-c", script])
        .arg(mongod)
        .arg(&data)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell");
    std::mem::forget(watchdog);
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
});

/// One server's services over one database.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) repos: Repos,
    pub(crate) orgs: OrgService,
    pub(crate) auth: AuthService,
    pub(crate) migration: MigrationService,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    /// An empty database.
    pub(crate) async fn new() -> Self {
        let world = Self::unprepared().await;
        indexes::ensure(&world.database).await.expect("indexes");
        world
    }

    /// A database without indexes, for a test that fills it as the original would have.
    pub(crate) async fn unprepared() -> Self {
        let name = format!("test_{}", bson::oid::ObjectId::new());
        let uri: SecretString = MONGO_URI.as_str().into();
        let deadline = Instant::now() + Duration::from_secs(30);
        let database = loop {
            let database = connect(&uri, &name).await.expect("a connection string");
            if tenantry::repo::ping(&database).await.is_ok() {
                break database;
            }
            assert!(Instant::now() < deadline, "mongod does not answer");
        };
        let clock = Arc::new(ManualClock::at_present());
        let shared: SharedClock = clock.clone();
        let repos = Repos::new(&database);
        let hasher = PasswordHasher::start(4).expect("threads");
        let secret: SecretString = "a secret of this test alone, 32 bytes and more".into();
        let tokens = TokenService::new(&secret, Duration::from_hours(1), shared.clone());
        let migration = MigrationService::new(repos.clone(), shared.clone());
        let auth =
            AuthService::new(&repos, hasher.clone(), tokens.clone(), std::num::NonZeroU32::new(20).expect("positive"));
        let orgs = OrgService::new(repos.clone(), migration.clone(), hasher, tokens, shared, name, 1_000);
        Self { database, repos, orgs, auth, migration, clock }
    }

    /// Creates an organization whose admin has [`PASSWORD`].
    pub(crate) async fn create(&self, name: &str, email: &str) -> Result<Org, OrgError> {
        let command = tenantry::service::org::CreateOrg {
            name: OrgName::parse(name).expect("a name"),
            email: Email::parse(email).expect("an email"),
            password: NewPassword::parse(PASSWORD),
        };
        self.orgs.create(command).await
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Result<AccessToken, AuthError> {
        let email = EmailQuery::parse(email).expect("an email");
        let here = "127.0.0.1".parse().expect("an address");
        self.auth.log_in(&email, &PasswordAttempt::new(password), here).await.map(|(_, token)| token)
    }

    pub(crate) async fn recognize(&self, token: &AccessToken) -> Result<Caller, AuthError> {
        self.auth.recognize(secrecy::ExposeSecret::expose_secret(&token.token)).await
    }

    pub(crate) async fn collections(&self) -> Vec<String> {
        let mut names = self.database.list_collection_names().await.expect("names");
        names.retain(|name| name.starts_with("org_"));
        names.sort();
        names
    }

    pub(crate) async fn count(&self, collection: &str) -> u64 {
        self.database.collection::<Document>(collection).count_documents(doc! {}).await.expect("a count")
    }
}

pub(crate) fn reference(name: &str) -> OrgReference {
    OrgReference::parse(name).expect("a name")
}
