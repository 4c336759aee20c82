//! The steps of changes: when one may begin, who may continue it, and what it leaves behind.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use tenantry::domain::{
    AdminId, ChangeId, ChangeKind, Credentials, CredentialsChange, Email, Org, OrgId, OrgState, PasswordHash,
    PlannedChange, Slug, Title, Titles,
};
use tenantry::repo::RepoError;
use tenantry::repo::journal::ChangeRef;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, assert_has, at, change, days, is_overtaken, reserved, title};

/// The end time of changes in these tests.
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// A deleted organization's name.
fn put_away(store: &Store) -> String {
    Slug::of_deleted(store.id).as_str().to_owned()
}

fn deletion(until: DateTime) -> Document {
    doc! { "organization_name": "Was", "slug": "was", "until": until }
}

fn entries(document: &Document, list: &str) -> Vec<Document> {
    let Some(entries) = document.get(list) else { return Vec::new() };
    entries.as_array().expect("a list").iter().map(|entry| entry.as_document().expect("an entry").clone()).collect()
}

#[tokio::test]
async fn a_change_begins_only_where_it_may() {
    use ChangeKind::{Delete, Purge, Rename, Repair, Restore};
    let store = Store::new().await;
    let put_away = put_away(&store);
    let cools = |until: DateTime| doc! { "cooling": [reserved("next", until)] };
    let deleted = |until: Bson| {
        doc! { "state": "deleted", "deletion": { "organization_name": "Was", "slug": "was", "until": until } }
    };
    // The stored record, the change, and the state that it begins; `None` if it may not begin.
    for (n, (stored, kind, to, begun)) in [
        (doc! {}, Rename, Some("next"), Some("renaming")),
        (doc! {}, Repair, Some("acme"), Some("renaming")),
        (doc! {}, Delete, None, Some("deleting")),
        (doc! {}, Restore, Some("next"), None),
        (doc! {}, Purge, None, None),
        (doc! { "state": "renaming" }, Rename, Some("next"), None),
        (doc! { "state": "deleting" }, Delete, None, None),
        (doc! { "state": "provisioning" }, Rename, Some("next"), None),
        // Its own name, cooling down; the same, over; another name cooling down.
        (cools(days(1)), Rename, Some("next"), None),
        (cools(days(-1)), Rename, Some("next"), Some("renaming")),
        (cools(days(1)), Rename, Some("other"), Some("renaming")),
        (deleted(days(1).into()), Restore, Some("next"), Some("restoring")),
        (deleted(days(-1).into()), Restore, Some("next"), None),
        (deleted(days(1).into()), Repair, Some(&*put_away), Some("restoring")),
        (deleted(days(1).into()), Rename, Some("next"), None),
        (deleted(days(1).into()), Delete, None, None),
        (deleted(days(-1).into()), Purge, None, Some("deleting")),
        (deleted(days(1).into()), Purge, None, None),
        (doc! { "state": "deleted" }, Purge, None, None),
    ]
    .into_iter()
    .enumerate()
    {
        store.reset(stored).await;
        let before = store.stored().await;
        let change = change(kind, to);
        let right = store.try_begin(&change).await.expect("asked");
        let after = store.stored().await;
        let Some(state) = begun else {
            assert_eq!((right, after), (None, before), "row {n}");
            continue;
        };
        let expected = ChangeRef { org_id: store.id, change_id: change.id, fence: 1, generation: 5 };
        assert_eq!(right, Some(expected), "row {n}");
        assert_has(&after, doc! { "state": state, "generation": 5_i64, "change.id": change.id.0, "slug": "acme" });
    }
}

