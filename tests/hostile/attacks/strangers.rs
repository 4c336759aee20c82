//! People without an account, or with one, who make the server hash, create and tell.

use serde_json::json;

use crate::attackers::{Attack, PAUSE, STRANGERS, stranger};
use crate::load::{get, request};
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
