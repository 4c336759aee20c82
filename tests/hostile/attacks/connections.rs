//! Connections that send little or nothing.

use crate::attackers::{Attack, PAUSE, STRANGERS, stranger};

/// Heads that do not end.
pub(crate) async fn endless_heads(attack: &Attack) {
    let head = format!("GET / HTTP/1.1\r\nhost: attack\r\nx-filler: {}", "a".repeat(390_000));
    held(attack, 2_000, head.as_bytes()).await;
}

/// Nothing at all.
pub(crate) async fn idle(attack: &Attack) {
    held(attack, 3_000, b"").await;
}

/// Sends this, and waits until the server has had enough of it.
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
