//! What many organizations cost: the same calls with few and with many of them, in turns.

use serde_json::json;

use crate::FEW;
use crate::load::{get, in_turns, request, so_often};
use crate::place::{Served, creation, credentials, name, scattered};
use crate::report::{Goal, Report, judged};
use crate::stats::Spread;

const CLIENTS: usize = 4;
const ROUNDS: usize = 11;
/// Organizations that are renamed and have documents: all of the few.
const USED: u64 = FEW;
/// The first number of an organization created here.
const FIRST: u64 = 3_000_000;

/// The call that is undone after each round, so that few stay few.
const CREATE: &str = "create";

/// A server, its number of organizations, and tokens of the first of them.
struct Side<'a> {
    server: &'a Served,
    orgs: u64,
    tokens: Vec<String>,
}

pub(crate) async fn measure(report: &mut Report, [few, many]: [(&Served, u64); 2]) {
    let about = format!(
        "{CLIENTS} clients without a pause, {ROUNDS} rounds in turns, the cheapest bcrypt, so that \
         it hides nothing. 99th percentiles in milliseconds.",
    );
    let columns = [
        "call",
        "requests a round",
        &format!("{} organizations", few.1),
        &format!("{} organizations", many.1),
        "ratio",
        "goal",
    ];
    report.table("Few organizations and many", &about, &columns);
    let (few, many) = (Side::new(few.0, few.1).await, Side::new(many.0, many.1).await);
    let calls: [(&str, u64, Goal, Call); 6] = [
        ("`GET /org/get`", 2_000, Goal::AtMost(1.5), |side, n| {
            get(&format!("/org/get?organization_name=org%20{}", scattered(n, side.orgs)), None)
        }),
        ("log in", 1_000, Goal::AtMost(1.5), |side, n| {
            let body = credentials(scattered(n, side.orgs)).to_string();
            request("POST", "/admin/login", None, Some(&body))
        }),
        ("rename", 400, Goal::AtMost(1.5), |side, n| side.rename(n)),
        ("insert a document", 1_000, Goal::AtMost(1.5), |side, n| side.of_documents("POST", n)),
        ("list documents", 1_000, Goal::AtMost(1.5), |side, n| side.of_documents("GET", n)),
        (CREATE, 100, Goal::None, |_, n| creation(FIRST + n)),
    ];
    let mut begun = 0;
    for (what, requests, goal, call) in calls {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let of = async |side: &Side<'_>| {
                so_often(side.server.address, CLIENTS, requests, |n| call(side, begun + n)).await.p99
            };
            let p99 = in_turns(round, async || of(&many).await, async || of(&few).await).await;
            if what == CREATE {
                for side in [&few, &many] {
                    side.server.delete_orgs(FIRST + begun, FIRST + begun + requests).await;
                }
            }
            begun += requests;
            rounds.push(p99);
        }
        let [many, few, ratio] = Spread::of_pairs(&rounds, |number| number);
        let row = [what.to_owned(), requests.to_string(), few.to_string(), many.to_string()];
        report.row(&[row.as_slice(), &judged(ratio, goal)].concat());
    }
}

/// Builds the n-th request.
type Call = fn(&Side<'_>, u64) -> Vec<u8>;

impl<'a> Side<'a> {
    async fn new(server: &'a Served, orgs: u64) -> Self {
        let mut tokens = Vec::new();
        for number in 0..USED {
            tokens.push(server.token(number).await);
        }
        Self { server, orgs, tokens }
    }

    fn token(&self, number: u64) -> &str {
        &self.tokens[usize::try_from(number).expect("small")]
    }

    /// Back and forth between two names; a round's requests are a multiple of both.
    fn rename(&self, n: u64) -> Vec<u8> {
        let number = n % USED;
        let (old, new) = (name(number), format!("renamed {number}"));
        let is_back = (n / USED) % 2 == 1;
        let (from, to) = if is_back { (new, old) } else { (old, new) };
        let body = json!({ "organization_name": from, "new_organization_name": to }).to_string();
        request("PUT", "/org/update", Some(self.token(number)), Some(&body))
    }

    fn of_documents(&self, method: &str, n: u64) -> Vec<u8> {
        let number = scattered(n, USED);
        let body = json!({ "text": "x".repeat(300), "number": n }).to_string();
        let path = format!("/org/org%20{number}/documents");
        let (path, body) = if method == "GET" { (path + "?limit=10", None) } else { (path, Some(body.as_str())) };
        request(method, &path, Some(self.token(number)), body)
    }
}
