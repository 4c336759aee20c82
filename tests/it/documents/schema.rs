//! Schemas, which MongoDB itself enforces.

use bson::doc;
use serde_json::{Value, json};

use super::Org;
use crate::support::mongo::Mongod;
use crate::support::{Answer, Server};

impl Org<'_> {
    async fn set_schema(&self, schema: &Value) -> Answer {
        self.call("PUT", "schema").json(schema).send().await
    }
}

fn person() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A person", "type": "object",
        "required": ["name"], "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "minLength": 1 },
            "age": { "type": ["integer", "null"], "exclusiveMinimum": 0 },
            "emails": { "type": "array", "items": { "type": "string", "pattern": "@" }, "uniqueItems": true },
            "born": { "bsonType": "date" },
        },
    })
}

/// Fails unless the answer is a 422 with exactly these errors, as `pointer code`.
#[track_caller]
fn violates(answer: &Answer, expected: &[&str]) {
    assert_eq!((answer.status, &answer.body["code"]), (422, &json!("schema_violated")), "{}", answer.text);
    let errors = answer.body["errors"].as_array().expect("a list");
    let mut found: Vec<String> = errors
        .iter()
        .map(|e| format!("{} {}", e["pointer"].as_str().expect("a text"), e["code"].as_str().expect("a text")))
        .collect();
    found.sort();
    assert_eq!(found, expected, "{}", answer.text);
}

#[tokio::test]
async fn a_schema_is_kept_as_it_was_sent_and_enforced_on_every_write() {
    let server = Server::start().await;
    let org = Org::new(&server, "people").await;
    org.get("schema").await.problem(404, "schema_not_found");
    let set = org.set_schema(&person()).await.success(200);
    assert_eq!(set.body, json!({ "applied": true, "violating_documents": 0 }));
    assert_eq!(org.get("schema").await.success(200).body, person());

    let good =
        json!({ "_id": 1, "name": "Ada", "age": 36, "emails": ["a@b"], "born": { "$date": "2000-01-01T00:00:00Z" } });
    org.insert(&good).await.success(201);
    let bad = json!({ "age": 1.5, "emails": ["a@b", 1, "a@b"], "born": "2000-01-01", "x": 1 });
    let expected = ["/age type", "/born type", "/emails/1 type", "/name required", "/x additional_property"];
    let told = org.insert(&bad).await;
    let pointers: Vec<&str> =
        told.body["errors"].as_array().expect("a list").iter().filter_map(|e| e["pointer"].as_str()).collect();
    assert!(
        expected.iter().all(|line| pointers.contains(&line.split(' ').next().expect("a pointer"))),
        "{}",
        told.text
    );
    assert!(!told.text.contains("2000-01-01"), "no values: {}", told.text);
    violates(&org.call("PATCH", "documents/1").json(&json!({ "name": "" })).send().await, &["/name min_length"]);
    violates(
        &org.call("PUT", "documents/1").json(&json!({ "age": 0 })).send().await,
        &["/age exclusive_minimum", "/name required"],
    );
    let lines = org.import("{\"name\":1}\n{\"name\":\"Grace\"}").await;
    let last = &lines[lines.len() - 1];
    assert_eq!((&last["inserted"], &last["failures"][0]["code"]), (&json!(1), &json!("schema_violated")));
    assert_eq!(last["failures"][0]["errors"][0]["pointer"], "/name");
    // Applies to writes that bypass the server, too.
    org.stored().insert_one(doc! { "name": 1 }).await.expect_err("the validator");
    assert_eq!(org.get("documents/1").await.body, good);

    org.call("DELETE", "schema").send().await.success(204);
    org.get("schema").await.problem(404, "schema_not_found");
    org.call("DELETE", "schema").send().await.problem(404, "schema_not_found");
    org.insert(&bad).await.success(201);
}

