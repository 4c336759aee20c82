//! Lists: filters, orders, fields, pages.

use bson::doc;
use serde_json::{Value, json};

use super::Org;
use crate::support::Server;
use crate::support::mongo::Mongod;
use crate::support::server::empty_database;

fn people() -> String {
    let people = [
        json!({ "_id": 1, "name": "Ada", "age": 36, "tags": ["math", "poetry"], "address": { "city": "London", "zip": "W1" } }),
        json!({ "_id": 2, "name": "Grace", "age": 85, "tags": ["navy"], "address": { "city": "New York" } }),
        json!({ "_id": 3, "name": "Linus", "age": 55, "tags": [], "seen": { "$date": "2026-11-25T00:00:00Z" } }),
        json!({ "_id": 4, "name": "Barbara", "tags": ["math"], "age": null }),
    ];
    people.map(|person| person.to_string()).join("\n")
}

async fn with_people<'s>(server: &'s Server, name: &str) -> Org<'s> {
    let org = Org::new(server, name).await;
    let lines = org.import(people()).await;
    assert_eq!(lines[lines.len() - 1]["inserted"], 4);
    org
}

#[tokio::test]
async fn a_filter_chooses() {
    let server = Server::start().await;
    let org = with_people(&server, "filters").await;
    for (filter, expected) in [
        (json!({}), vec![1, 2, 3, 4]),
        (json!({ "name": "Ada" }), vec![1]),
        (json!({ "age": { "$gt": 36, "$lte": 85 } }), vec![2, 3]),
        (json!({ "age": null }), vec![4]),
        (json!({ "tags": "math" }), vec![1, 4]),
        (json!({ "tags": { "$all": ["math", "poetry"] } }), vec![1]),
        (json!({ "tags": { "$size": 0 } }), vec![3]),
        (json!({ "tags": { "$elemMatch": { "$eq": "navy" } } }), vec![2]),
        (json!({ "address.city": { "$in": ["London", "Paris"] } }), vec![1]),
        (json!({ "address": { "$exists": false } }), vec![3, 4]),
        (json!({ "address": { "city": "New York" } }), vec![2]),
        (json!({ "name": { "$regex": "^[AB]", "$options": "" } }), vec![1, 4]),
        (json!({ "$or": [{ "_id": 3 }, { "name": { "$not": { "$regex": "a" } } }] }), vec![3]),
        (json!({ "$nor": [{ "age": { "$type": "number" } }] }), vec![4]),
        (json!({ "age": { "$mod": [5, 0] } }), vec![2, 3]),
        (json!({ "seen": { "$gte": { "$date": "2026-11-24T00:00:00Z" } } }), vec![3]),
        (json!({ "$and": [{ "_id": { "$nin": [1] } }, { "_id": { "$ne": 2 } }] }), vec![3, 4]),
    ] {
        let page = org.list(&[("filter", &filter.to_string()), ("count", "true")]).await.success(200);
        let ids: Vec<i64> =
            page.body["documents"].as_array().expect("a list").iter().filter_map(|d| d["_id"].as_i64()).collect();
        assert_eq!(ids, expected, "{filter}");
        assert_eq!((&page.body["total"], &page.body["next"]), (&json!(expected.len()), &Value::Null), "{filter}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_named_with_its_place() {
    let server = Server::start().await;
    let org = with_people(&server, "wrong").await;
    let refused = async |name: &str, value: &str, expected: &[&str]| org.list(&[(name, value)]).await.invalid(expected);
    refused("filter", "{\"a\":{\"$where\":\"1\"}}", &["?filter/a/$where unsupported_operator"]).await;
    refused("filter", "{\"$expr\":{\"$eq\":[1,1]}}", &["?filter/$expr unsupported_operator"]).await;
    refused("filter", "{\"$or\":[{\"a\":1},{\"$text\":{}}]}", &["?filter/$or/1/$text unsupported_operator"]).await;
    refused("filter", "{\"a\":1", &["?filter invalid_json"]).await;
    refused("filter", "[]", &["?filter wrong_type"]).await;
    refused("filter", "{\"a\":1,\"a\":2}", &["?filter/a repeated"]).await;
    refused("filter", "{\"a\":{\"$regex\":\"(\"}}", &["?filter/a/$regex invalid_value"]).await;
    // Only MongoDB knows the names of properties.
    refused("filter", "{\"a\":{\"$regex\":\"\\\\p{Nope}\"}}", &["?filter invalid_value"]).await;
    refused("limit", "0", &["?limit invalid_value"]).await;
    refused("limit", "1001", &["?limit invalid_value"]).await;
    refused("count", "yes", &["?count invalid_value"]).await;
    refused("cursor", "made up", &["?cursor invalid_cursor"]).await;
    refused("page", "2", &["?page unknown_field"]).await;
    for (name, value) in
        [("sort", "a,,b"), ("sort", "$a"), ("sort", "a,-a"), ("fields", ""), ("fields", "_rev"), ("sort", "_rev")]
    {
        let answer = org.list(&[(name, value)]).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("?{name}"), "{name}={value}");
    }
    org.list(&[("limit", "1"), ("limit", "2")]).await.invalid(&["?limit repeated"]);
}

#[tokio::test]
async fn fields_are_picked_and_pages_are_linked() {
    let server = Server::start().await;
    let org = with_people(&server, "linked").await;
    let page = org.list(&[("fields", "name,address.city"), ("sort", "-age,name"), ("limit", "2")]).await.success(200);
    assert_eq!(
        page.body["documents"],
        json!([
            { "_id": 2, "name": "Grace", "address": { "city": "New York" } },
            { "_id": 3, "name": "Linus" },
        ])
    );
    let link =
        page.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a link");
    let next = server.get(link).bearer(&org.token).send().await.success(200);
    assert_eq!(
        next.body["documents"],
        json!([{ "_id": 1, "name": "Ada", "address": { "city": "London" } }, { "_id": 4, "name": "Barbara" }])
    );
    assert_eq!((&next.body["next"], next.header("link")), (&Value::Null, ""));
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_query_and_organization_alone() {
    let server = Server::start().await;
    let (org, other) = (with_people(&server, "cursors").await, with_people(&server, "others").await);
    let query = [("sort", "name"), ("limit", "1"), ("filter", "{\"_id\":{\"$gt\":0}}")];
    let next = org.list(&query).await.success(200).body["next"].as_str().expect("a cursor").to_owned();
    let with = |parameters: [(&'static str, &'static str); 3]| [parameters.as_slice(), &[("cursor", "")]].concat();
    let ask = async |org: &Org<'_>, mut query: Vec<(&str, &str)>, cursor: &str| {
        let last = query.len() - 1;
        let mut owned: Vec<(String, String)> = query.drain(..).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        owned[last].1 = cursor.to_owned();
        let borrowed: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        org.list(&borrowed).await
    };
    ask(&org, with(query), &next).await.success(200);
    // A cursor does not depend on the page's size.
    ask(&org, with([query[0], ("limit", "3"), query[2]]), &next).await.success(200);
    ask(&other, with(query), &next).await.invalid(&["?cursor invalid_cursor"]);
    ask(&org, with([("sort", "-name"), query[1], query[2]]), &next).await.invalid(&["?cursor invalid_cursor"]);
    ask(&org, with([query[0], query[1], ("filter", "{}")]), &next).await.invalid(&["?cursor invalid_cursor"]);
    let altered = format!("{}{}", if next.starts_with('A') { 'B' } else { 'A' }, &next[1..]);
    ask(&org, with(query), &altered).await.invalid(&["?cursor invalid_cursor"]);
}

#[tokio::test]
async fn pages_hold_still_while_others_write() {
    let server = Server::start().await;
    let org = Org::new(&server, "still").await;
    let lines: Vec<String> = (0..100).map(|n| json!({ "_id": n * 2, "group": n % 7 }).to_string()).collect();
    org.import(lines.join("\n")).await;
    let (mut seen, mut cursor, mut round) = (Vec::new(), None::<String>, 0);
    loop {
        let mut parameters = vec![("sort", "-group"), ("limit", "9")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = org.list(&parameters).await.success(200);
        seen.extend(
            page.body["documents"].as_array().expect("a list").iter().filter_map(|found| found["_id"].as_i64()),
        );
        // Documents are added and deleted before and after the page.
        org.insert(&json!({ "_id": round * 2 + 1, "group": round % 7 })).await.success(201);
        org.call("DELETE", &format!("documents/{}", round * 2 - 1)).send().await;
        round += 1;
        cursor = page.body["next"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    seen.retain(|id| id % 2 == 0);
    let in_order = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), in_order), (100, 100), "each document that stayed, exactly once");
}

#[tokio::test]
async fn a_field_that_holds_lists_is_no_order() {
    let server = Server::start().await;
    let org = with_people(&server, "unsortable").await;
    org.list(&[("sort", "tags")]).await.invalid(&["?sort unsortable"]);
    org.list(&[("sort", "tags"), ("filter", "{\"tags\":{\"$size\":9}}")]).await.success(200);
    org.insert(&json!({ "_id": 9, "long": "x".repeat(5_000) })).await.success(201);
    org.list(&[("sort", "-long"), ("limit", "1")]).await.invalid(&["?sort unsortable"]);
}

#[tokio::test]
async fn a_page_that_grows_too_large_ends_early_and_goes_on() {
    let server = Server::with(&[("MAX_DOCUMENT_BYTES", "8000000"), ("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "large").await;
    for id in 0..5 {
        org.insert(&json!({ "_id": id, "a": "x".repeat(5 << 20) })).await.success(201);
    }
    for id in 5..10 {
        org.insert(&json!({ "_id": id, "a": "x".repeat(300 << 10) })).await.success(201);
    }
    let shown = async |filter: &str| {
        let page = org.list(&[("limit", "10"), ("filter", filter)]).await.success(200);
        assert!(page.body["next"].is_string());
        page.body["documents"].as_array().map(Vec::len)
    };
    assert_eq!(shown("{}").await, Some(1), "one is always shown");
    assert_eq!(shown("{\"_id\":{\"$gte\":5}}").await, Some(3), "as many as a mebibyte holds");
    let all: Vec<i64> = (0..10).collect();
    assert_eq!(org.ids_page_by_page(&[("limit", "10"), ("fields", "_id")]).await, all);
}

#[tokio::test]
async fn a_query_that_takes_too_long_says_so() {
    let mongod = Mongod::with_fail_points().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let org = with_people(&server, "slow").await;
    for (command, path) in [("find", "documents"), ("find", "export"), ("aggregate", "documents?count=true")] {
        // Recognizing the caller is an aggregation too, and comes first.
        let mode = if command == "aggregate" {
            doc! { "skip": 1 }
        } else {
            doc! { "times": 1 }
        };
        mongod.fail(&[command], mode, doc! { "errorCode": 50 }).await;
        let answer = org.get(path).await.problem(503, "query_too_slow");
        assert_eq!(answer.header("retry-after"), "1");
        mongod.fail(&[command], "off", doc! {}).await;
    }
}
