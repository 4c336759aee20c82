//! Organization records that are unreadable or inconsistent, their names, and stuck changes.

use bson::{Bson, DateTime, doc, oid::ObjectId};
use serde_json::json;

use super::{Patient, about_org};

impl Patient {
    /// Puts `acme` into a rename to `next`, with a lease that ends in so many milliseconds.
    pub(super) async fn begin_change(&self, id: ObjectId, lease_ms: i64) {
        let name =
            |name: &str| doc! { "organization_name": name, "slug": name, "collection_name": format!("org_{name}") };
        let now = DateTime::now().timestamp_millis();
        let change = doc! {
            "id": id, "kind": "rename", "holder": "a server", "fence": 1_i64, "step": "begin",
            "lease_until": DateTime::from_millis(now + lease_ms), "started_at": DateTime::from_millis(now),
            "from": name("acme"), "to": name("next"),
        };
        let set = doc! { "state": "renaming", "change": change, "names": ["acme", "next"] };
        self.change_org(doc! { "$set": set, "$inc": { "generation": 1_i64 } }).await;
    }
}

#[tokio::test]
async fn an_organization_that_cannot_be_read_is_reported_and_still_has_its_collection() {
    let patient = Patient::new().await;
    for broken in [
        doc! { "$unset": { "names": "" } },
        doc! { "$set": { "names": ["acme"], "generation": "one" } },
        doc! { "$set": { "generation": 0_i64, "state": "lost" }, "$unset": { "collection_uuid": "" } },
    ] {
        patient.change_org(broken).await;
        let about = json!({ "organization": patient.acme.to_hex() });
        patient.assert_reported(&[("organization_unreadable", about)]).await;
    }
}

#[tokio::test]
async fn an_organization_that_contradicts_itself_is_reported() {
    let patient = Patient::new().await;
    let sound = patient.org(patient.acme).await;
    for contradiction in [
        doc! { "$set": { "state": "renaming" } },
        doc! { "$set": { "organization_name": "acme", "connection.collection_name": "org_next" } },
        doc! { "$set": { "state": "deleted" } },
        doc! { "$set": { "slug": "next", "names": ["next"] } },
    ] {
        patient.change_org(contradiction.clone()).await;
        let reported = ("organization_contradictory", patient.acme(&json!({})));
        patient.assert_reported(&[reported]).await;
        patient.collection("organizations").replace_one(doc! { "_id": patient.acme }, &sound).await.expect("restored");
    }
    assert_eq!(patient.findings(false).await, []);
}

#[tokio::test]
async fn the_names_of_an_organization_are_listed_anew() {
    let patient = Patient::new().await;
    let in_a_day = DateTime::from_millis(DateTime::now().timestamp_millis() + 86_400_000);
    let past = DateTime::from_millis(0);
    let cooling = |slug: &str, until: DateTime| doc! { "slug": slug, "until": until };
    patient.change_org(doc! { "$set": { "cooling": [cooling("cool", in_a_day), cooling("over", past)] } }).await;
    let about = patient.acme(&json!({}));
    // A name whose time is over may be listed or not.
    patient.change_org(doc! { "$set": { "names": ["acme", "cool"] } }).await;
    assert_eq!(patient.findings(false).await, []);
    for names in [vec!["acme"], vec!["cool", "over"], vec!["acme", "cool", "claimed"]] {
        patient.change_org(doc! { "$set": { "names": names } }).await;
        patient.assert_repaired(&[("names_wrong", about.clone())]).await;
        let names = patient.org(patient.acme).await.get_array("names").expect("names").clone();
        assert_eq!(names, ["acme", "cool", "over"].map(Bson::from));
    }
    // Released after the doctor read it, and taken by another organization: it stays as it is.
    patient.change_org(doc! { "$set": { "names": ["cool", "over"] } }).await;
    let taken = doc! { "$push": { "names": "acme" } };
    patient.collection("organizations").update_one(doc! { "_id": patient.other }, taken).await.expect("changed");
    let found = patient.findings(true).await;
    let other = about_org(patient.other, "other", &json!({}));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&("names_wrong".to_owned(), other, true, true)), "{found:?}");
    assert_eq!(patient.findings(true).await, []);
}

