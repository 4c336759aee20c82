//! What servers that stalled for very long left behind, and the next server tidies up.

use bson::{doc, oid::ObjectId};
use serde_json::json;

use crate::support::mongo::shared;
use crate::support::{Server, eventually};

#[tokio::test]
async fn a_server_puts_back_what_was_moved_late_and_drops_what_belongs_to_nobody() {
    let first = Server::start().await;
    let acme = first.tenant("acme").await;
    first.tenant("other").await;
    let write = first.call("POST", "/org/acme/documents").bearer(&acme.token).json(&json!({ "_id": "kept" }));
    write.send().await.success(201);
    let (database, admin) = (first.database.clone(), first.database.client().database("admin"));
    first.stop().await.expect("it stops");
    let full = |name: &str| format!("{}.{name}", database.name());
    let moved = doc! { "renameCollection": full("org_acme"), "to": full("org_elsewhere") };
    admin.run_command(moved).await.expect("moved");
    for (name, of) in [("org_leftover", ObjectId::new().to_hex()), ("org_full", ObjectId::new().to_hex())] {
        let tag = doc! { "$comment": format!("owner:{of}") };
        database.run_command(doc! { "create": name, "validator": tag }).await.expect("made");
    }
    database.collection("org_full").insert_one(doc! {}).await.expect("stored");

    let second = Server::over(shared().await, database, &[]).await;
    eventually("everything is in its place", async || {
        second.tenant_collections().await == ["org_acme", "org_full", "org_other"]
    })
    .await;
    second.get("/org/acme/documents/kept").bearer(&acme.token).send().await.success(200);
}
