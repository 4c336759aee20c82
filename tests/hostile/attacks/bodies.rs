//! Bodies and answers that are large: what they take of memory, and of the threads that serve.

use crate::attackers::{Attack, PAUSE, stranger};
use crate::load::request;
use crate::orders::Tenant;

/// Clients who ask for as much as a page can hold, and take none of it.
pub(crate) async fn unread_pages(attack: &Attack) {
    let request = page(attack.tenant(0), "");
    attack
        .by(120, async |_| {
            loop {
                if let Some(mut wire) = attack.open_narrow(stranger(0)).await {
                    // Whatever is to be told fits in before it.
                    let _sent = wire.send(&request).await;
                    attack.until(0.9).await;
                    attack.heard(wire.beginning()).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Clients who have large pages packed for them, and take them all.
pub(crate) async fn packed_pages(attack: &Attack) {
    let request = page(attack.tenant(0), "accept-encoding: gzip\r\n");
    attack.again(8, 1, |_, _| request.clone()).await;
}

fn page(tenant: &Tenant, headers: &str) -> Vec<u8> {
    let Tenant { name, token, .. } = tenant;
    let line = format!("GET /org/{name}/documents?limit=15 HTTP/1.1\r\nhost: attack\r\nconnection: close\r\n");
    format!("{line}authorization: Bearer {token}\r\n{headers}\r\n").into_bytes()
}

/// As large a document as there can be, from very many at once.
pub(crate) async fn large_bodies(attack: &Attack) {
    let Tenant { name, token, .. } = attack.tenant(0);
    let body = format!("{{\"t\":\"{}\"}}", "a".repeat((1 << 20) - 100));
    let request = request("POST", &format!("/org/{name}/documents"), Some(token), Some(&body));
    attack
        .by(600, async |_| {
            for _ in 0..2 {
                if let Some(mut wire) = attack.open(stranger(0)).await {
                    attack.heard(wire.ask(&request)).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}