#[tokio::test]
async fn organizations_that_share_a_name_are_reported() {
    let patient = Patient::new().await;
    patient.drop_index("organizations", "names_1").await;
    patient.change_org(doc! { "$set": { "names": ["acme", "other"] } }).await;
    let found = patient.findings(false).await;
    let codes: Vec<_> = found.iter().map(|(code, ..)| code.as_str()).collect();
    assert_eq!(codes, ["names_wrong", "name_collision", "index_missing"]);
    assert_eq!(found[1].1, json!({ "organizations": [patient.acme.to_hex(), patient.other.to_hex()] }));
    // Both had one cause: a name that nobody has.
    let found = patient.findings(true).await;
    assert!(found.iter().all(|(_, _, is_fixable, is_fixed)| is_fixable == is_fixed), "{found:?}");
    assert_eq!(patient.findings(false).await, []);

    patient.drop_index("organizations", "names_1").await;
    patient.drop_index("organizations", "slug_1").await;
    let same = doc! { "$set": { "organization_name": "Other", "slug": "other", "names": ["other"] } };
    patient.change_org(same).await;
    let found = patient.findings(true).await;
    let codes: Vec<_> = found.iter().map(|(code, _, _, is_fixed)| (code.as_str(), *is_fixed)).collect();
    assert_eq!(codes, [("name_collision", false), ("index_missing", false), ("index_missing", false)]);
}

#[tokio::test]
async fn a_change_that_no_server_ends_is_ended() {
    let patient = Patient::new().await;
    let change = ObjectId::new();
    patient.begin_change(change, 10_000).await;
    assert_eq!(patient.findings(true).await, [], "its lease has not run out");
    let lease = |ms: i64| DateTime::from_millis(DateTime::now().timestamp_millis() - ms);
    patient.change_org(doc! { "$set": { "change.lease_until": lease(5_000) } }).await;
    assert_eq!(patient.findings(false).await, [], "a server would have seconds to go on with it");
    patient.change_org(doc! { "$set": { "change.lease_until": lease(40_000) } }).await;
    patient.assert_repaired(&[("change_abandoned", patient.acme(&json!({})))]).await;
    let org = patient.org(patient.acme).await;
    assert_eq!((org.get("slug"), org.get("state")), (Some(&Bson::from("next")), Some(&Bson::from("active"))));
    assert_eq!(patient.collection("org_next").count_documents(doc! {}).await.expect("a count"), 1);
}

#[tokio::test]
async fn a_change_that_every_server_fails_to_end_is_reported() {
    let patient = Patient::new().await;
    patient.begin_change(ObjectId::new(), 10_000).await;
    let long_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 3_600_000);
    patient.change_org(doc! { "$set": { "change.started_at": long_ago } }).await;
    assert_eq!(patient.findings(false).await, [], "it may be slow");
    patient.change_org(doc! { "$set": { "change.fence": 5_i64 } }).await;
    patient.assert_reported(&[("change_stuck", patient.acme(&json!({})))]).await;
}

#[tokio::test]
async fn a_deletion_whose_time_is_long_over_is_ended() {
    let patient = Patient::new().await;
    let put_away = format!("deleted_{}", patient.acme);
    patient.rename_collection("org_acme", &put_away).await;
    let slug = format!("Deleted {}", patient.acme);
    let until = |ms: i64| DateTime::from_millis(DateTime::now().timestamp_millis() - ms);
    let deleted = doc! {
        "state": "deleted", "slug": &slug, "names": [&slug], "collection_name": &put_away,
        "connection.collection_name": &put_away,
        "deletion": { "organization_name": "acme", "slug": "acme", "until": until(60_000) },
    };
    patient.change_org(doc! { "$set": deleted }).await;
    assert_eq!(patient.findings(false).await, [], "a server would have had a minute");
    patient.change_org(doc! { "$set": { "deletion.until": until(4_000_000) } }).await;
    patient.assert_repaired(&[("purge_overdue", patient.acme(&json!({})))]).await;
    let left = patient.collection("organizations").count_documents(doc! {}).await.expect("a count");
    assert_eq!(left, 1);
    let names = patient.database.list_collection_names().await.expect("names");
    assert!(!names.contains(&put_away), "{names:?}");
}
