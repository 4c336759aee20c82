//! The original's demo, from the first call to the last.

use bson::doc;
use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn amazon_is_created_logged_in_read_renamed_and_deleted() {
    let server = Server::start().await;
    let amazon = json!({
        "organization_name": "amazon", "email": "admin@amazon.example", "password": "a fine password",
    });
    let created = server.call("POST", "/org/create").json(&amazon).send().await.success(201);
    assert_eq!(created.body["ok"], true);
    assert_eq!(created.body["message"], "Organization created successfully");
    assert_eq!(created.body["organization"]["organization_name"], "amazon");
    assert_eq!(created.body["organization"]["collection_name"], "org_amazon");
    server.documents("org_amazon").insert_one(doc! { "_id": "kept" }).await.expect("stored");

    let credentials = json!({ "email": "admin@amazon.example", "password": "a fine password" });
    let logged_in = server.call("POST", "/admin/login").json(&credentials).send().await.success(200);
    assert_eq!(logged_in.body["token_type"], "bearer");
    assert_eq!(logged_in.body["expires_in"], 3600);
    assert_eq!(logged_in.body["admin"]["organization_id"], created.body["organization"]["id"]);
    let token = logged_in.body["access_token"].as_str().expect("a token");

    let found = server.get("/org/get?organization_name=amazon").send().await.success(200);
    assert_eq!(found.body, json!({ "ok": true, "organization": created.body["organization"] }));

    // The demo also sends the current email and password; that changes neither, and ends no token.
    let rename = json!({
        "organization_name": "amazon", "new_organization_name": "amazon_global",
        "email": "admin@amazon.example", "password": "a fine password",
    });
    let renamed = server.call("PUT", "/org/update").bearer(token).json(&rename).send().await.success(200);
    assert_eq!(renamed.body["message"], "Organization updated successfully");
    assert_eq!(renamed.body["organization"]["id"], created.body["organization"]["id"]);
    assert_eq!(renamed.body["organization"]["collection_name"], "org_amazon_global");
    assert_eq!(server.tenant_collections().await, ["org_amazon_global"]);
    assert_eq!(server.count("org_amazon_global").await, 1, "its document moved along");
    server.find("amazon").await.problem(404, "organization_not_found");

    let path = "/org/delete?organization_name=amazon_global";
    let deleted = server.call("DELETE", path).bearer(token).send().await.success(200);
    assert_eq!(deleted.body["message"], "Organization and related data deleted successfully.");
    assert!(deleted.body.get("restorable_until").is_none());
    assert_eq!(server.totals().await, (0, 0, 0));
    server.find("amazon_global").await.problem(404, "organization_not_found");
    server.call("DELETE", path).bearer(token).send().await.problem(401, "invalid_token");
}