#[tokio::test]
async fn a_change_begins_on_the_generation_that_was_read_and_claims_the_name() {
    let store = Store::new().await;
    let read = store.org().await;
    store.set(doc! { "generation": 6_i64 }).await;
    let rename = change(ChangeKind::Rename, Some("next"));
    assert_eq!(store.repos.orgs.begin(&read, &rename, "one").await.expect("asked"), None, "it has changed since");
    // Expired names go, kept names stay, and the new name is claimed beside the old one.
    let lists = doc! {
        "old_names": [reserved("over", days(-1)), reserved("kept", days(1))],
        "cooling": [reserved("cool", days(-1)), reserved("hot", days(1))],
    };
    store.reset(lists).await;
    store.begin(&rename).await;
    assert_eq!(store.slugs("names").await, ["acme", "hot", "kept", "next"]);
    assert_eq!(
        (store.slugs("old_names").await, store.slugs("cooling").await),
        (vec!["kept".into()], vec!["hot".into()])
    );
    // By the database's clock, which is this machine's.
    let stored = store.stored().await;
    let lease = at(&stored, "change.lease_until").as_datetime().expect("a time").timestamp_millis();
    let began = at(&stored, "change.started_at").as_datetime().expect("a time").timestamp_millis();
    assert_eq!(lease - began, 15_000);
    assert!((began - DateTime::now().timestamp_millis()).abs() < 60_000);
    // No other organization gets a name that this one has or claims.
    for taken in ["acme", "next", "kept", "hot"] {
        let other = ObjectId::new();
        store.orgs.insert_one(super::org(other, "other")).await.expect("stored");
        let org = store.repos.orgs.find(OrgId(other)).await.expect("asked").expect("there");
        let refused = store.repos.orgs.begin(&org, &change(ChangeKind::Rename, Some(taken)), "one").await;
        assert!(matches!(refused, Err(RepoError::Duplicate { index }) if index == "names_1"), "{taken}");
        store.orgs.delete_one(doc! { "_id": other }).await.expect("removed");
    }
}

#[tokio::test]
async fn a_new_organization_has_its_name_to_itself_and_is_seen_when_it_is_activated() {
    let store = Store::new().await;
    let insert = async |slug: &str| {
        let Title { name, slug, collection_name } = title(slug);
        let (id, state) = (OrgId(ObjectId::new()), OrgState::Provisioning);
        let new = Org { id, name, slug, collection_name, state, ..store.org().await };
        let org = Org { generation: 0, collection_uuid: None, ..new };
        store.repos.orgs.insert_provisioning(&org, &change(ChangeKind::Create, None), "one").await
    };
    assert!(matches!(insert("acme").await, Err(RepoError::Duplicate { .. })));
    let right = insert("$next").await.expect("recorded");
    let stored = async || store.orgs.find_one(doc! { "_id": right.org_id.0 }).await.expect("asked").expect("there");
    let recorded = stored().await;
    assert_has(&recorded, doc! { "organization_name": "$next", "state": "provisioning", "change.fence": 1_i64 });
    assert!(at(&recorded, "change.lease_until").as_datetime() > Some(&DateTime::now()));

    let uuid = Uuid::new_v4();
    store.repos.orgs.record_collection(right, uuid).await.expect("recorded");
    store.repos.orgs.activate(right).await.expect("activated");
    let active = stored().await;
    assert_has(
        &active,
        doc! { "state": "active", "generation": 1_i64, "collection_uuid": bson::Uuid::from_uuid_1(uuid), "change": Bson::Null },
    );
    assert!(at(&active, "name_since").as_datetime() > Some(&days(-1)));
    // Late steps.
    let orgs = &store.repos.orgs;
    let late = [orgs.record_collection(right, Uuid::new_v4()).await, orgs.activate(right).await];
    assert!(late.iter().all(is_overtaken), "{late:?}");
    assert_eq!(stored().await, active);
}

/// All steps of a change, in order.
async fn every_step(store: &Store, right: ChangeRef, change: &PlannedChange) -> Vec<Result<(), RepoError>> {
    let orgs = &store.repos.orgs;
    vec![
        orgs.renew(right, "a step").await,
        orgs.renew_uncertain(right, "a step").await,
        orgs.record_collection(right, Uuid::new_v4()).await,
        orgs.activate(right).await,
        orgs.finish_move(right, change, NOW).await,
        orgs.undo_move(right, change, "why").await,
        orgs.mark_deleting(right).await,
        orgs.remove(right).await,
    ]
}

