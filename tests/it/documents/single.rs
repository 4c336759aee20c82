//! One document at a time: types, ids, tags, conditions, patches.

use bson::{DateTime, Decimal128, doc};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Org;
use crate::support::Server;

#[tokio::test]
async fn what_was_stored_comes_back_equal() {
    let server = Server::start().await;
    let org = Org::new(&server, "types").await;
    let sent = json!({
        "_id": "all of them",
        "text": "π\u{0}\"\\\n", "empty": "", "yes": true, "no": false, "null": null,
        "small": 5, "large": 9_007_199_254_740_993_i64, "least": i64::MIN, "double": 5.0, "tiny": 5e-324, "huge": 1e300,
        "nan": { "$numberDouble": "NaN" }, "infinite": { "$numberDouble": "-Infinity" },
        "decimal": { "$numberDecimal": "9.990" },
        "oid": { "$oid": "691f2a3b4c5d6e7f80910a1b" },
        "date": { "$date": "2026-11-25T09:30:00.123Z" }, "before": { "$date": { "$numberLong": "-1" } },
        "binary": { "$binary": { "base64": "AAEC", "subType": "80" } },
        "regex": { "$regularExpression": { "pattern": "^a", "options": "i" } },
        "timestamp": { "$timestamp": { "t": 4_294_967_295_u32, "i": 1 } },
        "min": { "$minKey": 1 }, "max": { "$maxKey": 1 },
        "array": [1, [2, { "a.b": [] }], {}], "object": { "b": 1, "a": 2, "": 3, "_rev": 4, "_id": 5 },
    });
    let created = org.insert(&sent).await.success(201);
    assert_eq!(created.body, sent);
    let found = org.get("documents/all%20of%20them").await.success(200);
    assert_eq!((&found.body, found.header("etag")), (&sent, created.header("etag")));
    assert_eq!(org.export().await, [sent]);
    // Bypasses the server, so that an error in reading cannot hide one in writing.
    let stored = org.stored().find_one(doc! {}).await.expect("MongoDB").expect("it is there");
    let expected = doc! {
        "small": 5_i32, "large": 9_007_199_254_740_993_i64, "double": 5.0,
        "decimal": "9.990".parse::<Decimal128>().expect("a number"), "before": DateTime::from_millis(-1),
    };
    assert!(expected.iter().all(|(name, value)| stored.get(name) == Some(value)), "{stored}");
    let names: Vec<&String> = stored.keys().collect();
    assert_eq!((names[0].as_str(), names[names.len() - 1].as_str()), ("_id", "_rev"));
}

#[tokio::test]
async fn other_notations_of_the_same_values_are_understood() {
    let server = Server::start().await;
    let org = Org::new(&server, "notations").await;
    let sent = json!({
        "_id": 1,
        "long": { "$numberLong": "7" }, "int": { "$numberInt": "7" }, "double": { "$numberDouble": "7" },
        "uuid": { "$uuid": "c8edabc3-f738-4ca3-b68d-ab92a91478a3" },
        "date": { "$date": { "$numberLong": "1764063000123" } },
    });
    let shown = json!({
        "_id": 1, "long": 7, "int": 7, "double": 7.0,
        "uuid": { "$binary": { "base64": "yO2rw/c4TKO2jauSqRR4ow==", "subType": "04" } },
        "date": { "$date": "2025-11-25T09:30:00.123Z" },
    });
    assert_eq!(org.insert(&sent).await.success(201).body, shown);
    let stored = org.stored().find_one(doc! {}).await.expect("MongoDB").expect("it is there");
    assert_eq!(stored.get("long"), Some(&bson::Bson::Int64(7)));
}

