//! What is looked at from outside: the server's memory, and what MongoDB still works on.

use std::time::{Duration, Instant};

use bson::doc;
use mongodb::Client;
use tokio::time::timeout;

use crate::orders::Tenant;
use crate::stage::DATABASE;

/// For how long something of the attackers' may still be at work after they have left.
pub(crate) const AFTERWARDS: Duration = Duration::from_secs(5);

/// The most memory that a process ever had, in MiB (Linux); nothing when it has died.
pub(crate) fn peak_resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes >> 10)
}

/// How many operations of other tenants than the victim are at work, once none is or their time is over; nothing when
/// MongoDB does not answer.
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
