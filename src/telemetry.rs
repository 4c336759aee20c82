//! Sets up logs and metrics, and describes the metrics.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::Arc;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// The latency histogram's upper bounds in seconds, from a read out of MongoDB's cache to a request's default time limit.
const LATENCY_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Logs to stderr, panics included.
pub fn start_log(config: &Config) -> std::io::Result<()> {
    let filter = EnvFilter::new(&config.log_filter);
    // Needs no lock: each line is one write, and a pipe takes up to 4,096 bytes at once (pipe(7)), far more than our lines
    // have. The standard library's lock becomes a bottleneck under load.
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Arc::new(stderr));
    if config.is_log_json {
        // Fields at the top level, so that queries need no path, and the request's span beside them.
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        // Only the place: a panic's message can quote user data.
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        error!(place, "panicked");
    }));
    Ok(())
}

/// Collects this process's metrics; the handle renders them for `/metrics`.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().set_buckets(LATENCY_BUCKETS)?.install_recorder()?;
    describe_counter!("http_requests_total", Unit::Count, "Requests answered, by method, route and status");
    describe_histogram!("http_request_duration_seconds", Unit::Seconds, "From the request's head to the answer's");
    describe_gauge!("http_requests_running", Unit::Count, "Requests being handled, including those whose client left");
    describe_gauge!("tokio_alive_tasks", Unit::Count, "Tasks of this process that have not ended");
    describe_gauge!("bcrypt_queue_length", Unit::Count, "Password checks waiting or running");
    describe_counter!("attempts_refused_total", Unit::Count, "Logins, creations and other attempts past their limit");
    describe_gauge!("mongodb_pool_connections", Unit::Count, "Open connections to MongoDB");
    describe_gauge!("mongodb_pool_connections_in_use", Unit::Count, "Connections to MongoDB in use by a call");
    let timed_out = "Calls that got no connection to MongoDB in time";
    describe_counter!("mongodb_pool_checkout_failures_total", Unit::Count, timed_out);
    Ok(handle)
}
