//! Names that are kept, cool down, or are given up.

use bson::{Bson, DateTime, doc};
use tenantry::domain::Slug;

use super::{Store, assert_has, days, reserved};

#[tokio::test]
async fn a_name_is_freed_only_when_it_was_reserved_and_its_time_is_over() {
    let store = Store::new().await;
    let (past, future) = (days(-1), days(1));
    // The reserved name's list and time, the name to free, and the names left.
    for (list, slug, until, left) in [
        ("old_names", "was", past, &["acme"][..]),
        ("cooling", "was", past, &["acme"]),
        ("old_names", "was", future, &["acme", "was"]),
        ("cooling", "was", future, &["acme", "was"]),
        ("old_names", "acme", future, &["acme", "was"]),
    ] {
        store.reset(doc! { list: [reserved("was", until)], "names": ["acme", "was"] }).await;
        store.repos.orgs.free_expired(&Slug::of(slug)).await.expect("asked");
        assert_eq!(store.slugs("names").await, left, "{list} {slug} {until}");
        assert_eq!(store.stored().await.contains_key(list), left.len() > 1, "no empty list is kept");
    }
    // Its time is not over, so nothing changes.
    let both = [reserved("over", past), reserved("was", future)];
    store.reset(doc! { "old_names": both.as_slice(), "names": ["acme", "over", "was"] }).await;
    store.repos.orgs.free_expired(&Slug::of("was")).await.expect("asked");
    assert_eq!(store.slugs("old_names").await, ["over", "was"]);
    // Tidies both lists at once, and keeps what a change claims meanwhile.
    let fields = doc! {
        "old_names": both.as_slice(), "cooling": [reserved("cool", past), reserved("hot", future)],
        "change": { "to": { "slug": "next" } }, "names": ["acme", "over", "was", "cool", "hot", "next"],
    };
    store.set(fields).await;
    store.repos.orgs.free_expired(&Slug::of("over")).await.expect("asked");
    assert_eq!(store.slugs("names").await, ["acme", "hot", "next", "was"]);
    assert_eq!(
        (store.slugs("old_names").await, store.slugs("cooling").await),
        (vec!["was".into()], vec!["hot".into()])
    );
}

#[tokio::test]
async fn only_an_old_name_can_be_given_up_and_is_free_then() {
    let store = Store::new().await;
    let fields = doc! {
        "old_names": [reserved("first", days(1)), reserved("second", days(1)), reserved("over", days(-1))],
        "cooling": [reserved("cools", days(1))], "names": ["acme", "first", "second", "over", "cools"],
    };
    store.reset(fields).await;
    for not_old in ["acme", "cools", "nobody's"] {
        let given_up = store.repos.orgs.give_up_old_name(store.id, &Slug::of(not_old)).await;
        assert!(!given_up.expect("asked"), "{not_old}");
    }
    for (old, left) in [("first", &["acme", "cools", "second"][..]), ("second", &["acme", "cools"])] {
        assert!(store.repos.orgs.give_up_old_name(store.id, &Slug::of(old)).await.expect("asked"));
        assert_eq!(store.slugs("names").await, left);
    }
    assert!(!store.stored().await.contains_key("old_names"), "no empty list is kept");
}

#[tokio::test]
async fn the_uses_of_an_old_name_are_counted_and_the_last_of_them_is_kept() {
    let store = Store::new().await;
    store.reset(doc! { "old_names": [reserved("first", days(1)), reserved("second", days(1))] }).await;
    let (early, late) = (DateTime::from_millis(1_000), DateTime::from_millis(2_000));
    for (slug, uses, last) in [("second", 2, late), ("second", 3, early), ("acme", 9, late)] {
        store.repos.orgs.count_uses(store.id, &Slug::of(slug), uses, last).await.expect("counted");
    }
    let stored = store.stored().await;
    let names = stored.get_array("old_names").expect("names");
    let uses = |place: usize| names[place].as_document().expect("a name");
    assert_has(uses(0), doc! { "uses": 0_i64, "last_used_at": Bson::Null });
    assert_has(uses(1), doc! { "uses": 5_i64, "last_used_at": late });
}
