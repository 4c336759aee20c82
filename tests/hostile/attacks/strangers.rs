//! People, with or without an account, who make the server hash passwords, create organizations and reveal what exists.

use serde_json::json;

use crate::attackers::{Attack, PAUSE, STRANGERS, stranger};
use crate::load::{get, request};
use crate::orders::{Counts, Tenant};
use crate::support::PASSWORD;

/// Bodies that are announced and never sent.
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

/// Junk organizations.
pub(crate) async fn creations(attack: &Attack) {
    attack
        .again(48, STRANGERS, |client, number| {
            let name = format!("junk {client} {number} {}", attack.orders.row);
            create(&name, &format!("junk-{client}-{number}-{}@junk.example", attack.orders.row))
        })
        .await;
}

/// Attempts to find out whether an email is registered.
pub(crate) async fn known_emails(attack: &Attack) {
    attack
        .again(48, 1, |client, number| create(&format!("known {client} {number}"), &attack.orders.victim.email))
        .await;
}

/// Guesses at the victim's password, from many networks.
pub(crate) async fn guessed_passwords(attack: &Attack) {
    guess(attack, "/admin/login").await;
}

/// The same by restoring, which compares a password too.
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

/// A tenant that sets the password it already has, which is compared each time.
pub(crate) async fn present_passwords(attack: &Attack) {
    let Tenant { name, token, .. } = attack.tenant(0);
    let body = json!({ "organization_name": name, "password": PASSWORD }).to_string();
    attack.again(64, 1, |_, _| request("PUT", "/org/update", Some(token), Some(&body))).await;
}

/// Two strangers with the same idempotency key, and then one who guesses the other's body.
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

/// Marks the answers to guesses.
const GUESS: &str = "guess: ";
/// The most guesses that may be answered: an address's creations per minute, and some.
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

/// Both strangers could create, and guesses were soon refused.
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

/// Attempts to find out which organizations exist.
pub(crate) async fn unknown_names(attack: &Attack) {
    attack
        .again(48, 1, |client, number| get(&format!("/org/get?organization_name=guess%20{client}%20{number}"), None))
        .await;
}
