//! What the harness tells the processes that it starts, and what they tell it: JSON as their argument and on their output.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An organization whose admin is logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) collection: String,
}

/// What the victim does, until its input ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VictimOrders {
    pub(crate) address: SocketAddr,
    pub(crate) tenant: Tenant,
    /// From one login to the next.
    pub(crate) login_every: Duration,
    /// Whether it imports and exports now and then.
    pub(crate) is_streaming: bool,
}

/// What the attackers do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AttackOrders {
    pub(crate) row: String,
    pub(crate) address: SocketAddr,
    pub(crate) lasts: Duration,
    pub(crate) tenants: Vec<Tenant>,
    /// Whom they attack, as far as strangers know it: without the token.
    pub(crate) victim: Tenant,
}

/// How often something happened, by what it was.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What the victim felt: how long each kind of call took, in microseconds, and what it was refused.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Felt {
    pub(crate) took: BTreeMap<Call, Vec<u64>>,
    pub(crate) refusals: Counts,
}

/// What the victim does.
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
    /// The columns of the table; the others are only not to be refused.
    pub(crate) const TIMED: [Self; 4] = [Self::Read, Self::Login, Self::Live, Self::Ready];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Login => "login",
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Import => "import",
            Self::Export => "export",
        }
    }
}

/// What the first argument says when this program is not the harness.
pub(crate) const VICTIM: &str = "victim";
pub(crate) const ATTACK: &str = "attack";

/// This program again, in another part.
pub(crate) fn start(part: &str, orders: &impl Serialize) -> Child {
    start_as(Command::new(std::env::current_exe().expect("this program")), part, orders)
}

/// The same by a command that ends with this program.
pub(crate) fn start_as(mut command: Command, part: &str, orders: &impl Serialize) -> Child {
    let orders = serde_json::to_string(orders).expect("JSON");
    command.args([part, &orders]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

/// Lets it end, and gives what it says; nothing if it failed.
pub(crate) async fn end<T: DeserializeOwned>(mut child: Child) -> Option<T> {
    drop(child.stdin.take());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.expect("no panic").expect("it ran");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten()
}

/// Says the last word of a process that was started so.
pub(crate) fn report(result: &impl Serialize) {
    println!("{}", serde_json::to_string(result).expect("JSON"));
}
