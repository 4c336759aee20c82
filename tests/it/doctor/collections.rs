//! Collections that are missing, misplaced, replaced, foreign or orphaned.

use bson::{Bson, Document, doc, oid::ObjectId};
use serde_json::json;

use super::{Patient, about_org};

#[tokio::test]
async fn a_collection_that_is_gone_is_reported() {
    let patient = Patient::new().await;
    patient.collection("org_acme").drop().await.expect("dropped");
    patient.assert_reported(&[("collection_gone", patient.acme(&json!({ "collection": "org_acme" })))]).await;
}

#[tokio::test]
async fn a_collection_of_a_restored_backup_is_adopted_and_tagged() {
    let patient = Patient::new().await;
    let before = patient.org(patient.acme).await;
    patient.collection("org_acme").drop().await.expect("dropped");
    patient.collection("org_acme").insert_one(doc! { "_id": "restored" }).await.expect("stored");
    patient.assert_repaired(&[("collection_replaced", patient.acme(&json!({ "collection": "org_acme" })))]).await;
    let after = patient.org(patient.acme).await;
    assert_ne!(after.get("collection_uuid"), before.get("collection_uuid"));
    let generation = |org: &Document| org.get_i64("generation").expect("a number");
    assert_eq!(generation(&after), generation(&before) + 1);
    assert_eq!(patient.collection("org_acme").count_documents(doc! {}).await.expect("a count"), 1);
}

#[tokio::test]
async fn a_restored_collection_with_its_own_tag_and_schema_is_adopted_as_it_is() {
    let patient = Patient::new().await;
    patient.collection("org_acme").drop().await.expect("dropped");
    let validator = doc! { "$comment": format!("owner:{}", patient.acme), "$jsonSchema": { "bsonType": "object" } };
    patient.command("", doc! { "create": "org_acme", "validator": &validator }).await;
    patient.assert_repaired(&[("collection_replaced", patient.acme(&json!({ "collection": "org_acme" })))]).await;
    let mut found = patient.database.list_collections().filter(doc! { "name": "org_acme" }).await.expect("listed");
    assert!(found.advance().await.expect("one"));
    assert_eq!(found.deserialize_current().expect("readable").options.validator, Some(validator));
}

#[tokio::test]
async fn a_collection_that_is_somebody_elses_is_not_adopted() {
    let patient = Patient::new().await;
    patient.collection("org_acme").drop().await.expect("dropped");
    let tag = format!("owner:{}", ObjectId::new());
    patient.command("", doc! { "create": "org_acme", "validator": { "$comment": tag } }).await;
    patient.assert_reported(&[("collection_replaced", patient.acme(&json!({ "collection": "org_acme" })))]).await;

    // `other`'s own collection, under the name of `acme`'s.
    patient.collection("org_acme").drop().await.expect("dropped");
    patient.rename_collection("org_other", "org_acme").await;
    let other = about_org(patient.other, "other", &json!({ "collection": "org_other" }));
    let acme = patient.acme(&json!({ "collection": "org_acme" }));
    let found = patient.findings(false).await;
    assert_eq!(found[0], ("collection_misplaced".to_owned(), other, true, false));
    assert_eq!(found[1], ("collection_replaced".to_owned(), acme.clone(), false, false));
    // Once it is back, the doctor sees that `acme`'s is gone.
    patient.findings(true).await;
    assert_eq!(patient.findings(false).await, [("collection_gone".to_owned(), acme, false, false)]);
}

#[tokio::test]
async fn a_collection_that_was_moved_by_hand_is_moved_back() {
    let patient = Patient::new().await;
    for moved_to in ["org_elsewhere", "kept"] {
        patient.rename_collection("org_acme", moved_to).await;
        patient.assert_repaired(&[("collection_misplaced", patient.acme(&json!({ "collection": "org_acme" })))]).await;
        assert_eq!(patient.collection("org_acme").count_documents(doc! {}).await.expect("a count"), 1);
    }
    let org = patient.org(patient.acme).await;
    assert_eq!(org.get_array("names").expect("names"), &[Bson::from("acme")]);
}

