//! A row whose mongod has a small disk: it runs in a process with a private mount, which disappears with it.

use std::io::Seek;
use std::process::{Command, Stdio};
use std::time::Duration;

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::harness;
use crate::orders::{self, Tenant};
use crate::rows::ROWS;
use crate::stage::{DATABASE, Stage, noise};
use crate::support::mongo::Mongod;
use crate::table::Seen;

/// That process's first argument.
pub(crate) const SMALL_DISK: &str = "small-disk";
/// Leaves room for the row; the rest is filled before.
const SIZE: &str = "size=640m";
/// The part of the disk that is used when the attack begins.
const FILLED: f64 = 0.5;
/// Small logs and a small oplog, so that data fills the disk.
const ARGUMENTS: &str = "--replSet rs0 --oplogSize 64 --wiredTigerEngineConfigString=log=(file_max=8MB,prealloc=false)";

/// That process's orders.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) row: String,
    pub(crate) cost: String,
    pub(crate) lasts: Duration,
}

/// Runs the row in such a process; `None` where mounting is not allowed.
pub(crate) async fn run_apart(task: &Task) -> Option<Seen> {
    let directory = tempfile::tempdir().expect("a directory");
    let mount = format!("mount -t tmpfs -o {SIZE} tmpfs \"$0\"");
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(directory.path());
        command
    };
    let probe = inside(&mount).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return None;
    }
    // Temporary files go to the small disk.
    let mut command = inside(&format!("{mount} && TMPDIR=\"$0\" exec \"$@\""));
    command.arg(std::env::current_exe().expect("this program"));
    // A mongod with a full disk logs a lot, which is shown only after a failure.
    let mut said = tempfile::tempfile().expect("a file");
    command.stderr(said.try_clone().expect("a file"));
    let seen = orders::end(orders::start_as(command, SMALL_DISK, task)).await;
    if seen.is_none() {
        said.rewind().expect("a file");
        eprintln!("{}", std::io::read_to_string(said).expect("text"));
    }
    let failed = || Seen { broken: vec!["the row could not be run".to_owned()], ..Seen::default() };
    Some(seen.unwrap_or_else(failed))
}

/// Runs the row, in the process with the small disk.
pub(crate) async fn run(task: Task) -> Seen {
    let row = ROWS.iter().find(|row| row.id == task.row).expect("a row");
    let mut mongod = Mongod::stopped_with(ARGUMENTS);
    mongod.start().await;
    let stage = Stage::set(mongod, &task.cost, row.stocks).await;
    fill(&stage, &stage.tenants(row.stocks)[0]).await;
    harness::attack(&stage, row, task.lasts).await
}

/// Fills the disk with an organization's documents, up to where the attack begins.
async fn fill(stage: &Stage, tenant: &Tenant) {
    let collection = stage.client.database(DATABASE).collection::<Document>(&tenant.collection);
    let document = doc! { "t": noise(1, 1 << 20) };
    while used(stage).await < FILLED {
        collection.insert_many(std::iter::repeat_n(&document, 8)).await.expect("inserted");
    }
}

/// The used part of the disk, according to MongoDB.
async fn used(stage: &Stage) -> f64 {
    let stats = stage.client.database(DATABASE).run_command(doc! { "dbStats": 1 }).await.expect("statistics");
    let number = |name: &str| stats.get_f64(name).expect("a number");
    number("fsUsedSize") / number("fsTotalSize")
}