#[tokio::test]
async fn bad_documents_are_refused_with_every_broken_place_and_nothing_is_stored() {
    let server = Server::start().await;
    let org = Org::new(&server, "bad").await;
    let post = async |body: &str| org.call("POST", "documents").body("application/json", body.to_owned()).send().await;
    post(r#"{"a":{"$where":1},"b":[0,{"$oid":"x"}],"_rev":1,"c":{"x\u0000":1},"d~/":{"$a":1}}"#).await.invalid(&[
        "/_rev reserved_field",
        "/a/$where reserved_field",
        "/b/1 invalid_extended_json",
        "/c/x\0 invalid_characters",
        "/d~0~1/$a reserved_field",
    ]);
    post(r#"{"a":1,"b":{"c":1,"c":2},"a":3}"#).await.invalid(&["/a repeated", "/b/c repeated"]);
    post(r#"{"a":[1e30,9223372036854775808,-9223372036854775809,18446744073709551616]}"#).await.invalid(&[
        "/a/1 number_out_of_range",
        "/a/2 number_out_of_range",
        "/a/3 number_out_of_range",
    ]);
    post(r#"{"a":{"$numberDecimal":"1.2.3"},"b":{"$date":"yesterday"},"c":{"$oid":"a","$oid":"b"}}"#).await.invalid(&[
        "/a invalid_extended_json",
        "/b invalid_extended_json",
        "/c invalid_extended_json",
        "/c/$oid repeated",
    ]);
    let long = "x".repeat(500_000);
    let answer = post(&format!("{{\"{long}\":[{}9223372036854775808]}}", "1e19,".repeat(4_000))).await;
    assert_eq!(answer.body["errors"][0]["code"], "number_out_of_range");
    assert!(answer.text.len() < 5_000, "{}", answer.text.len());
    post(r#"{"a":{"b":[1e999]}}"#).await.invalid(&["/a/b/0 number_out_of_range"]);
    post(r#"{"a":{"$timestamp":{"t":0,"i":0}},"b":[{"$timestamp":{"t":0,"i":0}}]}"#)
        .await
        .invalid(&["/a invalid_value"]);
    post("[1]").await.invalid(&[" wrong_type"]);
    for broken in ["", "{", "{} {}", "{\"a\":\"\\ud800\"}", "{'a':1}"] {
        post(broken).await.problem(400, "invalid_json");
    }
    let not_text = org.call("POST", "documents").body("application/json", b"{\"a\":\"\xff\"}".to_vec()).send().await;
    not_text.problem(400, "invalid_json");
    let levels = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    post(&levels(100)).await.success(201);
    let too_deep = post(&levels(101)).await.problem(422, "validation_failed");
    assert_eq!(too_deep.body["errors"][0]["code"], "too_deep");
    // The contents of a scope are not checked.
    post(r#"{"a":{"$code":"x","$scope":{"n":1e19}},"b":9223372036854775808}"#)
        .await
        .invalid(&["/a invalid_extended_json"]);
    post(&levels(10_000)).await.problem(422, "validation_failed");
    org.call("POST", "documents").body("text/plain", "{}").send().await.problem(415, "unsupported_media_type");
    assert_eq!(org.stored().count_documents(doc! {}).await.expect("MongoDB"), 1);
}

#[tokio::test]
async fn a_body_has_its_limit_and_a_document_has_mongodbs() {
    let server = Server::with(&[("MAX_DOCUMENT_BYTES", "2000")]).await;
    let org = Org::new(&server, "limits").await;
    org.insert(&json!({ "a": "x".repeat(1_900) })).await.success(201);
    org.insert(&json!({ "a": "x".repeat(2_000) })).await.problem(413, "body_too_large");
    let server = Server::with(&[("MAX_DOCUMENT_BYTES", "67108864"), ("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let org = Org::new(&server, "limits").await;
    let most = (16 << 20) - 100;
    org.insert(&json!({ "_id": 1, "a": "x".repeat(most) })).await.success(201);
    org.insert(&json!({ "_id": 2, "a": "x".repeat(most + 100) })).await.invalid(&[" document_too_large"]);
    let patch = org.call("PATCH", "documents/1").json(&json!({ "b": "x".repeat(100) })).send().await;
    patch.invalid(&[" document_too_large"]);
    assert_eq!(org.get("stats").await.success(200).body["documents"], 1);
}

#[tokio::test]
async fn an_id_is_a_string_an_integer_or_an_object_id_and_its_path_finds_it() {
    let server = Server::start().await;
    let org = Org::new(&server, "ids").await;
    for id in [
        json!("plain"),
        json!("a/b c?d#e%41"),
        json!("42"),
        json!("691f2a3b4c5d6e7f80910a1b"),
        json!("\"quoted\""),
        json!("{}"),
        json!(".."),
        json!("é".repeat(128)),
        json!(42),
        json!(-1),
        json!(9_007_199_254_740_993_i64),
        json!({ "$oid": "691f2a3b4c5d6e7f80910a1b" }),
    ] {
        let created = org.insert(&json!({ "_id": id, "n": 1 })).await.success(201);
        let found = server.get(created.header("location")).bearer(&org.token).send().await.success(200);
        assert_eq!(found.body["_id"], id, "{}", created.header("location"));
        org.insert(&json!({ "_id": id })).await.problem(409, "document_exists");
    }
    let made = org.insert(&json!({})).await.success(201);
    assert!(made.body["_id"]["$oid"].is_string(), "{}", made.text);
    for (id, code) in [
        (json!(""), "too_short"),
        (json!("é".repeat(129)), "too_long"),
        (json!("a\0"), "invalid_characters"),
        (json!(1.5), "wrong_type"),
        (json!(null), "wrong_type"),
        (json!([1]), "wrong_type"),
        (json!({ "a": 1 }), "wrong_type"),
    ] {
        org.insert(&json!({ "_id": id })).await.invalid(&[&format!("/_id {code}")]);
    }
    for path in ["documents/%22", "documents/%7B%22$gt%22:%22%22%7D", "documents/a%00"] {
        assert_eq!(org.get(path).await.status, 422, "{path}");
    }
    org.get("documents/%FF").await.problem(400, "bad_request");
    org.get("documents/nobody").await.problem(404, "document_not_found");
}

#[tokio::test]
async fn a_tag_tells_states_apart_and_conditions_are_kept() {
    let server = Server::start().await;
    let org = Org::new(&server, "tags").await;
    let first = org.insert(&json!({ "_id": 1, "n": 1 })).await.success(201).header("etag").to_owned();
    let get = async |header, tag: &str| org.call("GET", "documents/1").header(header, tag).send().await;
    let unchanged = get("if-none-match", &first).await.success(304);
    assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", first.as_str()));
    get("if-none-match", &format!("\"other\", W/{first}")).await.success(304);
    get("if-none-match", "\"other\"").await.success(200);
    get("if-match", "\"other\"").await.problem(412, "precondition_failed");

    let put = async |header, tag: &str| {
        org.call("PUT", "documents/1").header(header, tag).json(&json!({ "n": 2 })).send().await
    };
    put("if-match", "\"other\"").await.problem(412, "precondition_failed");
    put("if-match", &format!("W/{first}")).await.problem(412, "precondition_failed");
    let second = put("if-match", &format!("\"other\", {first}")).await.success(200);
    assert_eq!(second.body, json!({ "_id": 1, "n": 2 }));
    assert_ne!(second.header("etag"), first);
    put("if-match", &first).await.problem(412, "precondition_failed");
    put("if-match", "*").await.success(200);
    put("if-none-match", "*").await.problem(412, "precondition_failed");
    put("if-none-match", &first).await.problem(400, "bad_request");
    put("if-match", "no tag").await.problem(400, "bad_request");

    for method in ["PUT", "PATCH", "DELETE"] {
        let call = |header: Option<&str>| {
            let call = org.call(method, "documents/none");
            let call = if method == "DELETE" { call } else { call.json(&json!({})) };
            header.into_iter().fold(call, |call, tag| call.header("if-match", tag)).send()
        };
        call(None).await.problem(404, "document_not_found");
        call(Some("*")).await.problem(412, "precondition_failed");
        call(Some(&first)).await.problem(412, "precondition_failed");
    }
    let delete = async |tag: &str| org.call("DELETE", "documents/1").header("if-match", tag).send().await;
    delete(&first).await.problem(412, "precondition_failed");
    let present = org.get("documents/1").await.header("etag").to_owned();
    assert_eq!(delete(&present).await.success(204).text, "");
    org.get("documents/1").await.problem(404, "document_not_found");
}

#[tokio::test]
async fn put_creates_when_told_to_and_never_otherwise() {
    let server = Server::start().await;
    let org = Org::new(&server, "creates").await;
    let create = async |id: &str, body: Value| {
        org.call("PUT", &format!("documents/{id}")).header("if-none-match", "*").json(&body).send().await
    };
    let created = create("a%20b", json!({ "_id": "a b", "n": 1 })).await.success(201);
    assert_eq!(created.header("location"), "/org/creates/documents/a%20b");
    create("a%20b", json!({})).await.problem(412, "precondition_failed");
    create("7", json!({ "_id": "7" })).await.invalid(&["/_id contradiction"]);
    create("%7B%22$numberDouble%22:%221.5%22%7D", json!({})).await.invalid(&["{id} wrong_type"]);
    org.call("PUT", "documents/other").json(&json!({})).send().await.problem(404, "document_not_found");
    assert_eq!(org.stored().count_documents(doc! {}).await.expect("MongoDB"), 1);
}

#[tokio::test]
async fn a_patch_merges_and_keeps_what_it_does_not_name() {
    let server = Server::start().await;
    let org = Org::new(&server, "patches").await;
    let document = json!({
        "_id": 1, "keep": { "$date": "2026-11-25T09:30:00Z" }, "gone": 1, "deep": { "a": 1, "b": { "c": [1] } }, "text": "x",
    });
    org.insert(&document).await.success(201);
    let patch = json!({
        "_id": 1, "gone": null, "deep": { "a": null, "b": { "d": { "$oid": "691f2a3b4c5d6e7f80910a1b" } } },
        "text": { "now": "an object", "not": null }, "new": [null],
    });
    let patched = org.call("PATCH", "documents/1").body("application/merge-patch+json", patch.to_string()).send().await;
    let expected = json!({
        "_id": 1, "keep": { "$date": "2026-11-25T09:30:00Z" },
        "deep": { "b": { "c": [1], "d": { "$oid": "691f2a3b4c5d6e7f80910a1b" } } }, "text": { "now": "an object" },
        "new": [null],
    });
    assert_eq!(patched.success(200).body, expected);
    assert_eq!(org.get("documents/1").await.body, expected);
    let patch = async |body: Value| org.call("PATCH", "documents/1").json(&body).send().await;
    patch(json!({ "_id": 2 })).await.invalid(&["/_id contradiction"]);
    patch(json!({ "_rev": null })).await.invalid(&["/_rev reserved_field"]);
    patch(json!([])).await.invalid(&[" wrong_type"]);
    let header = org.call("PATCH", "documents/1").header("if-none-match", "*").json(&json!({})).send().await;
    header.problem(400, "bad_request");
}

#[tokio::test]
async fn of_patches_with_one_tag_exactly_one_wins_and_patches_without_lose_nothing() {
    let server = Server::start().await;
    let org = Org::new(&server, "races").await;
    let tag = org.insert(&json!({ "_id": 1 })).await.success(201).header("etag").to_owned();
    let conditional = (0..16).map(|n| {
        let call = org.call("PATCH", "documents/1").header("if-match", &tag);
        call.json(&json!({ format!("conditional{n}"): n })).send()
    });
    let statuses: Vec<u16> = join_all(conditional).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 412)), "{statuses:?}");
    // A document that must only exist may be in any state.
    let free = (0..16).map(|n| {
        let call = org.call("PATCH", "documents/1").json(&json!({ format!("free{n}"): n }));
        if n < 8 { call.send() } else { call.header("if-match", "*").send() }
    });
    for answer in join_all(free).await {
        answer.success(200);
    }
    let found = org.get("documents/1").await.body;
    let members = found.as_object().expect("an object");
    assert_eq!(members.keys().filter(|name| name.starts_with("free")).count(), 16);
    assert_eq!(members.len(), 18, "the id, one conditional patch and all others");
}

#[tokio::test]
async fn documents_of_other_programs_are_read_and_conditionally_written_before_they_have_a_revision() {
    let server = Server::start().await;
    let org = Org::new(&server, "legacy").await;
    let stored = org.stored();
    let oid = bson::oid::ObjectId::new();
    for id in [1, 2, 3, 4] {
        stored.insert_one(doc! { "_id": id, "n": id, "who": oid }).await.expect("MongoDB");
    }
    stored.insert_one(doc! { "_id": 5, "_rev": "somebody's own" }).await.expect("MongoDB");
    let tag = async |id: i32| org.get(&format!("documents/{id}")).await.success(200).header("etag").to_owned();
    let write = async |method: &str, id: i32, tag: &str| {
        let call = org.call(method, &format!("documents/{id}")).header("if-match", tag);
        if method == "DELETE" { call.send().await } else { call.json(&json!({ "n": 9 })).send().await }
    };
    for (id, method) in [(1, "PUT"), (2, "PATCH"), (3, "DELETE"), (5, "PUT")] {
        let before = tag(id).await;
        // Another writer was faster, bypassing the server.
        stored.update_one(doc! { "_id": id }, doc! { "$set": { "n": 7 } }).await.expect("MongoDB");
        write(method, id, &before).await.problem(412, "precondition_failed");
        let present = tag(id).await;
        assert_ne!(present, before);
        let written = write(method, id, &present).await;
        assert!(matches!(written.status, 200 | 204), "{}", written.text);
        write(method, id, &present).await.problem(412, "precondition_failed");
    }
    let patched = org.get("documents/2").await.success(200);
    assert_eq!(patched.body, json!({ "_id": 2, "n": 9, "who": { "$oid": oid.to_hex() } }));
    let untouched = stored.find_one(doc! { "_id": 4 }).await.expect("MongoDB").expect("it is there");
    assert!(!untouched.contains_key("_rev"), "reading writes nothing");
}

#[tokio::test]
async fn what_a_write_is_known_by_tells_nothing_of_the_writes_of_others() {
    let server = Server::start().await;
    let org = Org::new(&server, "ids").await;
    let bytes =
        |text: &str| <[u8; 12]>::try_from(hex::decode(text.trim_matches('"')).expect("hex digits")).expect("twelve");
    let (mut ids, mut revisions) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let created = org.insert(&json!({})).await.success(201);
        ids.push(bytes(created.body["_id"]["$oid"].as_str().expect("an ObjectId")));
        revisions.push(bytes(created.header("etag")));
    }
    for made in [ids, revisions] {
        assert!(made.is_sorted_by_key(|id| id[..4].to_vec()), "by the second");
        for pair in made.windows(2) {
            let tail = |id: &[u8; 12]| u64::from_be_bytes(id[4..].try_into().expect("eight"));
            // MongoDB's own ids contain five bytes for the process and a counter of three.
            assert_ne!(pair[0][4..9], pair[1][4..9], "no part of it is the process");
            assert!(tail(&pair[0]).abs_diff(tail(&pair[1])) > 1 << 30, "{pair:?} count");
        }
    }
}