#[tokio::test]
async fn a_collection_stays_where_it_is_while_its_name_is_occupied() {
    let patient = Patient::new().await;
    patient.rename_collection("org_acme", "org_elsewhere").await;
    patient.collection("org_acme").insert_one(doc! { "_id": "a stranger" }).await.expect("stored");
    patient
        .assert_reported(&[
            ("collection_misplaced", patient.acme(&json!({ "collection": "org_acme" }))),
            ("collection_unowned", json!({ "collection": "org_acme" })),
        ])
        .await;
}

#[tokio::test]
async fn a_collection_says_whose_it_is_unless_a_validator_says_something_else() {
    let patient = Patient::new().await;
    let about = patient.acme(&json!({ "collection": "org_acme" }));
    patient.command("", doc! { "collMod": "org_acme", "validator": {} }).await;
    patient.assert_repaired(&[("collection_untagged", about.clone())]).await;
    patient.command("", doc! { "collMod": "org_acme", "validator": { "of": { "$exists": true } } }).await;
    patient.assert_reported(&[("collection_untagged", about.clone())]).await;
    let tag = format!("owner:{}", patient.other);
    patient.command("", doc! { "collMod": "org_acme", "validator": { "$comment": tag } }).await;
    patient.assert_reported(&[("collection_tagged_otherwise", about)]).await;
}

#[tokio::test]
async fn an_empty_collection_of_nobody_is_dropped_and_all_others_stay() {
    let patient = Patient::new().await;
    let of_nobody = doc! { "$comment": format!("owner:{}", ObjectId::new()) };
    for name in ["org_leftover", "deleted_leftover", "org_full", "unrelated"] {
        patient.command("", doc! { "create": name, "validator": &of_nobody }).await;
    }
    patient.collection("org_full").insert_one(doc! {}).await.expect("stored");
    patient.command("", doc! { "create": "org_untagged" }).await;
    let of_acme = doc! { "$comment": format!("owner:{}", patient.acme) };
    patient.command("", doc! { "create": "org_second", "validator": of_acme }).await;
    patient.collection("org_foreign").insert_one(doc! { "a": 1 }).await.expect("stored");

    let found = patient.findings(true).await;
    let finding =
        |code: &str, name: &str, is_fixed: bool| (code.to_owned(), json!({ "collection": name }), is_fixed, is_fixed);
    let unowned = ["org_foreign", "org_full", "org_second", "org_untagged"]
        .map(|name| finding("collection_unowned", name, false));
    let leftovers = ["deleted_leftover", "org_leftover"].map(|name| finding("collection_leftover", name, true));
    assert_eq!(found, [&leftovers[..], &unowned[..]].concat());
    assert_eq!(patient.findings(true).await, unowned);
    let mut names = patient.database.list_collection_names().await.expect("names");
    names.retain(|name| name.starts_with("org_") || name.starts_with("deleted_") || name == "unrelated");
    names.sort();
    let kept = ["org_acme", "org_foreign", "org_full", "org_other", "org_second", "org_untagged", "unrelated"];
    assert_eq!(names, kept);
}

#[tokio::test]
async fn organizations_that_share_a_collection_are_reported() {
    let patient = Patient::new().await;
    patient.drop_index("organizations", "collection_name_1").await;
    let other = patient.org(patient.other).await;
    let shared: Document = doc! {
        "collection_name": "org_other", "connection.collection_name": "org_other",
        "collection_uuid": other.get("collection_uuid").expect("one"),
    };
    patient.change_org(doc! { "$set": shared }).await;
    let ids = json!([patient.acme.to_hex(), patient.other.to_hex()]);
    let found = patient.findings(true).await;
    let codes: Vec<_> = found.iter().map(|(code, ..)| code.as_str()).collect();
    let expected = ["collection_tagged_otherwise", "collection_collision", "collection_unowned", "index_missing"];
    assert_eq!(codes, expected, "{found:?}");
    assert_eq!(found[1].1, json!({ "collection": "org_other", "organizations": ids }));
    assert!(found.iter().all(|(_, _, _, is_fixed)| !is_fixed), "also the index cannot be made: {found:?}");
}