#[tokio::test]
async fn no_step_of_a_server_that_was_overtaken_or_of_another_change_does_anything() {
    let store = Store::new().await;
    for state in ["provisioning", "renaming", "restoring", "deleting"] {
        store.reset(doc! {}).await;
        let rename = change(ChangeKind::Rename, Some("next"));
        let right = store.begin(&rename).await;
        store.set(doc! { "state": state, "change.fence": 2_i64 }).await;
        let before = store.stored().await;
        let overtaking = ChangeRef { fence: 2, ..right };
        for (whose, right) in [
            ("overtaken", right),
            ("of a fence to come", ChangeRef { fence: 3, ..right }),
            ("of another change", ChangeRef { change_id: ChangeId::generate(), ..overtaking }),
            ("of another organization", ChangeRef { org_id: OrgId(ObjectId::new()), ..overtaking }),
        ] {
            let steps = every_step(&store, right, &rename).await;
            assert!(steps.iter().all(is_overtaken), "{state} {whose}: {steps:?}");
            assert_eq!(store.stored().await, before, "{state} {whose}");
        }
    }
}

#[tokio::test]
async fn each_step_belongs_to_its_states() {
    let store = Store::new().await;
    let rename = change(ChangeKind::Rename, Some("next"));
    // Renew twice, record, activate, finish, undo, mark, remove.
    for (state, may) in [
        ("provisioning", [true, true, true, true, false, false, true, false]),
        ("renaming", [true, true, false, false, true, true, true, false]),
        ("restoring", [true, true, false, false, false, false, true, false]),
        ("deleting", [true, true, false, false, false, false, true, true]),
    ] {
        for (step, may) in may.into_iter().enumerate() {
            store.reset(doc! {}).await;
            let right = store.begin(&rename).await;
            store.set(doc! { "state": state }).await;
            let orgs = &store.repos.orgs;
            let taken = match step {
                0 => orgs.renew(right, "a step").await,
                1 => orgs.renew_uncertain(right, "a step").await,
                2 => orgs.record_collection(right, Uuid::new_v4()).await,
                3 => orgs.activate(right).await,
                4 => orgs.finish_move(right, &rename, NOW).await,
                5 => orgs.undo_move(right, &rename, "why").await,
                6 => orgs.mark_deleting(right).await,
                _ => {
                    let removed = orgs.remove(right).await;
                    if removed.is_ok() {
                        store.orgs.insert_one(&store.made).await.expect("stored");
                    }
                    removed
                }
            };
            assert_eq!(taken.is_ok(), may, "{state} {step}: {taken:?}");
            assert!(may || is_overtaken(&taken), "{state} {step}: {taken:?}");
        }
    }
}

#[tokio::test]
async fn a_change_is_overtaken_once_its_lease_ran_out_and_only_once() {
    let store = Store::new().await;
    let rename = change(ChangeKind::Rename, Some("next"));
    let resume = async || store.repos.orgs.resume(store.id, "$two").await.expect("asked");
    let found = async || store.repos.orgs.find_abandoned().await.expect("asked");
    store.begin(&rename).await;
    assert!(resume().await.is_none() && found().await.is_empty(), "its lease runs");
    for (fields, is_abandoned) in [
        (doc! { "change.lease_until": days(-1) }, true),
        (doc! { "change.lease_until": days(-1), "state": "provisioning" }, true),
        (doc! { "change.lease_until": days(-1), "state": "restoring" }, true),
        (doc! { "change.lease_until": days(-1), "state": "deleting" }, true),
        (doc! { "change.lease_until": days(-1), "state": "active" }, false),
        (doc! { "change.lease_until": days(-1), "state": "deleted" }, false),
        (doc! { "change.lease_until": Bson::Null, "state": "renaming" }, false),
    ] {
        store.set(doc! { "change.fence": 1_i64, "change.holder": "one" }).await;
        store.set(fields.clone()).await;
        assert_eq!(found().await, if is_abandoned { vec![store.id] } else { Vec::new() }, "{fields}");
        let taken = resume().await;
        assert_eq!(taken.is_some(), is_abandoned, "{fields}");
        let fence = if is_abandoned { 2_i64 } else { 1 };
        let holder = if is_abandoned { "$two" } else { "one" };
        assert_has(&store.stored().await, doc! { "change.fence": fence, "change.holder": holder });
        assert_eq!(taken.map(|(at, ..)| at.fence), is_abandoned.then_some(2));
        assert!(resume().await.is_none(), "somebody was faster");
    }
}

