//! What a request costs inside the server, in reproducible numbers: instructions and allocations, counted by callgrind.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::load::{Connection, get};
use crate::place::{CHEAP, SERVER, Served, as_server, scattered};
use crate::report::{Goal, Report, judged, recorded};
use crate::stats::{Spread, count};
use crate::support::mongo::Mongod;

/// Requests before the count begins, and counted ones.
const WARM: u64 = 500;
const COUNTED: u64 = 2_000;
/// jemalloc's allocation functions; Rust's own are inlined at link time.
const ALLOCATORS: [&str; 5] = ["malloc", "mallocx", "calloc", "realloc", "rallocx"];

/// Few organizations, so that the server has searched them for leftovers before the count begins.
const ORGS: u64 = 50;

pub(crate) async fn measure(report: &mut Report, mongod: &Mongod) {
    Served::server(mongod, CHEAP).await.make_orgs(0, ORGS).await;
    let about = format!(
        "`GET /org/get`, {COUNTED} requests of one client, in the server's process alone (the release build, one worker thread), by \
         `valgrind --tool=callgrind`. More than a tenth above what this table said before needs a reason in the CHANGELOG."
    );
    report.table("One request inside the server", &about, &["", "each request", "recorded before", "ratio", "goal"]);
    let Some(counted) = count_requests(mongod).await else {
        report.row(&["instructions, allocations", "not counted: valgrind is not installed", "", "", ""]);
        return;
    };
    for (what, number) in [("instructions", counted.instructions), ("allocations", counted.allocations)] {
        let before = recorded(what);
        let shown = before.map_or_else(|| "–".to_owned(), |before| format!("{before:.0}"));
        let judged = judged(Spread::once(number / before.unwrap_or(number)), Goal::AtMost(1.1));
        report.row(&[[what.to_owned(), format!("{number:.0}"), shown].as_slice(), &judged].concat());
    }
}

struct Counted {
    instructions: f64,
    allocations: f64,
}

async fn count_requests(mongod: &Mongod) -> Option<Counted> {
    Command::new("valgrind").arg("--version").output().ok()?;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("counted");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display()), SERVER]);
    as_server(&mut command, mongod, CHEAP);
    // With more threads, the number of wake-ups, and so of instructions, would vary.
    command.env("TOKIO_WORKER_THREADS", "1").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let server = Served::start(command, "/health/ready").await;
    let mut connection = Connection::open(server.address).await;
    let mut ask = async |from: u64, to: u64| {
        for n in from..to {
            connection.ask(&get(&format!("/org/get?organization_name=org%20{}", scattered(n, ORGS)), None)).await;
        }
    };
    ask(0, WARM).await;
    dump(&server);
    ask(WARM, WARM + COUNTED).await;
    dump(&server);
    // The first dump holds the warm-up.
    Some(read(&file.with_extension("2")))
}

/// Writes the counts since the last dump.
fn dump(server: &Served) {
    let process = server.process_id().to_string();
    let control =
        Command::new("callgrind_control").args(["--dump", &process]).output().expect("it comes with valgrind");
    assert!(control.status.success(), "{}", String::from_utf8_lossy(&control.stderr));
}

/// Reads a dump's totals and the calls of the allocator (Valgrind's manual, "Callgrind Format Specification"). A function's
/// name appears only with its first use; later uses have its number.
fn read(file: &Path) -> Counted {
    let text = std::fs::read_to_string(file).expect("a dump");
    let (mut names, mut called, mut allocations, mut instructions) = (HashMap::new(), "", 0_usize, 0_usize);
    for line in text.lines() {
        if let Some((_, function)) = line.split_once("fn=(") {
            let (number, name) = function.split_once(')').expect("a number");
            if !name.trim().is_empty() {
                names.insert(number, name.trim());
            }
            if line.starts_with("cfn=") {
                called = names.get(number).copied().unwrap_or_default();
            }
        } else if let Some(calls) = line.strip_prefix("calls=") {
            // `_rjem_malloc'2` is a recursive call.
            let called = called.strip_prefix("_rjem_").and_then(|name| name.split('\'').next());
            if called.is_some_and(|called| ALLOCATORS.contains(&called)) {
                let times = calls.split(' ').next().expect("a number");
                allocations += times.parse::<usize>().expect("a number");
            }
        } else if let Some(totals) = line.strip_prefix("totals: ") {
            instructions = totals.trim().parse().expect("a number");
        }
    }
    assert!(allocations > 0, "jemalloc's functions have other names now");
    let requests = count(usize::try_from(COUNTED).expect("small"));
    Counted { instructions: count(instructions) / requests, allocations: count(allocations) / requests }
}
