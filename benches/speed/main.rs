//! Measures every claim about speed in one run on one machine, in turns with the baseline that it is compared with, on mongods
//! and servers of its own. `make bench` writes docs/BENCHMARKS.md, if everything is committed; `make bench BENCH="reads"`
//! runs a part and writes nothing.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "it compares with the driver and with bcrypt alone")]

#[path = "../../tests/it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;

mod bare;
mod build;
mod bulk;
mod changes;
mod cost;
mod footprint;
mod growth;
mod load;
mod logins;
mod place;
mod reads;
mod record;
mod report;
mod soak;
mod stats;

use place::{CHEAP, Served};
use report::Report;
use support::mongo::Mongod;
use tokio::runtime::{Builder, Runtime};

/// The server's allocator, so that the baseline has it too.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Numbers of organizations.
const MANY: u64 = 10_000;
const FEW: u64 = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [bare::ARGUMENT, uri] => bare::serve(uri),
        [reads::ARGUMENT, uri, orgs] => reads::ask_by_the_driver(uri, orgs.parse().expect("a number")),
        [soak::ARGUMENT] => soak(5),
        [soak::ARGUMENT, cycles] => soak(cycles.parse().expect("a number")),
        ["rate", address, path] => rate(address, path),
        parts => measure(parts),
    }
}

/// One thread, because clients take their CPU time from the servers.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// For profiling: sends one server the same request as fast as possible. A `*` in the path stands for a changing number below
/// a thousand.
fn rate(address: &str, path: &str) {
    let address = address.parse().expect("an address");
    let request = |n| load::get(&path.replacen('*', &place::scattered(n, 1_000).to_string(), 1), None);
    let time = std::time::Duration::from_secs(4);
    let measured = load::without_pause(address, reads::CONNECTIONS, time, request);
    let stats::Measured { rate, p50, p99 } = runtime().block_on(measured);
    println!("{rate:.0} a second, p50 {p50:.2} ms, p99 {p99:.2} ms");
}

fn soak(cycles: u32) {
    if !runtime().block_on(soak::run(cycles)) {
        std::process::exit(1);
    }
}

const PARTS: [&str; 8] = ["reads", "logins", "changes", "growth", "bulk", "footprint", "cost", "build"];

/// Measures some parts, or all.
fn measure(parts: &[&str]) {
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(part)) {
        eprintln!("There is no part {unknown}, only {}.", PARTS.join(", "));
        std::process::exit(2);
    }
    let recorded = if parts.is_empty() { Report::to_record() } else { Some(Report::default()) };
    let Some(mut report) = recorded else {
        eprintln!("Only a commit can be recorded. Commit first, or measure a part: make bench BENCH=reads");
        std::process::exit(2);
    };
    let runtime = runtime();
    let is_wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let (mongod, server) = runtime.block_on(async {
        let mongod = place::mongod().await;
        let server = Served::server(&mongod, CHEAP).await;
        if ["reads", "logins", "growth", "footprint"].into_iter().any(is_wanted) {
            server.make_orgs(0, MANY).await;
        }
        if is_wanted("reads") {
            reads::measure(&mut report, &mongod, &server, MANY).await;
        }
        if is_wanted("logins") {
            logins::measure(&mut report, &mongod, MANY).await;
        }
        if is_wanted("changes") {
            changes::measure_creations(&mut report, &Mongod::started().await).await;
            changes::measure_renames(&mut report, &Mongod::started().await).await;
        }
        if is_wanted("growth") {
            let small = place::mongod().await;
            let other = Served::server(&small, CHEAP).await;
            other.make_orgs(0, FEW).await;
            growth::measure(&mut report, [(&other, FEW), (&server, MANY)]).await;
        }
        (mongod, server)
    });
    if is_wanted("bulk") {
        // The driver alone gets as many threads as the server.
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async { bulk::measure(&mut report, &Mongod::started().await).await });
    }
    runtime.block_on(async {
        if is_wanted("footprint") {
            footprint::measure(&mut report, &mongod, &server, MANY).await;
        }
        if is_wanted("cost") {
            cost::measure(&mut report, &Mongod::started().await).await;
        }
    });
    if is_wanted("build") {
        build::measure(&mut report);
    }
    report.write();
}
