//! The command line: exit codes, output, and arguments.

use std::process::Output;

use bson::{Document, doc};
use serde_json::{Value, json};

use super::Patient;
use crate::support::Server;
use crate::support::mongo::{self, Mongod};
use crate::support::process::{Tenantry, said};
use crate::support::server::{SECRET, by_name, empty_database};

fn run(uri: &str, database: &str, arguments: &[&str]) -> Output {
    let settings = [("MONGO_URI", uri), ("MASTER_DB_NAME", database), ("JWT_SECRET", SECRET)];
    Tenantry::new(&[&["doctor"], arguments].concat(), &settings).output()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON and nothing else")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_used_in_every_way_is_clean() {
    let server = Server::with(&[("DELETE_GRACE_DAYS", "7")]).await;
    let acme = server.tenant("Acme").await;
    let kept = json!({ "organization_name": "acme", "new_organization_name": "Acme Inc", "keep_old_name_days": 9 });
    server.update(&acme.token, &kept).await.success(200);
    let token = server.token(&acme.email, crate::support::PASSWORD).await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    server.call("PUT", "/org/acme_inc/schema").bearer(&token).json(&schema).send().await.success(200);
    server.call("POST", "/org/acme_inc/documents").bearer(&token).json(&json!({ "n": 1 })).send().await.success(201);
    let email = json!({ "organization_name": "acme_inc", "email": "new@acme.example", "password": "a newer password" });
    server.update(&token, &email).await.success(200);
    for name in ["gone", "back"] {
        let tenant = server.tenant(name).await;
        server.delete(&tenant.token, name).await.success(200);
    }
    let back = json!({ "email": "admin@back.example", "password": crate::support::PASSWORD });
    server.call("POST", "/org/restore").json(&back).send().await.success(200);
    let create = json!({ "organization_name": "once", "email": "a@once.example", "password": "a fine password" });
    server.call("POST", "/org/create").header("idempotency-key", "one-key").json(&create).send().await.success(201);

    let uri = mongo::shared().await.uri();
    for arguments in [&[][..], &["--fix"]] {
        let output = run(&uri, server.database.name(), arguments);
        let expected = "0 findings, 0 fixed; 4 organizations, 4 admins and 4 tenant collections looked at\n";
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), expected));
    }
    let output = run(&uri, server.database.name(), &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let looked_at = json!({ "organizations": 4, "admins": 4, "collections": 4 });
    assert_eq!(json_of(&output), json!({ "findings": [], "looked_at": looked_at, "notes": [] }));
    // All data is still there.
    server.get(&by_name("/org/get", "acme inc")).send().await.success(200);
}

#[tokio::test]
async fn each_finding_is_a_line_or_an_object_and_the_exit_code_says_whether_any_remains() {
    let patient = Patient::new().await;
    let uri = mongo::shared().await.uri();
    patient.change_org(doc! { "$push": { "names": "claimed" } }).await;
    patient.collection("org_other").drop().await.expect("dropped");
    let (acme, other) = (patient.acme, patient.other);

    let output = run(&uri, patient.database.name(), &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    let names = format!("names_wrong: organization {acme} (\"acme\"): its names hold claimed, which nobody can take; ");
    let gone =
        format!("collection_gone: organization {other} (\"other\"), collection org_other: its collection is gone; ");
    assert!(text.lines().any(|line| line.starts_with(&names) && line.ends_with("(fixable)")), "{text}");
    assert!(text.lines().any(|line| line.starts_with(&gone) && !line.ends_with("(fixable)")), "{text}");
    assert!(text.contains("\n2 findings, 0 fixed; "), "{text}");

    let output = run(&uri, patient.database.name(), &["--fix", "--json"]);
    assert_eq!(output.status.code(), Some(1), "one remains");
    let report = json_of(&output);
    let names = report["findings"].as_array().expect("a list").iter().find(|found| found["code"] == "names_wrong");
    let names = names.expect("it was found");
    assert_eq!((&names["fixed"], &names["done"]), (&json!(true), &json!("listed the names anew")));

    patient.change_org(doc! { "$push": { "names": "claimed" } }).await;
    let text = said(&run(&uri, patient.database.name(), &["--fix"]));
    assert!(text.contains("; fixed: listed the names anew\n") && text.contains("\n1 findings, 1 fixed; "), "{text}");
}

#[tokio::test]
async fn a_database_that_cannot_be_looked_at_is_exit_code_2() {
    let uri = mongo::shared().await.uri();
    let away = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100";
    for (uri, database) in [(away, "one"), ("nowhere", "one"), (uri.as_str(), "a/b")] {
        let output = run(uri, database, &["--json"]);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{}", said(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[tokio::test]
async fn the_role_of_a_server_is_enough_for_all_but_the_limit_of_open_files() {
    let (mongod, root) = Mongod::with_users(&[("plain", "one")]).await;
    let uri = mongod.uri_of("plain");
    let output = run(&uri, "one", &["--fix", "--json"]);
    let report = json_of(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report["notes"][0].as_str().expect("a note").contains("clusterMonitor"), "{report}");
    // That role may not write a tag: the report says so, and everything else is done.
    let server = Server::over(&mongod, root.database("one"), &[("MONGO_URI", &uri)]).await;
    server.tenant("acme").await;
    server.tenant("other").await;
    server.stop().await.expect("stopped");
    let untag = doc! { "collMod": "org_acme", "validator": {} };
    root.database("one").run_command(untag).await.expect("done");
    root.database("one").collection::<Document>("organizations").drop_index("names_1").await.expect("dropped");
    let output = run(&uri, "one", &["--fix", "--json"]);
    let report = json_of(&output);
    let found: Vec<_> = report["findings"].as_array().expect("a list").iter().collect();
    assert_eq!((output.status.code(), found.len()), (Some(1), 2), "{report}");
    assert_eq!((&found[0]["code"], &found[0]["fixed"]), (&json!("collection_untagged"), &json!(false)));
    assert_eq!(found[0]["done"], "could not: the user in MONGO_URI may not do this (13 Unauthorized)");
    assert_eq!((&found[1]["code"], &found[1]["fixed"]), (&json!("index_missing"), &json!(true)));

    let output = run(&uri, "another", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("13 Unauthorized"), "{}", said(&output));
    let output = run(&mongod.uri_of("root"), "one", &["--json"]);
    assert_eq!(json_of(&output)["notes"], json!([]), "who may look says nothing");
}

#[tokio::test]
async fn a_database_of_the_original_is_reported_and_left_to_the_server() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let org = doc! { "organization_name": "Amazon", "collection_name": "org_amazon" };
    database.collection("organizations").insert_one(org).await.expect("stored");
    database.collection("org_amazon").insert_one(doc! { "a": 1 }).await.expect("stored");
    let report = super::doctor(&database, true).await;
    let found: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|found| &found["code"]).collect();
    assert_eq!(found.first(), Some(&&json!("organization_unreadable")));
    let server = Server::over(mongod, database.clone(), &[]).await;
    let report = super::doctor(&server.database, false).await;
    let found: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|found| &found["code"]).collect();
    assert_eq!(found, ["organization_without_admin"], "{report}");
}
