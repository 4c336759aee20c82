//! The command line: reads the settings and runs a command.

use std::cell::RefCell;
use std::env::VarError;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tenantry::app::{self, App, Survey};
use tenantry::clock::SystemClock;
use tenantry::config::Config;
use tenantry::{env_file, healthcheck, http, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long `tenantry check` waits for MongoDB.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// How long `tenantry doctor` may take: it reads everything, and waits for locked collections.
const DOCTOR_LIMIT: Duration = Duration::from_mins(10);
/// The exit code for missing or broken settings, the same as clap's for a broken command line.
const EXIT_USAGE: u8 = 2;

/// A self-hosted backend for multi-tenant organizations on MongoDB.
#[derive(Debug, Parser)]
#[command(version, about, after_help = "Settings come from the environment and a .env file; .env.example lists them.")]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve,
    /// Check the settings and the database without changing anything; exit code 0 when a server could start
    Check,
    /// Find damage in the database, even while servers use it; exit code 0 when there is none, 1 when there is, 2 when the
    /// database could not be examined
    Doctor {
        /// Repair what is safe to repair, and report the rest
        #[arg(long)]
        fix: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the OpenAPI document; needs neither settings nor a database
    Openapi,
    /// Ask the server on this machine whether it is ready (for a container's health check)
    Healthcheck,
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command.unwrap_or(Command::Serve);
    if matches!(command, Command::Openapi) {
        return exit_code(print_openapi());
    }
    let config = match read_config() {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("tenantry cannot start:\n  {}", errors.join("\n  "));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Command::Doctor { fix, json } = command {
        return doctor_exit_code(run(doctor(config, fix, json)));
    }
    exit_code(match command {
        Command::Serve => run(serve(config)),
        Command::Check => run(check(config)),
        Command::Healthcheck => healthcheck::ask(config.listen),
        Command::Openapi | Command::Doctor { .. } => Ok(()),
    })
}

/// The settings from the environment and `.env`, or a line for each error.
fn read_config() -> Result<Config, Vec<String>> {
    // Sets this process's variables, so it must run before the runtime starts threads.
    env_file::load(Path::new(".env")).map_err(|why| vec![why])?;
    let unreadable = RefCell::new(Vec::new());
    #[expect(clippy::disallowed_methods, reason = "the environment is read once, here")]
    let read = Config::read(|name| {
        let given = std::env::var(name);
        if matches!(given, Err(VarError::NotUnicode(_))) {
            unreadable.borrow_mut().push(name.to_owned());
        }
        given.ok()
    });
    let unreadable = unreadable.into_inner();
    if unreadable.is_empty() {
        return read;
    }
    // An unreadable variable is not missing as well.
    let is_other = |line: &String| !unreadable.iter().any(|name| line.split(' ').next() == Some(name));
    let others = read.err().unwrap_or_default().into_iter().filter(is_other);
    Err(others.chain(unreadable.iter().map(|name| format!("{name} is not valid: expected UTF-8"))).collect())
}

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new().context("cannot start the async runtime")?.block_on(work)
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn doctor_exit_code(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tenantry doctor could not examine the database: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::start_log(&config)?;
    let app = App::bind(config, Arc::new(SystemClock), telemetry::start_metrics()?)?;
    tracing::info!(address = %app.address()?, version = env!("CARGO_PKG_VERSION"), "listening");
    stop_on_signal(app.stop_token())?;
    app.run().await
}

/// Cancels the token on SIGTERM (an orchestrator) or SIGINT (Ctrl-C).
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        stop.cancel();
    });
    Ok(())
}

async fn check(config: Config) -> anyhow::Result<()> {
    println!("settings: ok");
    let Survey { incomplete: (organizations, admins), missing_indexes } =
        timeout(CHECK_LIMIT, app::survey(&config)).await.context("MongoDB did not answer in time")??;
    println!("MongoDB: ok");
    if organizations + admins > 0 {
        println!(
            "take-over: {organizations} organizations and {admins} admins of the original are ready to be taken over"
        );
    }
    if missing_indexes.is_empty() {
        println!("indexes: ok");
        return Ok(());
    }
    bail!("indexes are missing: {}; `tenantry serve` creates them at start", missing_indexes.join(", "))
}

/// Prints the doctor's report. True when nothing is wrong.
async fn doctor(config: Config, is_fixing: bool, is_json: bool) -> anyhow::Result<bool> {
    let work = app::doctor(&config, Arc::new(SystemClock), is_fixing);
    let report = timeout(DOCTOR_LIMIT, work).await.context("MongoDB did not answer in time")??;
    if is_json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(report.is_clean())
}

fn print_openapi() -> anyhow::Result<()> {
    println!("{}", http::openapi_document().to_pretty_json()?);
    Ok(())
}
