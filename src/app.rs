//! The only wiring: opens MongoDB, creates repositories and services, serves, and stops.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::SharedClock;
use crate::config::Config;
use crate::files::{Files, note_accept_error};
use crate::http::{Gate, HttpState, RequestLimits, Services, router};
use crate::repo::connect::{ConnectError, check_supported};
use crate::repo::original::{self, TakeoverError};
use crate::repo::{Databases, RepoError, Repos, master_indexes};
use crate::service::attempts::Rates;
use crate::service::data::{Admission, CursorSealer};
use crate::service::doctor::Report;
use crate::service::idempotency::AnswerSealer;
use crate::service::{
    Attempts, AuthService, Chore, DataService, DoctorService, IdempotencyService, MigrationService, OrgRules,
    OrgService, PasswordHasher, Storage, TokenService,
};

/// How long the doctor waits for MongoDB's first answers.
const REACH_LIMIT: Duration = Duration::from_secs(30);
/// The pause between two attempts to reach MongoDB at start.
const REACH_EVERY: Duration = Duration::from_secs(1);
/// How often samples of the metrics are moved into their buckets; they pile up until then.
const TIDY_METRICS_EVERY: Duration = Duration::from_secs(5);
/// How many new connections may wait to be accepted: Linux's default maximum (tcp(7), `somaxconn`). The standard
/// library asks for 128; beyond that, a client gets no answer and retries after a second.
const BACKLOG: i32 = 4_096;
/// How long a connection may take to send a request's head, and how long it may stay idle.
const HEADER_READ_LIMIT: Duration = Duration::from_secs(30);
/// How long a new connection may take to send its first request's head.
const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How large the head of a request may be, and how much is read from or written to a connection at once. Several times
/// the size of a filter with a hundred ids.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long requests may continue after the signal to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// MongoDB could not be queried.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// This MongoDB is unsupported.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database's records contradict each other.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// A foreign index conflicts with one of ours.
    #[error("{0}; remove it, and the server makes it anew: db.{1}.dropIndex(\"{2}\")")]
    IndexConflict(RepoError, &'static str, &'static str),
}

impl OpenError {
    /// Whether a retry can succeed without anybody changing this server's settings or data.
    fn is_temporary(&self) -> bool {
        let (Self::Repo(cause) | Self::Connect(ConnectError::Repo(cause)) | Self::Takeover(TakeoverError::Repo(cause))) =
            self
        else {
            return false;
        };
        cause.is_temporary()
    }
}

/// What a server would do to a database when it starts.
#[derive(Debug)]
pub struct Survey {
    /// How many organizations and admins the original left incomplete.
    pub incomplete: (usize, usize),
    /// The missing indexes, as `collection.name`.
    pub missing_indexes: Vec<String>,
}

/// Connects to MongoDB and finds out what a server would do when it starts; changes nothing.
pub async fn survey(config: &Config) -> Result<Survey, OpenError> {
    let Databases { master, .. } = reach(config, &Files::of(config)).await?;
    let incomplete = original::plan(&master).await?.counts();
    Ok(Survey { incomplete, missing_indexes: master_indexes::missing(&master).await? })
}

/// Connects to MongoDB and finds out what is wrong with the database. Repairs what it safely can if told to, and
/// otherwise changes nothing. Servers may run on the same database meanwhile.
pub async fn doctor(config: &Config, clock: SharedClock, is_fixing: bool) -> Result<Report, OpenError> {
    let slow = |_elapsed| RepoError::unasked("no answer in time");
    let databases = timeout(REACH_LIMIT, reach(config, &Files::of(config))).await.map_err(slow)??;
    let repos = Repos::new(&databases, config.timings);
    let migration = MigrationService::new(repos.clone(), clock, config.request_timeout);
    let doctor = DoctorService::new(repos, migration);
    Ok(if is_fixing { doctor.treat().await? } else { doctor.examine().await? })
}

/// Connects to MongoDB and checks that it is supported; changes nothing.
async fn reach(config: &Config, files: &Files) -> Result<Databases, OpenError> {
    let Files { master, tenants, .. } = *files;
    let databases = Databases::connect(&config.mongo_uri, &config.master_db_name, master, tenants).await?;
    check_supported(&databases.master).await?;
    Ok(databases)
}