#[tokio::test]
async fn a_lease_is_renewed_for_the_step_that_follows() {
    let store = Store::new().await;
    let right = store.begin(&change(ChangeKind::Rename, Some("next"))).await;
    let runs = async || at(&store.stored().await, "change.lease_until").as_datetime() > Some(&DateTime::now());
    for is_uncertain in [Bson::Boolean(false), Bson::Boolean(true)] {
        store.set(doc! { "change.lease_until": days(-1) }).await;
        if is_uncertain == Bson::Boolean(true) {
            store.repos.orgs.renew_uncertain(right, "$step").await.expect("renewed");
        } else {
            store.repos.orgs.renew(right, "$step").await.expect("renewed");
        }
        assert!(runs().await);
        assert_has(&store.stored().await, doc! { "change.step": "$step", "change.is_uncertain": is_uncertain });
    }
    store.set(doc! { "change.lease_until": days(-1) }).await;
    store.repos.orgs.mark_deleting(right).await.expect("marked");
    assert!(runs().await);
    assert_has(&store.stored().await, doc! { "state": "deleting" });
}

/// What of a change may still arrive: nothing, a command of an overtaken server, or one that was never answered.
fn late() -> [(Document, bool); 3] {
    [(doc! {}, false), (doc! { "change.fence": 2_i64 }, true), (doc! { "change.is_uncertain": true }, true)]
}

#[tokio::test]
async fn a_finished_rename_is_seen_whole_and_keeps_frees_or_cools_the_old_name() {
    let store = Store::new().await;
    for (fields, cools) in late() {
        for days_kept in [0, 30] {
            // The new name is one of its old ones, and its current name is kept only once.
            let mut old = vec![reserved("next", days(1)), reserved("kept", days(1))];
            if days_kept > 0 {
                old.push(reserved("acme", days(1)));
            }
            let had = doc! { "old_names": old, "cooling": [reserved("hot", days(1))] };
            store.reset(had).await;
            let mut rename = change(ChangeKind::Rename, Some("next"));
            rename.keep_old_name_days = days_kept;
            let right = store.begin(&rename).await;
            store.set(fields.clone()).await;
            let right = ChangeRef { fence: fields.get_i64("change.fence").unwrap_or(1), ..right };
            store.repos.orgs.finish_move(right, &rename, NOW).await.expect("finished");
            let stored = store.stored().await;
            assert_has(&stored, doc! { "organization_name": "next", "slug": "next", "collection_name": "org_next" });
            assert_has(&stored, doc! { "connection.collection_name": "org_next", "connection.db_name": "x" });
            let over = doc! { "state": "active", "generation": 6_i64, "change": Bson::Null, "token_epoch": 2_i64 };
            assert_has(&stored, over);
            assert_has(&stored, doc! { "updated_at": DateTime::from_time_0_3(NOW) });
            assert!(at(&stored, "name_since").as_datetime() > Some(&days(-1)));

            assert_eq!(store.slugs("old_names").await, if days_kept > 0 { &["kept", "acme"][..] } else { &["kept"] });
            let last = entries(&stored, "old_names").pop().expect("one");
            if days_kept > 0 {
                assert_has(&last, doc! { "since": store.made.get("name_since"), "uses": 0_i64 });
                let until = at(&last, "until").as_datetime().expect("a time").timestamp_millis();
                let given_up = at(&last, "given_up_at").as_datetime().expect("a time").timestamp_millis();
                assert_eq!(until - given_up, 30 * 24 * 60 * 60 * 1_000);
            }
            assert_eq!(store.slugs("cooling").await, if cools { &["hot", "acme"][..] } else { &["hot"] });
            if cools {
                let until = at(entries(&stored, "cooling").last().expect("one"), "until");
                let left = until.as_datetime().expect("a time").timestamp_millis() - DateTime::now().timestamp_millis();
                assert!((30_000..=61_000).contains(&left), "{left}");
            }
            let is_free = days_kept == 0 && !cools;
            let names = if is_free { &["hot", "kept", "next"][..] } else { &["acme", "hot", "kept", "next"] };
            assert_eq!(store.slugs("names").await, names);
            let late = every_step(&store, right, &rename).await;
            assert!(late.iter().all(is_overtaken), "{late:?}");
            assert_eq!(store.stored().await, stored);
        }
    }
    // Nothing is left of the old name unless it is kept.
    store.reset(doc! {}).await;
    let rename = change(ChangeKind::Rename, Some("next"));
    let right = store.begin(&rename).await;
    store.repos.orgs.finish_move(right, &rename, NOW).await.expect("finished");
    assert_eq!(store.slugs("names").await, ["next"]);
    assert_has(&store.stored().await, doc! { "old_names": Bson::Null, "cooling": Bson::Null });
}

