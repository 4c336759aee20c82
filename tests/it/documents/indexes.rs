//! Indexes.

use bson::doc;
use serde_json::json;

use super::Org;
use crate::support::Answer;
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;
use crate::support::{Server, eventually};

impl Org<'_> {
    async fn index_names(&self) -> Vec<String> {
        let listed = self.get("indexes").await.success(200);
        let indexes = listed.body["indexes"].as_array().expect("a list");
        indexes.iter().map(|index| index["name"].as_str().expect("a name").to_owned()).collect()
    }

    async fn drop_index(&self, name: &str) -> Answer {
        self.call("DELETE", &format!("indexes/{name}")).send().await
    }
}

#[tokio::test]
async fn indexes_are_created_listed_and_dropped() {
    let server = Server::start().await;
    let org = Org::new(&server, "indexed").await;
    // As text, because `json!` would reorder the keys.
    let body = r#"{"keys":{"b":-1,"a.c":1},"unique":true,"partial_filter":{"b":{"$exists":true}}}"#;
    let create = async || org.call("POST", "indexes").body("application/json", body).send().await;
    let created = create().await.success(201);
    let expected = json!({
        "name": "b_-1_a.c_1", "keys": { "b": -1, "a.c": 1 }, "unique": true, "sparse": false,
        "partial_filter": { "b": { "$exists": true } }, "state": "ready",
    });
    assert_eq!(created.body, expected);
    assert_eq!(created.header("location"), "/org/indexed/indexes/b_-1_a.c_1");
    create().await.success(200);
    let expiring =
        json!({ "name": "old ones go", "keys": { "made": 1 }, "expire_after_seconds": 3600, "sparse": true });
    org.create_index(&expiring).await.success(201);
    let listed = org.get("indexes").await.success(200).body["indexes"].clone();
    assert_eq!(listed[1], expected);
    assert_eq!((&listed[2]["expire_after_seconds"], &listed[2]["sparse"]), (&json!(3600), &json!(true)));
    assert_eq!(org.index_names().await, ["_id_", "b_-1_a.c_1", "old ones go"]);

    org.create_index(&json!({ "name": "other", "keys": { "c": 1 } })).await.success(201);
    org.create_index(&json!({ "name": "another", "keys": { "c": 1 } })).await.problem(409, "index_exists");
    org.create_index(&json!({ "name": "other", "keys": { "z": 1 } })).await.problem(409, "index_exists");
    org.drop_index("old%20ones%20go").await.success(204);
    org.drop_index("old%20ones%20go").await.problem(404, "index_not_found");
    org.drop_index("_id_").await.problem(409, "index_protected");
    org.drop_index("%2A").await.invalid(&["{name} invalid_characters"]);
    assert_eq!(org.index_names().await, ["_id_", "b_-1_a.c_1", "other"]);
}

