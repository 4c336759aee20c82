//! A row whose mongod has a small disk: all of it runs in a process that has mounted a file system which nobody else sees,
//! and which is gone with it.

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

/// What the first argument of that process says.
pub(crate) const SMALL_DISK: &str = "small-disk";
/// Leaves room for the row; the rest is filled before.
const SIZE: &str = "size=640m";
/// How much of the disk is used when the attack begins.
const FILLED: f64 = 0.5;
/// Small logs and a small oplog: what fills the disk is to be data.
const ARGUMENTS: &str = "--replSet rs0 --oplogSize 64 --wiredTigerEngineConfigString=log=(file_max=8MB,prealloc=false)";

/// What that process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) row: String,
    pub(crate) cost: String,
    pub(crate) lasts: Duration,
}

/// Lets the row run there; nothing where nobody may mount anything.
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
    // Whatever makes temporary files there makes them on the small disk.
    let mut command = inside(&format!("{mount} && TMPDIR=\"$0\" exec \"$@\""));
    command.arg(std::env::current_exe().expect("this program"));
    // A mongod whose disk is full says so at length.
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

/// The row, in the process that has the small disk.
pub(crate) async fn run(task: Task) -> Seen {
    let row = ROWS.iter().find(|row| row.id == task.row).expect("a row");
    let mut mongod = Mongod::stopped_with(ARGUMENTS);
    mongod.start().await;
    let stage = Stage::set(mongod, &task.cost, row.stocks).await;
    fill(&stage, &stage.tenants(row.stocks)[0]).await;
    harness::attack(&stage, row, task.lasts).await
}

/// Fills the disk with an organization's documents, up to where the attack goes on.
async fn fill(stage: &Stage, tenant: &Tenant) {
    let collection = stage.client.database(DATABASE).collection::<Document>(&tenant.collection);
    let document = doc! { "t": noise(1, 1 << 20) };
    while used(stage).await < FILLED {
        collection.insert_many(std::iter::repeat_n(&document, 8)).await.expect("inserted");
    }
}

/// The part of the disk that is used, as MongoDB says.
async fn used(stage: &Stage) -> f64 {
    let stats = stage.client.database(DATABASE).run_command(doc! { "dbStats": 1 }).await.expect("statistics");
    let number = |name: &str| stats.get_f64(name).expect("a number");
    number("fsUsedSize") / number("fsTotalSize")
}
