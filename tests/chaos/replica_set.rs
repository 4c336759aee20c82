//! A local replica set of three members, whose primary can be made to step down, or killed.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::ClientOptions;

use crate::support::eventually;
use crate::support::mongo::Mongod;

/// Little memory, because there are three.
const ARGUMENTS: &str = "--replSet chaos --wiredTigerCacheSizeGB 0.25";
/// How long a primary that stepped down cannot be elected again.
const STEP_DOWN_SECONDS: i32 = 3;

pub(crate) struct ReplicaSet {
    members: Vec<Mongod>,
}

impl ReplicaSet {
    /// Starts the members and waits for a primary.
    pub(crate) async fn started() -> Self {
        let mut members: Vec<Mongod> = (0..3).map(|_| Mongod::stopped_with(ARGUMENTS)).collect();
        for member in &mut members {
            member.launch();
        }
        let hosts = members.iter().enumerate().map(|(n, member)| {
            let id = i32::try_from(n).expect("small");
            doc! { "_id": id, "host": format!("127.0.0.1:{}", member.port()) }
        });
        let config = doc! {
            "_id": "chaos",
            "members": hosts.collect::<Vec<_>>(),
            "settings": { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500 },
        };
        let admin = members[0].client().await.database("admin");
        eventually("the replica set is made", async || {
            let command = doc! { "replSetInitiate": config.clone() };
            admin.run_command(command).await.is_ok() || hello(&members[0]).await.contains_key("setName")
        })
        .await;
        let set = Self { members };
        eventually("there is a primary", async || set.primary().await.is_some()).await;
        eventually("all members follow", async || set.are_all_there().await).await;
        set
    }

    pub(crate) fn uri(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(|member| format!("127.0.0.1:{}", member.port())).collect();
        format!("mongodb://{}/?replicaSet=chaos&heartbeatFrequencyMS=500", hosts.join(","))
    }

    pub(crate) async fn client(&self) -> Client {
        let options = ClientOptions::parse(self.uri()).await.expect("a connection string");
        Client::with_options(options).expect("options")
    }

    async fn primary(&self) -> Option<usize> {
        for (n, member) in self.members.iter().enumerate() {
            if is(&hello(member).await, "isWritablePrimary") {
                return Some(n);
            }
        }
        None
    }

    async fn are_all_there(&self) -> bool {
        for member in &self.members {
            let hello = hello(member).await;
            let is_there = ["isWritablePrimary", "secondary"].iter().any(|role| is(&hello, role));
            if !is_there {
                return false;
            }
        }
        true
    }

    async fn some_primary(&self) -> usize {
        eventually("there is a primary", async || self.primary().await.is_some()).await;
        self.primary().await.unwrap_or_default()
    }

    /// Waits until every member can become primary.
    pub(crate) async fn wait_for_all(&self) {
        eventually("all members are there", async || self.are_all_there().await && self.primary().await.is_some())
            .await;
    }

    pub(crate) async fn step_down(&self) {
        let primary = self.some_primary().await;
        let admin = self.members[primary].client().await.database("admin");
        eventually("the primary steps down", async || {
            let command = doc! { "replSetStepDown": STEP_DOWN_SECONDS, "secondaryCatchUpPeriodSecs": 2 };
            let told = admin.run_command(command).await;
            told.is_ok() || !is(&hello(&self.members[primary]).await, "isWritablePrimary")
        })
        .await;
    }

    /// Kills the primary, as a power failure would. Returns which member that was.
    pub(crate) async fn kill_primary(&mut self) -> usize {
        let primary = self.some_primary().await;
        self.members[primary].kill();
        primary
    }

    pub(crate) fn revive(&mut self, member: usize) {
        self.members[member].launch();
    }
}

/// A member's answer to `hello`; empty when it is down.
async fn hello(member: &Mongod) -> Document {
    let admin = member.client().await.database("admin");
    let told = tokio::time::timeout(Duration::from_secs(2), async { admin.run_command(doc! { "hello": 1 }).await });
    told.await.ok().and_then(Result::ok).unwrap_or_default()
}

fn is(hello: &Document, role: &str) -> bool {
    hello.get_bool(role).unwrap_or(false)
}