/// Connects to MongoDB and prepares the database for the services: fills in what the original did not store, and
/// creates the unique indexes.
async fn open(config: &Config, files: &Files) -> Result<Databases, OpenError> {
    let databases = reach(config, files).await?;
    let (organizations, admins) = original::take_over(&databases.master).await?;
    if organizations + admins > 0 {
        info!(organizations, admins, "took over what the original wrote");
    }
    master_indexes::ensure(&databases.master).await.map_err(|error| match error {
        RepoError::IndexConflict { collection, index } => OpenError::IndexConflict(error, collection, index),
        other => other.into(),
    })?;
    Ok(databases)
}

/// Encrypt what the server leaves with clients (cursors) and in the database (answers).
#[derive(Debug)]
struct Sealers {
    cursors: CursorSealer,
    answers: AnswerSealer,
}

/// A server that is bound to its port and ready to run.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: SharedClock,
    listener: TcpListener,
    hasher: PasswordHasher,
    sealers: Sealers,
    state: HttpState,
    files: Files,
    stop: CancellationToken,
    /// The tasks that run beside the requests.
    background: TaskTracker,
}

impl App {
    /// Binds the port. Does not contact MongoDB yet.
    pub fn bind(config: Config, clock: SharedClock, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .map_err(|error| anyhow::anyhow!("cannot listen on {} (HOST, PORT): {error}", config.listen))?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let hasher = PasswordHasher::start(config.salt_rounds)?;
        let sealers = Sealers {
            cursors: CursorSealer::new(&config.jwt_secret)?,
            answers: AnswerSealer::new(&config.jwt_secret)?,
        };
        let files = Files::of(&config);
        let limits = RequestLimits {
            timeout: config.request_timeout,
            max_body_bytes: config.max_body_bytes,
            max_document_bytes: config.max_document_bytes,
            max_import_bytes: config.max_import_bytes,
            max_running_streams: files.fitting(config.max_running_streams),
            max_bytes_in_flight: config.max_bytes_in_flight,
            min_stream_rate: config.min_stream_rate,
            max_stream_time: config.max_stream_time,
            max_running: config.max_running_requests,
            trusted_proxies: config.trusted_proxies.clone().into(),
        };
        let (stop, background) = (CancellationToken::new(), TaskTracker::new());
        let state = HttpState::new(limits, metrics, stop.clone());
        Ok(Self { config, clock, listener, hasher, sealers, state, files, stop, background })
    }

    /// The address that it listens on.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Stops the server when cancelled.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Serves until told to stop, then finishes running work within a time limit. Listens at once, and answers 503
    /// until MongoDB is available.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self { config, clock, listener, hasher, sealers, state, files, stop, background } = self;
        let handle = axum_server::Handle::<SocketAddr>::new();
        let service = router(state.clone(), &config.cors_allowed_origins)?;
        let gate = Gate::new(files.clients, config.trusted_proxies.clone().into());
        let mut server = axum_server::from_tcp(listener)?
            .acceptor(gate)
            .accept_error_handler(|_peer, error| note_accept_error(error))
            .handle(handle.clone())
            .first_request_timeout(FIRST_REQUEST_LIMIT)
            // Proxies speak HTTP/1.1 to the servers behind them; HTTP/2 would need its own limits.
            .http1_only();
        server.http_builder().http1().header_read_timeout(HEADER_READ_LIMIT).max_buf_size(MAX_HEAD_BYTES);

        background.spawn(stop_listening(handle, stop.clone()));
        background.spawn(tidy_metrics(state.metrics.clone(), stop.clone()));
        let work = background.spawn({
            let (stop, state) = (stop.clone(), state.clone());
            async move {
                // Stops the server when the database cannot be used, and when this task panics.
                let _ends_the_server = stop.clone().drop_guard();
                let Some(databases) = open_when_there(&config, &files, &stop).await? else { return Ok(()) };
                let (services, chores) = wire(databases, &config, &files, clock, hasher, sealers);
                // Before the first write that needs storage; its chore looks again.
                if let Err(error) = services.storage.look().await {
                    warn!(%error, "cannot look for room on MongoDB's disk");
                }
                let _first = state.services.set(services);
                info!("ready");
                join_all(chores.into_iter().map(|chore| chore.run(&stop))).await;
                Ok::<(), OpenError>(())
            }
        });
        let listened = server.serve(service.into_make_service_with_connect_info::<SocketAddr>()).await;

