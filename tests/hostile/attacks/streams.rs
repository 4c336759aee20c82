//! Imports and exports that stall or never end.

use std::time::Duration;

use crate::attackers::{Attack, PAUSE, stranger};
use crate::load::get;
use crate::orders::{Counts, Tenant};
use crate::stage::noise;
use crate::wire::Outcome;

/// Imports at a byte a second.
pub(crate) async fn dripped_imports(attack: &Attack) {
    attack
        .by(80, async |client| {
            let head = import_head(attack.tenant(client));
            loop {
                if let Some(mut wire) = attack.open(stranger(client % 2)).await {
                    attack.heard(wire.ask_slowly(head.as_bytes(), b"1\r\n \r\n", Duration::from_secs(1))).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Exports read at a few bytes a second.
pub(crate) async fn sipped_exports(attack: &Attack) {
    attack
        .by(80, async |client| {
            let Tenant { name, token, .. } = attack.tenant(client);
            let request = get(&format!("/org/{name}/export"), Some(token));
            loop {
                if let Some(mut wire) = attack.open_narrow(stranger(client % 2)).await {
                    let begun = async {
                        let _sent = wire.send(&request).await;
                        wire.beginning().await
                    };
                    if let Outcome::Answered { status: 200, .. } = attack.heard(begun).await {
                        while wire.take(16).await.is_ok_and(|bytes| !bytes.is_empty()) {
                            tokio::time::sleep(Duration::from_millis(500)).await;
                        }
                        attack.add("200, then cut", 1);
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Imports without an end, until the disk is full.
pub(crate) async fn endless_imports(attack: &Attack) {
    let head = import_head(attack.tenant(0));
    let piece = incompressible_chunk();
    attack
        .by(4, async |_| {
            loop {
                if let Some(mut wire) = attack.open(stranger(0)).await {
                    attack.heard(wire.ask_slowly(head.as_bytes(), &piece, Duration::ZERO)).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// A piece of a body with a hundred documents of 4 kB that hardly compress.
fn incompressible_chunk() -> Vec<u8> {
    let lines: Vec<String> = (0..100).map(|n| format!("{{\"t\":\"{}\"}}\n", noise(n, 4 << 10))).collect();
    let lines = lines.concat();
    format!("{:x}\r\n{lines}\r\n", lines.len()).into_bytes()
}

fn import_head(Tenant { name, token, .. }: &Tenant) -> String {
    format!(
        "POST /org/{name}/documents HTTP/1.1\r\nhost: attack\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    )
}

/// At least one import must be told that there is no room.
pub(crate) fn check_storage(answered: &Counts) -> Option<String> {
    let was_told = answered.keys().any(|what| what.contains("storage_low"));
    (!was_told).then(|| "nobody was told that the disk is nearly full".to_owned())
}
