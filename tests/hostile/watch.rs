//! Observes from outside: the server's memory, and running operations in MongoDB.

use std::time::{Duration, Instant};

use bson::doc;
use mongodb::Client;
use tokio::time::timeout;

use crate::orders::Tenant;
use crate::stage::DATABASE;

/// How long attackers' operations may keep running after they have left.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// A process's peak memory in MiB (Linux); `None` when it has died.
pub(crate) fn peak_resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes >> 10)
}

/// Waits until no operation of the attackers' is running, or their time is up, and returns how many are. `None` when MongoDB
/// does not answer.
pub(crate) async fn left_at_work(client: &Client, victim: &Tenant) -> Option<usize> {
    let deadline = Instant::now() + AFTERWARDS;
    loop {
        let left = timeout(AFTERWARDS, at_work(client, victim)).await.ok()?.ok()?;
        if left == 0 || Instant::now() > deadline {
            return Some(left);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn at_work(client: &Client, victim: &Tenant) -> mongodb::error::Result<usize> {
    let everybodys = doc! { "$currentOp": { "allUsers": true, "idleConnections": false, "idleSessions": false } };
    let tenants = doc! { "$regex": format!("^{DATABASE}\\.org_"), "$ne": format!("{DATABASE}.{}", victim.collection) };
    let servers = doc! { "$match": { "active": true, "appName": "tenantry", "ns": tenants } };
    let mut found = client.database("admin").aggregate([everybodys, servers]).await?;
    let mut count = 0;
    while found.advance().await? {
        count += 1;
    }
    Ok(count)
}
