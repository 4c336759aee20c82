//! Admins without organizations and vice versa, their claims, and colliding addresses.

use bson::{Bson, doc, oid::ObjectId};
use serde_json::json;

use super::Patient;

#[tokio::test]
async fn an_admin_of_nobody_is_removed_if_this_program_made_it() {
    let patient = Patient::new().await;
    let (gone, admin) = (ObjectId::new(), ObjectId::new());
    let mut orphan = patient.admin_of(patient.acme).await;
    orphan
        .extend(doc! { "_id": admin, "organization_id": gone, "email": "o@example.com", "emails": ["o@example.com"] });
    patient.collection("admins").insert_one(&orphan).await.expect("stored");
    let about = json!({ "admin": admin.to_hex(), "organization": gone.to_hex() });
    patient.assert_repaired(&[("admin_without_organization", about.clone())]).await;

    orphan.insert("credential_version", 0_i64);
    patient.collection("admins").insert_one(&orphan).await.expect("stored");
    patient.assert_reported(&[("admin_without_organization", about)]).await;
    let unset = doc! { "$unset": { "organization_id": "" } };
    patient.collection("admins").update_one(doc! { "_id": admin }, unset).await.expect("changed");
    let about = json!({ "admin": admin.to_hex() });
    patient.assert_reported(&[("admin_without_organization", about)]).await;
}

#[tokio::test]
async fn an_organization_without_its_admin_is_reported() {
    let patient = Patient::new().await;
    let other = patient.admin_of(patient.other).await.get_object_id("_id").expect("an id");
    patient.change_org(doc! { "$set": { "admin_user_id": other } }).await;
    patient.assert_reported(&[("admin_unknown", patient.acme(&json!({})))]).await;
    patient.collection("admins").delete_one(doc! { "organization_id": patient.acme }).await.expect("deleted");
    patient.assert_reported(&[("organization_without_admin", patient.acme(&json!({})))]).await;
}

#[tokio::test]
async fn an_admin_that_cannot_be_read_is_reported_and_still_counts() {
    let patient = Patient::new().await;
    let admin = patient.admin_of(patient.acme).await.get_object_id("_id").expect("an id");
    for broken in [
        doc! { "$unset": { "password_hash": "" } },
        doc! { "$set": { "password_hash": "x", "role": 1 } },
        doc! { "$set": { "role": "admin", "emails": "a text" } },
    ] {
        patient.change_admin(broken).await;
        patient.assert_reported(&[("admin_unreadable", json!({ "admin": admin.to_hex() }))]).await;
    }
}

#[tokio::test]
async fn what_an_admin_claims_for_a_change_that_is_over_is_given_back() {
    let patient = Patient::new().await;
    let before = patient.admin_of(patient.acme).await;
    let admin = before.get_object_id("_id").expect("an id").to_hex();
    let about = patient.acme(&json!({ "admin": admin }));
    for claim in [
        doc! { "$push": { "emails": "claimed@example.com" } },
        doc! { "$set": { "claimed_by": ObjectId::new(), "change_generation": 1_i64 } },
        doc! { "$set": { "emails": [] }, "$unset": { "change_generation": "" } },
    ] {
        patient.change_admin(claim).await;
        patient.assert_repaired(&[("claim_left_over", about.clone())]).await;
        let after = patient.admin_of(patient.acme).await;
        assert_eq!(after.get_array("emails").expect("emails").as_slice(), [before.get("email").expect("one").clone()]);
        assert!(!after.contains_key("claimed_by"));
    }
}

#[tokio::test]
async fn a_claim_of_a_change_in_progress_is_left_alone() {
    let patient = Patient::new().await;
    let change = ObjectId::new();
    patient.change_admin(doc! { "$push": { "emails": "claimed@example.com" }, "$set": { "claimed_by": change } }).await;
    patient.begin_change(change, 60_000).await;
    assert_eq!(patient.findings(true).await, []);
    assert_eq!(patient.admin_of(patient.acme).await.get("claimed_by"), Some(&Bson::ObjectId(change)));
}

#[tokio::test]
async fn admins_that_share_an_email_are_reported_without_it() {
    let patient = Patient::new().await;
    patient.drop_index("admins", "emails_1").await;
    patient.drop_index("admins", "email_1").await;
    let other = patient.admin_of(patient.other).await;
    let email = other.get_str("email").expect("one");
    patient.change_admin(doc! { "$set": { "email": email, "emails": [email] } }).await;
    let acme = patient.admin_of(patient.acme).await.get_object_id("_id").expect("an id").to_hex();
    let found = patient.findings(true).await;
    let ids = json!({ "admins": [acme, other.get_object_id("_id").expect("an id").to_hex()] });
    assert_eq!(found[0], ("email_collision".to_owned(), ids, false, false));
    let indexes: Vec<_> =
        found[1..].iter().map(|(code, about, _, is_fixed)| (code.as_str(), about.clone(), *is_fixed)).collect();
    let missing = |index: &str| ("index_missing", json!({ "index": index }), false);
    assert_eq!(indexes, [missing("admins.email_1"), missing("admins.emails_1")]);
}
