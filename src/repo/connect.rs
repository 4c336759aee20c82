//! Opens MongoDB with the options this server needs, and checks whether the deployment is supported.

use std::time::Duration;

use bson::doc;
use metrics::{counter, gauge};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::options::{ClientOptions, ConnectionString, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Database};
use secrecy::{ExposeSecret, SecretString};

use super::command::run;
use super::error::RepoError;
use super::tenants::TenantRepo;
use crate::chaos;

/// The oldest MongoDB that supports `collectionUUID` in commands.
const OLDEST_MAJOR_VERSION: i32 = 6;

/// Why MongoDB cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It cannot be reached, at least not yet: worth another try.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// It can be reached, but we cannot run safely on it.
    #[error("{0}")]
    Unsupported(String),
}

/// Whether the driver can read a connection string. Contacts no server.
pub fn is_connection_string(uri: &str) -> bool {
    ConnectionString::parse(uri).is_ok()
}

/// The database, over two separate connection pools: tenants' work on their data cannot use up the connections needed
/// to authenticate callers, log them in and check that MongoDB answers.
#[derive(Debug, Clone)]
pub struct Databases {
    /// For master data and catalog changes, which everyone needs.
    pub master: Database,
    /// For tenants' data.
    pub tenants: Database,
}

impl Databases {
    /// Opens both, each with at most this many connections. Contacts no server yet, except to resolve `mongodb+srv`.
    pub async fn connect(uri: &SecretString, name: &str, master: u32, tenants: u32) -> Result<Self, RepoError> {
        Ok(Self { master: connect(uri, name, master).await?, tenants: connect(uri, name, tenants).await? })
    }

    /// Uses the same connections for both, where nothing competes for them.
    pub fn both(database: &Database) -> Self {
        Self { master: database.clone(), tenants: database.clone() }
    }
}

/// Opens the database with at most this many connections, unless the connection string sets the limit.
async fn connect(uri: &SecretString, database: &str, connections: u32) -> Result<Database, RepoError> {
    let mut options = ClientOptions::parse(uri.expose_secret()).await?;
    options.app_name.get_or_insert_with(|| "tenantry".to_owned());
    // The driver's 30 s exceed a request's limit. A step-down (about 1 s) goes unnoticed within 5 s.
    options.server_selection_timeout.get_or_insert(Duration::from_secs(5));
    options.connect_timeout.get_or_insert(Duration::from_secs(3));
    // The defaults are 10, 0 and 2, which make a burst of requests wait for connections.
    let most = *options.max_pool_size.get_or_insert(connections);
    options.min_pool_size.get_or_insert(5.min(most));
    options.max_connecting.get_or_insert(10);
    options.max_idle_time.get_or_insert(Duration::from_mins(10));
    // Not overridable. A secondary can lag: a token would stay valid after a password change.
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    // Anything weaker loses acknowledged changes when MongoDB is killed.
    options.write_concern = Some(
        WriteConcern::builder()
            .w(mongodb::options::Acknowledgment::Majority)
            .journal(true)
            .w_timeout(Duration::from_secs(5))
            .build(),
    );
    if chaos::is_on("CHAOS_W1") {
        options.write_concern = Some(WriteConcern::nodes(1));
    }
    #[cfg(feature = "chaos")]
    {
        options.command_event_handler = Some(EventHandler::callback(|event| chaos::watch(&event)));
    }
    options.cmap_event_handler = Some(EventHandler::callback(record_pool_event));
    Ok(Client::with_options(options)?.database(database))
}

/// Checks that this MongoDB is new enough and fences commands by collection UUID.
pub async fn check_supported(database: &Database) -> Result<(), ConnectError> {
    let info = run(database, doc! { "buildInfo": 1 }).await?;
    let version = info.get_str("version").unwrap_or("unknown").to_owned();
    let major = version.split('.').next().and_then(|major| major.parse::<i32>().ok()).unwrap_or_default();
    if major < OLDEST_MAJOR_VERSION {
        return Err(ConnectError::Unsupported(format!(
            "MongoDB {OLDEST_MAJOR_VERSION}.0 or later is required; the server at MONGO_URI is {version}"
        )));
    }
    if !TenantRepo::new(database).honours_collection_uuid().await? {
        return Err(ConnectError::Unsupported(format!(
            "the server at MONGO_URI ({version}) ignores collectionUUID, without which a rename could lose writes; \
             use MongoDB {OLDEST_MAJOR_VERSION}.0 or later, without strict Stable API"
        )));
    }
    Ok(())
}

/// Whether MongoDB answers now.
pub async fn ping(database: &Database) -> Result<(), RepoError> {
    run(database, doc! { "ping": 1, "maxTimeMS": 1_000 }).await.map(drop).map_err(RepoError::of_read)
}

/// Counts the pool's connections for `/metrics`.
#[expect(clippy::needless_pass_by_value, reason = "the driver hands events over by value")]
fn record_pool_event(event: CmapEvent) {
    const OPEN: &str = "mongodb_pool_connections";
    const IN_USE: &str = "mongodb_pool_connections_in_use";
    match event {
        CmapEvent::ConnectionCreated(_) => gauge!(OPEN).increment(1),
        CmapEvent::ConnectionClosed(_) => gauge!(OPEN).decrement(1),
        CmapEvent::ConnectionCheckedOut(_) => gauge!(IN_USE).increment(1),
        CmapEvent::ConnectionCheckedIn(_) => gauge!(IN_USE).decrement(1),
        CmapEvent::ConnectionCheckoutFailed(_) => counter!("mongodb_pool_checkout_failures_total").increment(1),
        // Started and ready report the same connections again; the rest concerns the whole pool.
        _ => {}
    }
}