#[tokio::test]
async fn a_new_spelling_is_no_new_name() {
    let store = Store::new().await;
    store.reset(doc! { "old_names": [reserved("kept", days(1))] }).await;
    let mut spelling = change(ChangeKind::Rename, Some("acme"));
    let typed = Title { name: "$ACME".into(), ..title("acme") };
    spelling.titles = Some(Titles { from: title("acme"), to: typed });
    spelling.keep_old_name_days = 30;
    let right = store.begin(&spelling).await;
    store.set(doc! { "change.is_uncertain": true }).await;
    store.repos.orgs.finish_move(right, &spelling, NOW).await.expect("finished");
    let stored = store.stored().await;
    assert_has(&stored, doc! { "organization_name": "$ACME", "name_since": store.made.get("name_since") });
    assert_eq!(
        (store.slugs("names").await, store.slugs("old_names").await),
        (vec!["acme".into(), "kept".into()], vec!["kept".into()])
    );
    assert_has(&stored, doc! { "cooling": Bson::Null });
}

#[tokio::test]
async fn a_deletion_keeps_only_what_brings_it_back_and_a_restoration_ends_the_tokens() {
    let store = Store::new().await;
    store.reset(doc! { "old_names": [reserved("kept", days(1))] }).await;
    let away = put_away(&store);
    let mut delete = change(ChangeKind::Delete, Some(&away));
    delete.grace_days = Some(7);
    let from = Title { name: "$Acme".into(), ..title("acme") };
    delete.titles = delete.titles.map(|titles| Titles { from, ..titles });
    let right = store.begin(&delete).await;
    store.repos.orgs.finish_move(right, &delete, NOW).await.expect("deleted");
    let deleted = store.stored().await;
    assert_has(&deleted, doc! { "state": "deleted", "slug": &away, "deletion.slug": "acme", "old_names": Bson::Null });
    assert_has(&deleted, doc! { "deletion.organization_name": "$Acme", "token_epoch": 2_i64 });
    let until = at(&deleted, "deletion.until").as_datetime().expect("a time").timestamp_millis();
    assert!((until - days(7).timestamp_millis()).abs() < 60_000);
    assert_eq!(store.slugs("names").await, [away.as_str()], "its name is free");

    let mut restore = change(ChangeKind::Restore, Some("next"));
    restore.titles = Some(Titles { from: title(&away), to: title("next") });
    let right = store.begin(&restore).await;
    store.repos.orgs.finish_move(right, &restore, NOW).await.expect("restored");
    let restored = store.stored().await;
    assert_has(&restored, doc! { "state": "active", "slug": "next", "deletion": Bson::Null, "token_epoch": 3_i64 });
    assert_eq!(store.slugs("names").await, ["next"]);
    // A record without an epoch yet.
    store.reset(doc! { "state": "deleted", "deletion": deletion(days(1)), "token_epoch": Bson::Null }).await;
    let restore = change(ChangeKind::Restore, Some("next"));
    let right = store.begin(&restore).await;
    store.repos.orgs.finish_move(right, &restore, NOW).await.expect("restored");
    assert_has(&store.stored().await, doc! { "token_epoch": 1_i64 });
}

