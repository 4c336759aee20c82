//! Starts the server and stops it: settings, MongoDB, then requests until a signal comes.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tenantry::clock::{SharedClock, SystemClock};
use tenantry::config::Config;
use tenantry::http::{RequestLimits, Services, router};
use tenantry::repo::{Repos, connect, connect::check_supported, indexes, takeover};
use tenantry::service::{AuthService, MigrationService, OrgService, PasswordHasher, TokenService};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// How often abandoned changes are looked for.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);
/// How long requests may go on after a signal.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    // Before the runtime starts threads: it sets variables of this process.
    let _no_file = dotenvy::dotenv();
    #[expect(clippy::disallowed_methods, reason = "the environment is read once, here")]
    let config = match Config::read(|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("tenantry cannot start:\n{}", errors.join("\n"));
            return ExitCode::from(2);
        }
    };
    start_log(config.is_log_json);
    let served =
        tokio::runtime::Runtime::new().context("no runtime").and_then(|runtime| runtime.block_on(serve(config)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry stopped: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Log lines to stderr, as much as `RUST_LOG` asks for (`info` without it).
fn start_log(is_json: bool) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if is_json { log.json().init() } else { log.init() }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let database = connect(&config.mongo_uri, &config.master_db_name).await?;
    check_supported(&database).await?;
    let done = takeover::take_over(&database).await?;
    info!(organizations = done.organizations, admins = done.admins, "filled in what the original did not keep");
    indexes::ensure(&database).await?;

    let clock: SharedClock = Arc::new(SystemClock);
    let repos = Repos::new(&database);
    let hasher = PasswordHasher::start(config.salt_rounds)?;
    let tokens = TokenService::new(&config.jwt_secret, config.token_lifetime, clock.clone());
    let migration = MigrationService::new(repos.clone(), clock.clone());
    let services = Services {
        auth: AuthService::new(&repos, hasher.clone(), tokens.clone(), config.login_attempts_per_minute),
        orgs: OrgService::new(
            repos,
            migration.clone(),
            hasher,
            tokens,
            clock,
            config.master_db_name,
            config.max_organizations,
        ),
        database,
    };
    let reconciler = tokio::spawn(reconcile(migration));
    let limits = RequestLimits { timeout: config.request_timeout, max_body_bytes: config.max_body_bytes };
    let handle = axum_server::Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    info!(address = %config.listen, "listening");
    let service = router(services, limits).into_make_service_with_connect_info::<SocketAddr>();
    axum_server::bind(config.listen)
        .handle(handle)
        .first_request_timeout(Duration::from_secs(10))
        .serve(service)
        .await?;
    reconciler.abort();
    Ok(())
}

async fn reconcile(migration: MigrationService) {
    loop {
        if let Err(error) = migration.resume_abandoned().await {
            warn!(%error, "cannot look for abandoned changes");
        }
        tokio::time::sleep(RECONCILE_EVERY).await;
    }
}

async fn stop_on_signal(handle: axum_server::Handle<SocketAddr>) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    info!("stopping");
    handle.graceful_shutdown(Some(SHUTDOWN_LIMIT));
}
