//! Tenants that keep MongoDB busy.

use std::time::Duration;

use form_urlencoded::byte_serialize;
use serde_json::json;

use crate::attackers::{Attack, PAUSE, stranger};
use crate::load::{get, request};
use crate::orders::Tenant;

/// Searches that are quadratic in a string's length.
pub(crate) async fn quadratic_patterns(attack: &Attack) {
    search(attack, &["[a-z]+1"]).await;
}

/// The most expensive patterns that people really use, on their worst strings.
pub(crate) async fn usual_patterns(attack: &Attack) {
    search(attack, &[r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", "alpha|beta|gamma|delta|epsilon", "^[a-z0-9-]+$"]).await;
}

async fn search(attack: &Attack, patterns: &[&str]) {
    attack
        .again(120, 1, |client, _| {
            let filter = json!({ "t": { "$regex": patterns[client % patterns.len()] } }).to_string();
            list(attack.tenant(client), &filter)
        })
        .await;
}

/// The same in a schema, which every write must pass. If the worst pattern is refused, the worst real one stays.
pub(crate) async fn schema_patterns(attack: &Attack) {
    let tenant = attack.tenant(0);
    for pattern in [r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$", "[a-z]+1"] {
        let schema = json!({ "properties": { "t": { "type": "string", "pattern": pattern } } }).to_string();
        if let Some(mut wire) = attack.open(stranger(0)).await {
            let path = format!("/org/{}/schema", tenant.name);
            attack.heard(wire.ask(&request("PUT", &path, Some(&tenant.token), Some(&schema)))).await;
        }
    }
    let body = json!({ "t": "a".repeat(250_000) }).to_string();
    let path = format!("/org/{}/documents", tenant.name);
    attack.again(40, 1, |_, _| request("POST", &path, Some(&tenant.token), Some(&body))).await;
}

/// Ordinary filters without an index, each sent once by a client that does not wait for the answer.
pub(crate) async fn slow_filters(attack: &Attack) {
    let request = list(attack.tenant(0), &slow_filter());
    attack
        .by(500, async |_| {
            if let Some(mut wire) = attack.open(stranger(0)).await {
                tokio::select! {
                    _ = attack.heard(wire.ask(&request)) => {}
                    () = attack.until(0.7) => {}
                }
            }
        })
        .await;
}

/// Exports that find nothing for a long time, whose clients leave after a second.
pub(crate) async fn abandoned_exports(attack: &Attack) {
    let Tenant { name, token, .. } = attack.tenant(0);
    let filter: String = byte_serialize(slow_filter().as_bytes()).collect();
    let request = get(&format!("/org/{name}/export?filter={filter}"), Some(token));
    attack
        .by(64, async |_| {
            if let Some(mut wire) = attack.open(stranger(0)).await {
                let answer = attack.heard(wire.ask(&request));
                let _gone = tokio::time::timeout(Duration::from_secs(1), answer).await;
            }
        })
        .await;
    tokio::time::sleep(PAUSE).await;
}

/// As many conditions as a filter may have, none of which matches.
fn slow_filter() -> String {
    let conditions: Vec<_> = (0..190).map(|n| json!({ format!("f{n}"): n })).collect();
    json!({ "$or": conditions }).to_string()
}

fn list(tenant: &Tenant, filter: &str) -> Vec<u8> {
    let filter: String = byte_serialize(filter.as_bytes()).collect();
    get(&format!("/org/{}/documents?filter={filter}", tenant.name), Some(&tenant.token))
}
