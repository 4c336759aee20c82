//! Logs and metrics: where they go, and what they are called.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// The upper ends of the latency histogram's buckets, in seconds: from a read that MongoDB has in memory to the
/// default time limit of a request.
const LATENCY_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Log lines to stderr, as many as the settings ask for, and panics among them.
pub fn start_log(config: &Config) -> std::io::Result<()> {
    let filter = EnvFilter::new(&config.log_filter);
    // Each line is one write, and a pipe takes one of up to 4,096 bytes whole (pipe(7)), which ours stay far below: so it needs
    // no lock. That of the standard library would be waited for under load.
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::new(stderr));
    if config.is_log_json {
        // The fields of a line beside its time, so that a query needs no path, and the request's beside them.
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: a panic's text can quote the value that it failed on.
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        error!(place, "panicked");
    }));
    Ok(())
}

/// Collects this process's metrics; what it gives renders them for `/metrics`.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().set_buckets(LATENCY_BUCKETS)?.install_recorder()?;
    describe_counter!("http_requests_total", Unit::Count, "Requests answered, by method, route and status");
    describe_histogram!("http_request_duration_seconds", Unit::Seconds, "From the request's head to the answer's");
    describe_gauge!("http_requests_running", Unit::Count, "Requests at work, those without a client any more included");
    describe_gauge!("tokio_alive_tasks", Unit::Count, "Tasks of this process that are not over");
    describe_gauge!("bcrypt_queue_length", Unit::Count, "Password checks that wait for a thread or have one");
    describe_counter!("attempts_refused_total", Unit::Count, "Logins, creations and the like that were too many");
    describe_gauge!("mongodb_pool_connections", Unit::Count, "Open connections to MongoDB");
    describe_gauge!("mongodb_pool_connections_in_use", Unit::Count, "Connections to MongoDB that a call uses now");
    describe_counter!(
        "mongodb_pool_checkout_failures_total",
        Unit::Count,
        "Calls that got no connection to MongoDB in time"
    );
    Ok(handle)
}
