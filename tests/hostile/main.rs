//! `make hostile`: greedy neighbours, and what a modest one feels of them.
//!
//! Each row of the table ([`rows`]) is an attack on a real server on a real mongod. The victim ([`victim`]) and the attackers
//! ([`attackers`]) are separate processes with separate addresses. What does not depend on time is asserted; times are only
//! shown, and judged in the long form.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "it reads MongoDB without the repositories, and the calendar")]

mod args;
mod attackers;
mod attacks;
mod harness;
#[path = "../../benches/speed/load.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest of it")]
mod load;
mod orders;
#[path = "../../benches/speed/record.rs"]
mod record;
mod rows;
mod small_disk;
mod stage;
#[path = "../../benches/speed/stats.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest of it")]
mod stats;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest of it")]
mod support;
mod table;
mod victim;
mod watch;
mod wire;

use std::process::ExitCode;

use args::Plan;
use orders::{ATTACK, VICTIM, report};
use serde::de::DeserializeOwned;
use small_disk::SMALL_DISK;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    if !cfg!(target_os = "linux") {
        eprintln!("Not run: the attackers' addresses and /proc need Linux.");
        return ExitCode::SUCCESS;
    }
    // One thread, because clients take their CPU time from the server.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, VICTIM, told] => report(&runtime.block_on(victim::run(read(told)))),
        [_, ATTACK, told] => report(&runtime.block_on(attackers::run(read(told)))),
        [_, SMALL_DISK, told] => report(&runtime.block_on(small_disk::run(read(told)))),
        _ => return runtime.block_on(harness::run(&Plan::from_command_line())),
    }
    ExitCode::SUCCESS
}

fn read<T: DeserializeOwned>(orders: &str) -> T {
    serde_json::from_str(orders).expect("orders")
}