        state.tasks.close();
        background.close();
        // Requests whose clients hung up, and changes being resumed.
        let rest = async { tokio::join!(state.tasks.wait(), background.wait()) };
        if timeout(SHUTDOWN_LIMIT, rest).await.is_err() {
            warn!("stopped before all work was finished; the next start finishes it");
        }
        if work.is_finished() {
            work.await??;
        }
        Ok(listened?)
    }
}

/// Waits for the signal to stop, then accepts no more connections and lets open ones finish.
async fn stop_listening(handle: axum_server::Handle<SocketAddr>, stop: CancellationToken) {
    stop.cancelled().await;
    info!("stopping");
    handle.graceful_shutdown(Some(SHUTDOWN_LIMIT));
}

/// Regularly moves samples of the metrics into their buckets, and measures what is not counted as it happens.
async fn tidy_metrics(metrics: PrometheusHandle, stop: CancellationToken) {
    let tasks = gauge!("tokio_alive_tasks");
    while stop.run_until_cancelled(sleep(TIDY_METRICS_EVERY)).await.is_some() {
        metrics.run_upkeep();
        tasks.set(u32::try_from(Handle::current().metrics().num_alive_tasks()).unwrap_or(u32::MAX));
    }
}

/// Opens the database as soon as MongoDB is available; `None` if the server stops first.
async fn open_when_there(
    config: &Config,
    files: &Files,
    stop: &CancellationToken,
) -> Result<Option<Databases>, OpenError> {
    loop {
        match open(config, files).await {
            Ok(database) => return Ok(Some(database)),
            Err(error) if error.is_temporary() => warn!(%error, "cannot use the database yet; trying again"),
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = sleep(REACH_EVERY) => {}
        }
    }
}

/// Creates the services and their background chores.
fn wire(
    databases: Databases,
    config: &Config,
    files: &Files,
    clock: SharedClock,
    hasher: PasswordHasher,
    sealers: Sealers,
) -> (Services, Vec<Chore>) {
    let repos = Repos::new(&databases, config.timings);
    let tokens = TokenService::new(&config.jwt_secret, config.token_lifetime, clock.clone());
    let migration = MigrationService::new(repos.clone(), clock.clone(), config.request_timeout);
    let rates = Rates {
        logins: config.login_attempts_per_minute,
        creations: config.creations_per_minute,
        unknown_names: config.unknown_names_per_minute,
    };
    let attempts = Arc::new(Attempts::new(rates, clock.clone()));
    let auth = AuthService::new(&repos, hasher.clone(), tokens.clone(), attempts);
    let Sealers { cursors, answers } = sealers;
    let storage = Storage::new(repos.storage.clone(), config.min_free_storage_percent);
    let max_queries = files.fitting(config.max_running_queries);
    let admission = Admission::new(storage.clone(), config.quotas, clock.clone());
    let data = DataService::new(&repos, cursors, admission, max_queries);
    let idempotency = IdempotencyService::new(&repos, answers);
    let rules = OrgRules {
        storage: storage.clone(),
        max_organizations: config.max_organizations,
        delete_grace_days: config.delete_grace_days,
        registration: config.registration.clone(),
    };
    let orgs = OrgService::new(repos, migration.clone(), auth.clone(), hasher, tokens, clock, rules);
    let chores = migration.chores().into_iter().chain([orgs.chore(), storage.chore()]).collect();
    let services = Services {
        auth: auth.into(),
        orgs: orgs.into(),
        data: data.into(),
        idempotency: idempotency.into(),
        database: databases.master.into(),
        storage: storage.into(),
    };
    (services, chores)
}