#[tokio::test]
async fn an_undone_change_leaves_everything_as_it_was_but_a_name_that_cools_down() {
    let store = Store::new().await;
    for (fields, cools) in late() {
        for (kind, stored) in [
            (ChangeKind::Rename, doc! { "cooling": [reserved("hot", days(1))] }),
            (
                ChangeKind::Restore,
                doc! { "state": "deleted", "deletion": deletion(days(1)), "cooling": [reserved("hot", days(1))] },
            ),
        ] {
            store.reset(stored).await;
            let mut before = store.stored().await;
            let change = change(kind, Some("$next"));
            let right = store.begin(&change).await;
            store.set(fields.clone()).await;
            let right = ChangeRef { fence: fields.get_i64("change.fence").unwrap_or(1), ..right };
            store.repos.orgs.undo_move(right, &change, "$why").await.expect("undone");
            let mut after = store.stored().await;
            assert_has(&after, doc! { "generation": 6_i64 });
            let history = entries(&after, "history");
            assert_eq!(history.len(), 1);
            assert_has(
                &history[0],
                doc! { "id": change.id.0, "kind": kind.name(), "error": "$why", "attempts": right.fence },
            );
            assert_eq!(store.slugs("cooling").await, if cools { &["hot", "$next"][..] } else { &["hot"] });
            assert_eq!(
                store.slugs("names").await,
                if cools { &["$next", "acme", "hot"][..] } else { &["acme", "hot"] }
            );
            for field in ["generation", "history", "cooling", "names"] {
                before.remove(field);
                after.remove(field);
            }
            assert_eq!(after, before);
        }
    }
}

#[tokio::test]
async fn of_the_changes_that_are_over_the_young_and_the_last_hundred_are_remembered() {
    let store = Store::new().await;
    let entry = |n: i32, finished_at: DateTime| {
        doc! { "id": ObjectId::new(), "n": n, "kind": "rename", "started_at": finished_at, "finished_at": finished_at }
    };
    let finish = async |history: Vec<Document>| {
        store.reset(doc! { "history": history }).await;
        let mut rename = change(ChangeKind::Rename, Some("next"));
        let email = Email::parse("a@example.com").expect("an address");
        let after = Credentials { email, password_hash: PasswordHash::new("x".to_owned()), version: 4 };
        rename.credentials = Some(CredentialsChange { admin_id: AdminId(ObjectId::new()), from_version: 3, after });
        let right = store.begin(&rename).await;
        store.repos.orgs.finish_move(right, &rename, NOW).await.expect("finished");
        let history = entries(&store.stored().await, "history");
        let last = doc! { "id": rename.id.0, "attempts": 1_i64, "credential_version": 4_i64, "error": Bson::Null };
        assert_has(history.last().expect("this one"), last);
        assert!(!format!("{history:?}").contains('@'), "no personal data");
        history.iter().filter_map(|entry| entry.get_i32("n").ok()).collect::<Vec<_>>()
    };
    assert_eq!(finish(vec![entry(1, days(-91)), entry(2, days(-89)), entry(3, days(-1))]).await, [2, 3]);
    let many: Vec<_> = (0..100).map(|n| entry(n, days(-1))).collect();
    assert_eq!(finish(many).await, (1..100).collect::<Vec<_>>());
}
