//! Old names: kept by `keep_old_name_days`, listed and released at `/org/{organization_name}/names`.

use bson::{DateTime, doc};
use serde_json::{Value, json};

use super::time;
use crate::support::server::by_name;
use crate::support::{Answer, PASSWORD, Server, Tenant};

/// Renames, and keeps the old name.
async fn rename_and_keep(server: &Server, tenant: &Tenant, from: &str, to: &str, days: u16) -> Answer {
    let body = json!({ "organization_name": from, "new_organization_name": to, "keep_old_name_days": days });
    server.update(&tenant.token, &body).await.success(200)
}

async fn names(server: &Server, tenant: &Tenant, name: &str) -> Vec<Value> {
    let answer = server.get(&format!("/org/{name}/names")).bearer(&tenant.token).send().await.success(200);
    answer.body["names"].as_array().expect("a list").clone()
}

/// Expires an old name.
async fn expire(server: &Server, slug: &str) {
    let set = doc! { "$set": { "old_names.$.until": DateTime::from_millis(1_000) } };
    let expired = server.documents("organizations").update_one(doc! { "old_names.slug": slug }, set).await;
    assert_eq!(expired.expect("MongoDB").modified_count, 1);
}

/// Fails unless the answer says that an old name was used, and gives the current URL.
#[track_caller]
fn assert_deprecated(answer: &Answer, canonical: &str) {
    assert!(answer.header("deprecation").starts_with('@'), "{:?}", answer.headers);
    assert!(answer.header("sunset").ends_with(" GMT"), "{:?}", answer.headers);
    let links: Vec<&str> = answer.headers.get_all("link").iter().filter_map(|link| link.to_str().ok()).collect();
    assert!(links.contains(&format!("<{canonical}>; rel=\"canonical\"").as_str()), "{links:?}");
}

#[tokio::test]
async fn every_call_finds_the_organization_by_a_kept_name_and_says_what_it_is_called_now() {
    let server = Server::start().await;
    let acme = server.tenant("Acme Inc").await;
    let renamed = rename_and_keep(&server, &acme, "acme inc", "Globex Corp", 30).await;
    assert_eq!(renamed.header("deprecation"), "", "the name was the present one when it was used");
    let canonical = "/org/get?organization_name=Globex+Corp";

    let found = server.find("ACME inc").await.success(200);
    assert_eq!(found.body["organization"]["organization_name"], "Globex Corp");
    assert_deprecated(&found, canonical);
    assert_eq!(server.find("globex corp").await.success(200).header("deprecation"), "");

    let documents = "/org/acme%20inc/documents";
    let inserted = server.call("POST", documents).bearer(&acme.token).json(&json!({ "_id": "a" })).send().await;
    assert_deprecated(&inserted.success(201), "/org/Globex%20Corp/documents");
    let absent = server.get("/org/acme_inc/documents/none").bearer(&acme.token).send().await;
    assert_deprecated(&absent.problem(404, "document_not_found"), "/org/Globex%20Corp/documents/none");
    assert_eq!(server.count("org_globex_corp").await, 1);

    let body = json!({ "organization_name": "acme inc", "new_organization_name": "Initech" });
    let updated = server.update(&acme.token, &body).await.success(200);
    assert_deprecated(&updated, "/org/get?organization_name=Initech");
    server.find("globex corp").await.problem(404, "organization_not_found");
    let deleted = server.delete(&acme.token, "acme inc").await.success(200);
    assert_deprecated(&deleted, "/org/get?organization_name=Initech");
    server.find("acme inc").await.problem(404, "organization_not_found");
    server.create("acme inc", "new@example.com", PASSWORD).await.success(201);
}

#[tokio::test]
async fn nobody_else_can_take_a_kept_name_and_its_owner_can_take_it_back() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    rename_and_keep(&server, &acme, "acme", "globex", 365).await;
    server.create("ACME", "new@example.com", PASSWORD).await.problem(409, "organization_exists");
    server.rename(&other.token, "other", "Acme").await.problem(409, "new_name_taken");
    server.delete(&other.token, "acme").await.problem(403, "forbidden");
    rename_and_keep(&server, &acme, "globex", "acme", 1).await;
    let found = server.find("globex").await.success(200);
    assert_eq!(found.body["organization"]["collection_name"], "org_acme");
    let listed: Vec<String> = names(&server, &acme, "acme").await.iter().map(|name| name["name"].to_string()).collect();
    assert_eq!(listed, ["\"acme\"", "\"globex\""]);
}

#[tokio::test]
async fn a_name_is_not_kept_unless_somebody_asks_for_it_within_limits() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    for (days, code) in [
        (json!(366), "out_of_range"),
        (json!(-1), "out_of_range"),
        (json!(1.5), "out_of_range"),
        (json!("30"), "wrong_type"),
        (json!(true), "wrong_type"),
    ] {
        let body = json!({ "organization_name": "acme", "new_organization_name": "b", "keep_old_name_days": days });
        server.update(&acme.token, &body).await.invalid(&[&format!("/keep_old_name_days {code}")]);
    }
    rename_and_keep(&server, &acme, "acme", "ACME", 30).await;
    assert_eq!(names(&server, &acme, "acme").await.len(), 1, "another spelling gives no name up");
    for days in [Value::Null, json!(0)] {
        let body = json!({ "organization_name": "acme", "new_organization_name": "b", "keep_old_name_days": days });
        server.update(&acme.token, &body).await.success(200);
        server.find("acme").await.problem(404, "organization_not_found");
        server.rename(&acme.token, "b", "acme").await.success(200);
    }
}

