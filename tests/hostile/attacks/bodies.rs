//! Large bodies and answers, which take memory and the threads that serve.

use crate::attackers::{Attack, PAUSE, stranger};
use crate::load::request;
use crate::orders::Tenant;

/// Clients that request full pages and read none of them.
pub(crate) async fn unread_pages(attack: &Attack) {
    let request = page(attack.tenant(0), "");
    attack
        .by(120, async |_| {
            loop {
                if let Some(mut wire) = attack.open_narrow(stranger(0)).await {
                    // Any answer fits into the buffer before the page does.
                    let _sent = wire.send(&request).await;
                    attack.until(0.9).await;
                    attack.heard(wire.beginning()).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// Clients that request compressed pages and read them all.
pub(crate) async fn packed_pages(attack: &Attack) {
    let request = page(attack.tenant(0), "accept-encoding: gzip\r\n");
    attack.again(8, 1, |_, _| request.clone()).await;
}

fn page(tenant: &Tenant, headers: &str) -> Vec<u8> {
    let Tenant { name, token, .. } = tenant;
    let line = format!("GET /org/{name}/documents?limit=15 HTTP/1.1\r\nhost: attack\r\nconnection: close\r\n");
    format!("{line}authorization: Bearer {token}\r\n{headers}\r\n").into_bytes()
}

/// Very many clients that each send the largest possible document.
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
