//! People without an account, or with one, who make the server hash, create and tell.

use serde_json::json;

use crate::attackers::{Attack, PAUSE, STRANGERS, stranger};
use crate::load::{get, request};
use crate::orders::{Counts, Tenant};
use crate::support::PASSWORD;

/// Bodies that are promised and never sent.
pub(crate) async fn promised_bodies(attack: &Attack) {
    let head =
        "POST /org/create HTTP/1.1\r\nhost: attack\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    attack
        .by(1_000, async |client| {
            loop {
                if let Some(mut wire) = attack.open(stranger(client % STRANGERS)).await {
                    attack.heard(wire.ask(head.as_bytes())).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Organizations for nobody.
pub(crate) async fn creations(attack: &Attack) {
    attack
        .again(48, STRANGERS, |client, number| {
            let name = format!("junk {client} {number} {}", attack.orders.row);
            create(&name, &format!("junk-{client}-{number}-{}@junk.example", attack.orders.row))
        })
        .await;
}

/// Whether somebody is known here.
pub(crate) async fn known_emails(attack: &Attack) {
    attack
        .again(48, 1, |client, number| create(&format!("known {client} {number}"), &attack.orders.victim.email))
        .await;
}

/// Passwords for the victim's email, from many networks.
pub(crate) async fn guessed_passwords(attack: &Attack) {
    guess(attack, "/admin/login").await;
}

/// The same where nobody logs in, but a password is compared.
pub(crate) async fn guessed_restorations(attack: &Attack) {
    guess(attack, "/org/restore").await;
}

async fn guess(attack: &Attack, path: &str) {
    const NETWORKS: usize = 20;
    attack
        .again(40, NETWORKS, |client, number| {
            let password = format!("a guess {client} {number}");
            let body = json!({ "email": attack.orders.victim.email, "password": password }).to_string();
            request("POST", path, None, Some(&body))
        })
        .await;
}

/// A tenant who sets the password that it has, so that it is compared each time.
pub(crate) async fn present_passwords(attack: &Attack) {
    let Tenant { name, token, .. } = attack.tenant(0);
    let body = json!({ "organization_name": name, "password": PASSWORD }).to_string();
    attack.again(64, 1, |_, _| request("PUT", "/org/update", Some(token), Some(&body))).await;
}

/// Two strangers who chose the same key, and then one who tries what the other one's body was.
pub(crate) async fn same_keys(attack: &Attack) {
    for stranger in ["alice", "bob"] {
        repeatable(attack, stranger, PASSWORD, "").await;
    }
    attack
        .by(8, async |client| {
            for number in 0_u64.. {
                repeatable(attack, "alice", &format!("a guess {client} {number}"), GUESS).await;
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// What the answers to guesses are counted under.
const GUESS: &str = "guess: ";
/// How many guesses may be answered in a row: those that one address may create in a minute, and some.
const GUESSES_MAX: u64 = 40;

async fn repeatable(attack: &Attack, name: &str, password: &str, about: &str) {
    let body = json!({ "organization_name": name, "email": format!("{name}@stranger.example"), "password": password });
    let mut text = request("POST", "/org/create", None, Some(&body.to_string()));
    let line_end = memchr::memmem::find(&text, b"\r\n").expect("a request line");
    text.splice(line_end..line_end, *b"\r\nidempotency-key: 1");
    let from = usize::from(name == "bob" || !about.is_empty());
    if let Some(mut wire) = attack.open(stranger(from)).await {
        let outcome = wire.ask(&text).await;
        attack.add(&format!("{about}{outcome}"), 1);
    }
}

/// Both strangers got what they wanted, and the guesses were soon refused.
pub(crate) fn check_keys(answered: &Counts) -> Option<String> {
    let created = answered.get("201").copied().unwrap_or_default();
    let told = answered.iter().filter(|(what, _)| what.starts_with(GUESS) && !what.starts_with("guess: 429"));
    let told: u64 = told.map(|(_, times)| times).sum();
    if created != 2 {
        return Some(format!("{created} of two strangers with the same key could create"));
    }
    (told > GUESSES_MAX).then(|| format!("{told} guesses at the body of another's request were answered"))
}

fn create(name: &str, email: &str) -> Vec<u8> {
    let body = json!({ "organization_name": name, "email": email, "password": PASSWORD }).to_string();
    request("POST", "/org/create", None, Some(&body))
}

/// Which organizations there are.
pub(crate) async fn unknown_names(attack: &Attack) {
    attack
        .again(48, 1, |client, number| get(&format!("/org/get?organization_name=guess%20{client}%20{number}"), None))
        .await;
}
