//! A server's memory after all measurements, and how fast a new one starts.

use crate::place::{CHEAP, Served, resident};
use crate::report::{Goal, Report, judged};
use crate::stats::{Spread, millis};
use crate::support::mongo::Mongod;

const STARTS: usize = 7;

/// `old` has served the other measurements.
pub(crate) async fn measure(report: &mut Report, mongod: &Mongod, old: &Served, orgs: u64) {
    let about = format!(
        "Resident memory of the server that made {orgs} organizations and answered most calls of this run; from the start of a \
         process to its first `GET /health/ready` with 200, with MongoDB up and {orgs} organizations."
    );
    report.table("Memory and start", &about, &["", "measured", "goal"]);
    let memory = Spread::once(resident(old.process_id()));
    report.row(&[["memory, MiB".to_owned()].as_slice(), &judged(memory, Goal::AtMost(64.0))].concat());
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(millis(Served::server(mongod, CHEAP).await.took));
    }
    report.row(&[["start, ms".to_owned()].as_slice(), &judged(Spread::of(starts), Goal::AtMost(500.0))].concat());
}