#[tokio::test]
async fn documents_that_break_a_new_schema_are_counted_and_a_dry_run_only_counts() {
    let server = Server::start().await;
    let org = Org::new(&server, "counted").await;
    org.import("{\"_id\":1,\"n\":1}\n{\"_id\":2,\"n\":\"x\"}\n{\"_id\":3}").await;
    let schema = json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let dry = org.call("PUT", "schema?dry_run=true").json(&schema).send().await.success(200);
    assert_eq!(dry.body, json!({ "applied": false, "violating_documents": 2 }));
    org.get("schema").await.problem(404, "schema_not_found");
    org.insert(&json!({ "n": "free" })).await.success(201);
    let set = org.set_schema(&schema).await.success(200);
    assert_eq!(set.body, json!({ "applied": true, "violating_documents": 3 }));
    violates(&org.call("PATCH", "documents/2").json(&json!({ "other": 1 })).send().await, &["/n type"]);
    org.call("PATCH", "documents/2").json(&json!({ "n": 2 })).send().await.success(200);
    org.call("PUT", "schema?dry_run=maybe").json(&schema).send().await.invalid(&["?dry_run invalid_value"]);
    org.call("PUT", "schema?dry=true").json(&schema).send().await.invalid(&["?dry unknown_field"]);
}

#[tokio::test]
async fn what_mongodb_cannot_enforce_is_refused_with_its_place() {
    let server = Server::start().await;
    let org = Org::new(&server, "refused").await;
    let schema = json!({ "properties": {
        "a": { "$ref": "#/definitions/a" }, "b": { "format": "email" }, "c": { "minLength": -1 },
        "d": { "type": "real" }, "_rev": {},
    } });
    org.set_schema(&schema).await.invalid(&[
        "/properties/_rev reserved_field",
        "/properties/a/$ref unsupported_keyword",
        "/properties/b/format unsupported_keyword",
        "/properties/c/minLength invalid_value",
        "/properties/d/type unknown_type",
    ]);
    org.set_schema(&json!([])).await.invalid(&[" wrong_type"]);
    org.get("schema").await.problem(404, "schema_not_found");
}

#[tokio::test]
async fn a_schema_moves_with_its_organization_and_its_owners_tag_stays() {
    let server = Server::start().await;
    let tenant = server.tenant("before").await;
    let org = Org { server: &server, name: "before".to_owned(), token: tenant.token.clone() };
    org.set_schema(&person()).await.success(200);
    server.rename(&tenant.token, "before", "after").await.success(200);
    let org = Org { name: "after".to_owned(), ..org };
    assert_eq!(org.get("schema").await.success(200).body, person());
    violates(&org.insert(&json!({})).await, &["/name required"]);
    let owner = bson::Bson::from(format!("owner:{}", tenant.id));
    assert_eq!(org.validator().await.get("$comment"), Some(&owner));
    org.call("DELETE", "schema").send().await.success(204);
    assert_eq!(org.validator().await, doc! { "$comment": owner });
}

#[tokio::test]
async fn a_validator_that_was_made_by_hand_is_left_alone() {
    let server = Server::start().await;
    let org = Org::new(&server, "foreign").await;
    let by_hand = doc! { "collMod": "org_foreign", "validator": { "n": { "$gt": 0 } } };
    server.database.run_command(by_hand).await.expect("MongoDB");
    org.get("schema").await.problem(409, "validator_occupied");
    org.set_schema(&person()).await.problem(409, "validator_occupied");
    org.call("DELETE", "schema").send().await.problem(409, "validator_occupied");
    let told = org.insert(&json!({ "n": 0 })).await.problem(422, "schema_violated");
    assert!(told.body["errors"].as_array().is_some_and(|errors| !errors.is_empty()));
}

#[tokio::test]
async fn a_user_who_may_not_change_validators_is_told_whose_matter_it_is() {
    let (mongod, root) = Mongod::with_users(&[("plain", "plain_db")]).await;
    let server = Server::over(&mongod, root.database("plain_db"), &[("MONGO_URI", &mongod.uri_of("plain"))]).await;
    let org = Org::new(&server, "plain").await;
    org.insert(&json!({ "_id": 1 })).await.success(201);
    org.create_index(&json!({ "keys": { "a": 1 } })).await.success(201);
    assert_eq!(org.get("stats").await.success(200).body["documents"], 1);
    assert_eq!(org.get("indexes").await.success(200).body["indexes"].as_array().map(Vec::len), Some(2));
    org.set_schema(&person()).await.problem(500, "database_forbids");
}
