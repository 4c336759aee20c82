//! How the harness talks to the processes that it starts: JSON as their argument and on their output.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An organization with its admin's token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) collection: String,
}

/// The victim's orders, until its input ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VictimOrders {
    pub(crate) address: SocketAddr,
    pub(crate) tenant: Tenant,
    pub(crate) login_every: Duration,
    /// Whether it imports and exports.
    pub(crate) is_streaming: bool,
}

/// The attackers' orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AttackOrders {
    pub(crate) row: String,
    pub(crate) address: SocketAddr,
    pub(crate) lasts: Duration,
    pub(crate) tenants: Vec<Tenant>,
    /// The victim. Attackers must not use its token.
    pub(crate) victim: Tenant,
}

/// How often each thing happened.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What the victim felt: how long each kind of call took, in microseconds, and what was refused.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Felt {
    pub(crate) took: BTreeMap<Call, Vec<u64>>,
    pub(crate) refusals: Counts,
}

/// The victim's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Call {
    Read,
    Login,
    Live,
    Ready,
    Import,
    Export,
}

impl Call {
    /// The table's columns; the others must only not be refused.
    pub(crate) const TIMED: [Self; 4] = [Self::Read, Self::Login, Self::Live, Self::Ready];
}

/// The first argument of the processes that the harness starts.
pub(crate) const VICTIM: &str = "victim";
pub(crate) const ATTACK: &str = "attack";

/// Starts this program in another role.
pub(crate) fn start(part: &str, orders: &impl Serialize) -> Child {
    start_as(Command::new(std::env::current_exe().expect("this program")), part, orders)
}

/// The same through a command whose last argument is this program.
pub(crate) fn start_as(mut command: Command, part: &str, orders: &impl Serialize) -> Child {
    let orders = serde_json::to_string(orders).expect("JSON");
    command.args([part, &orders]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

/// Closes a process's input and returns its report; `None` if it failed.
pub(crate) async fn end<T: DeserializeOwned>(mut child: Child) -> Option<T> {
    drop(child.stdin.take());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ran");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
}

/// Prints a process's report.
pub(crate) fn report(result: &impl Serialize) {
    println!("{}", serde_json::to_string(result).expect("JSON"));
}