#[tokio::test]
async fn the_list_tells_since_and_until_when_and_how_often_a_name_was_used() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    rename_and_keep(&server, &acme, "acme", "globex", 30).await;
    let [current, old] = names(&server, &acme, "globex").await.try_into().expect("two");
    assert_eq!((&current["name"], &current["current"]), (&json!("globex"), &json!(true)));
    assert_eq!((&current["until"], &current["use_count"]), (&Value::Null, &Value::Null));
    assert_eq!((&old["name"], &old["current"], &old["use_count"]), (&json!("acme"), &json!(false), &json!(0)));
    assert_eq!(old["last_used"], Value::Null);
    assert!(time(&old["since"]) < time(&current["since"]) && time(&current["since"]) < time(&old["until"]));
    for _ in 0..3 {
        server.find("acme").await.success(200);
    }
    // Called by the old name, which counts too.
    let old = names(&server, &acme, "acme").await.pop().expect("two");
    assert_eq!(old["use_count"], 4);
    assert!(old["last_used"].is_string());
}

#[tokio::test]
async fn a_name_that_is_given_up_is_free_at_once() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    rename_and_keep(&server, &acme, "acme", "globex", 30).await;
    let give_up =
        |token: &str, org: &str, name: &str| server.call("DELETE", &format!("/org/{org}/names/{name}")).bearer(token);
    give_up(&other.token, "globex", "acme").send().await.problem(403, "forbidden");
    give_up(&acme.token, "globex", "globex").send().await.problem(409, "name_in_use");
    give_up(&acme.token, "globex", "nobody").send().await.problem(404, "name_not_found");
    give_up(&other.token, "other", "acme").send().await.problem(404, "name_not_found");
    give_up(&acme.token, "globex", &"x".repeat(241)).send().await.invalid(&["{old_name} too_long"]);
    give_up(&acme.token, "globex", "ACME").send().await.success(204);
    give_up(&acme.token, "globex", "acme").send().await.problem(404, "name_not_found");
    server.find("acme").await.problem(404, "organization_not_found");
    server.rename(&other.token, "other", "acme").await.success(200);
    // The name leads to the other organization now, even with a token of its former owner.
    server.delete(&acme.token, "acme").await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_name_whose_time_is_over_is_free_at_once() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    for free in ["one", "two", "three"] {
        rename_and_keep(&server, &acme, "acme", "globex", 30).await;
        expire(&server, "acme").await;
        server.find("acme").await.problem(404, "organization_not_found");
        assert_eq!(names(&server, &acme, "globex").await.len(), 1);
        let free_again = match free {
            "one" => {
                server.create("acme", "new@example.com", PASSWORD).await.success(201);
                server.token("new@example.com", PASSWORD).await
            }
            "two" => {
                server.rename(&other.token, "other", "acme").await.success(200);
                other.token.clone()
            }
            _ => acme.token.clone(),
        };
        server.delete(&acme.token, "acme").await.problem(
            if free == "three" { 404 } else { 403 },
            match free {
                "three" => "organization_not_found",
                _ => "forbidden",
            },
        );
        if free == "one" {
            server.delete(&free_again, "acme").await.success(200);
        } else if free == "two" {
            server.rename(&free_again, "acme", "other").await.success(200);
        }
        server.rename(&acme.token, "globex", "acme").await.success(200);
    }
    let stored = server.documents("organizations").find_one(doc! { "slug": "acme" }).await.expect("MongoDB");
    assert_eq!(stored.expect("there").get_array("names").expect("a list").len(), 1);
}

#[tokio::test]
async fn a_name_that_cools_down_is_busy_for_its_organization_and_taken_for_others() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let in_a_minute = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
    let cooling = doc! { "slug": "cool", "until": in_a_minute };
    let push = doc! { "$push": { "names": "cool", "cooling": cooling } };
    server.documents("organizations").update_one(doc! { "slug": "acme" }, push).await.expect("MongoDB");
    let busy = server.rename(&acme.token, "acme", "Cool").await.problem(409, "organization_busy");
    assert_ne!(busy.header("retry-after"), "");
    let other = server.tenant("other").await;
    server.rename(&other.token, "other", "Cool").await.problem(409, "new_name_taken");
    server.create("Cool", "new@example.com", PASSWORD).await.problem(409, "organization_exists");
}

#[tokio::test]
async fn an_organization_hoards_no_names() {
    let server = Server::start().await;
    let acme = server.tenant("name 0").await;
    for n in 0..20 {
        rename_and_keep(&server, &acme, &format!("name {n}"), &format!("name {}", n + 1), 30).await;
    }
    let body = |days: u16| json!({ "organization_name": "name 20", "new_organization_name": "name 21", "keep_old_name_days": days });
    server.update(&acme.token, &body(1)).await.problem(409, "too_many_old_names");
    server.update(&acme.token, &body(0)).await.success(200);
    assert_eq!(names(&server, &acme, "name 3").await.len(), 21);
    let found = server.get(&by_name("/org/get", "name 19")).send().await.success(200);
    assert_eq!(found.body["organization"]["organization_name"], "name 21");
}