#[tokio::test]
async fn an_index_over_the_id_alone_is_there_already_and_one_that_begins_with_it_is_like_any_other() {
    let server = Server::start().await;
    let org = Org::new(&server, "ids").await;
    for body in [
        json!({ "keys": { "_id": 1 } }),
        json!({ "keys": { "_id": -1 } }),
        json!({ "keys": { "_id": 1 }, "name": "mine", "unique": true }),
        json!({ "keys": { "_id": -1 }, "partial_filter": { "a": 1 } }),
    ] {
        let refused = org.create_index(&body).await;
        assert!(refused.text.contains("named _id_"), "{}", refused.text);
        refused.invalid(&["/keys contradiction"]);
    }
    // As text, because `json!` would reorder the keys.
    for (keys, name) in [(r#"{"_id":1,"a":1}"#, "_id_1_a_1"), (r#"{"_id":-1,"a":1}"#, "_id_-1_a_1")] {
        let create =
            async || org.call("POST", "indexes").body("application/json", format!(r#"{{"keys":{keys}}}"#)).send().await;
        assert_eq!(create().await.success(201).body["name"], name);
        assert_eq!(create().await.success(200).body["name"], name);
    }
    assert_eq!(org.index_names().await, ["_id_", "_id_1_a_1", "_id_-1_a_1"]);
    org.drop_index("_id_1_a_1").await.success(204);
}

#[tokio::test]
async fn a_bad_index_is_refused_with_every_broken_place() {
    let server = Server::start().await;
    let org = Org::new(&server, "bad").await;
    org.create_index(&json!({})).await.invalid(&["/keys required"]);
    org.create_index(&json!({ "keys": {} })).await.invalid(&["/keys invalid_value"]);
    let body = json!({
        "keys": { "a": "text", "b": 2 }, "name": "*", "unique": 1, "sparse": true, "x": 1,
        "partial_filter": { "a": { "$regex": "b" } },
    });
    org.create_index(&body).await.invalid(&[
        "/keys/a invalid_value",
        "/keys/b invalid_value",
        "/name invalid_characters",
        "/partial_filter/a/$regex unsupported_operator",
        "/unique wrong_type",
        "/x unknown_field",
    ]);
    let body =
        json!({ "keys": { "a": 1, "b": 1 }, "expire_after_seconds": 1, "sparse": true, "partial_filter": { "a": 1 } });
    org.create_index(&body).await.invalid(&["/expire_after_seconds contradiction", "/sparse contradiction"]);
    org.create_index(&json!({ "keys": { "a": 1 }, "expire_after_seconds": -1 }))
        .await
        .invalid(&["/expire_after_seconds invalid_value"]);
    assert_eq!(org.index_names().await, ["_id_"]);
}

#[tokio::test]
async fn a_unique_index_is_kept_by_every_write() {
    let server = Server::start().await;
    let org = Org::new(&server, "unique").await;
    org.create_index(&json!({ "keys": { "email": 1 }, "unique": true, "sparse": true })).await.success(201);
    org.insert(&json!({ "_id": 1, "email": "a" })).await.success(201);
    org.insert(&json!({ "_id": 2 })).await.success(201);
    let told = org.insert(&json!({ "email": "a" })).await.problem(409, "not_unique");
    assert_eq!(told.body["detail"], "The unique index 'email_1' has this value already");
    for method in ["PUT", "PATCH"] {
        let call = org.call(method, "documents/2").json(&json!({ "email": "a" }));
        call.send().await.problem(409, "not_unique");
    }
    let lines = org.import("{\"email\":\"a\"}\n{\"email\":\"b\"}").await;
    let last = &lines[lines.len() - 1];
    assert_eq!((&last["inserted"], &last["failures"][0]["code"]), (&json!(1), &json!("not_unique")));
    org.import("{\"n\":1}\n{\"n\":1}").await;
    let refused = org.create_index(&json!({ "keys": { "n": 1 }, "unique": true })).await;
    refused.problem(409, "not_unique");
}

#[tokio::test]
async fn what_an_index_cannot_have_is_refused_and_is_no_failure_of_the_server() {
    let server = Server::start().await;
    let org = Org::new(&server, "lists").await;
    org.create_index(&json!({ "keys": { "a": 1, "b": 1 } })).await.success(201);
    org.insert(&json!({ "a": [1], "b": [2] })).await.invalid(&[" not_accepted"]);
    let lines = org.import("{\"a\":[1],\"b\":[2]}\n{\"a\":[1],\"b\":2}").await;
    let last = &lines[lines.len() - 1];
    assert_eq!((&last["inserted"], &last["failures"][0]["errors"][0]["code"]), (&json!(1), &json!("not_accepted")));
    org.insert(&json!({ "c": [1], "d": [2] })).await.success(201);
    org.create_index(&json!({ "keys": { "c": 1, "d": 1 } })).await.invalid(&[" invalid_value"]);
}

#[tokio::test]
async fn an_organization_has_a_bounded_number_of_indexes() {
    let server = Server::start().await;
    let org = Org::new(&server, "many").await;
    for n in 1..20 {
        org.create_index(&json!({ "keys": { format!("f{n}"): 1 } })).await.success(201);
    }
    org.create_index(&json!({ "keys": { "one_more": 1 } })).await.problem(409, "too_many_indexes");
    org.create_index(&json!({ "keys": { "f1": 1 } })).await.success(200);
}

#[tokio::test]
async fn building_an_index_blocks_nobody_and_goes_on_when_the_request_is_over() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[("REQUEST_TIMEOUT_SECONDS", "2")]).await;
    let org = Org::new(&server, "building").await;
    org.insert(&json!({ "_id": 1, "a": 1 })).await.success(201);
    let admin = mongod.client().await.database("admin");
    let hold = |mode: &str| doc! { "configureFailPoint": "hangAfterStartingIndexBuild", "mode": mode };
    admin.run_command(hold("alwaysOn")).await.expect("a fail point");
    let begun = org.create_index(&json!({ "keys": { "a": 1 } })).await.success(202);
    assert_eq!(begun.body["state"], "building");
    let listed = org.get("indexes").await.success(200);
    assert_eq!(listed.body["indexes"][1]["state"], "building");
    let second = org.create_index(&json!({ "keys": { "b": 1 } })).await.problem(409, "index_building");
    assert_eq!(second.header("retry-after"), "1");
    org.insert(&json!({ "_id": 2, "a": 2 })).await.success(201);
    org.call("PATCH", "documents/1").json(&json!({ "b": 1 })).send().await.success(200);
    assert_eq!(org.export().await.len(), 2);
    admin.run_command(hold("off")).await.expect("a fail point");
    eventually("the index is ready", async || {
        org.get("indexes").await.success(200).body["indexes"][1]["state"] == "ready"
    })
    .await;
}
