//! Connections that send little or nothing.

use crate::attackers::{Attack, PAUSE, STRANGERS, stranger};
use crate::load::get;

/// Heads without an end.
pub(crate) async fn endless_heads(attack: &Attack) {
    let head = format!("GET / HTTP/1.1\r\nhost: attack\r\nx-filler: {}", "a".repeat(390_000));
    held(attack, 2_000, head.as_bytes()).await;
}

/// Nothing at all.
pub(crate) async fn idle(attack: &Attack) {
    held(attack, 3_000, b"").await;
}

/// More connections than the server may open files.
pub(crate) async fn more_than_files(attack: &Attack) {
    held(attack, 400, b"").await;
}

/// Very many small requests, pipelined; some are not even requests.
pub(crate) async fn tiny_requests(attack: &Attack) {
    const AT_ONCE: usize = 6;
    let good = [get("/", None), get("/nothing/here", None)].concat().repeat(AT_ONCE / 2);
    attack
        .by(200, async |client| {
            let from = stranger(client % STRANGERS);
            loop {
                if client.is_multiple_of(10) {
                    if let Some(mut wire) = attack.open(from).await {
                        attack.heard(wire.ask(b"NO REQUEST\r\n\r\n")).await;
                    }
                } else if let Some(mut wire) = attack.open(from).await {
                    while wire.ask_at_once(&good, AT_ONCE).await == AT_ONCE {
                        attack.add("answers", AT_ONCE as u64);
                    }
                    attack.add("cut", 1);
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Sends this, and waits until the server gives up.
async fn held(attack: &Attack, clients: usize, bytes: &[u8]) {
    attack
        .by(clients, async |client| {
            loop {
                if let Some(mut wire) = attack.open(stranger(client % STRANGERS)).await {
                    attack.heard(wire.ask(bytes)).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}
