//! Credentials: claimed, set and released, including late and repeated steps and those of an overtaken server.

use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use tenantry::domain::{AdminId, ChangeId, Credentials, CredentialsChange, Email, OrgId, PasswordHash};
use tenantry::repo::RepoError;
use tenantry::repo::journal::ChangeRef;
use time::OffsetDateTime;

use super::{Store, assert_has, is_overtaken};

const NOW: DateTime = DateTime::from_millis(0);
const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

/// The admin of `acme`, who changes from `a@` to `b@`.
struct Applicant {
    store: Store,
    change: CredentialsChange,
    at: ChangeRef,
}

impl Applicant {
    async fn new() -> Self {
        let store = Store::new().await;
        let admin_id = AdminId(ObjectId::new());
        let email = Email::parse("b@example.com").expect("an address");
        let after = Credentials { email, password_hash: PasswordHash::new("$new".to_owned()), version: 2 };
        let at = ChangeRef { org_id: store.id, change_id: ChangeId::generate(), fence: 1, generation: 5 };
        let this = Self { store, change: CredentialsChange { admin_id, from_version: 1, after }, at };
        this.reset(doc! {}).await;
        this
    }

    /// The admin as first created, with these fields set.
    async fn reset(&self, fields: Document) {
        let mut admin = admin(self.change.admin_id.0, self.store.id, "a@example.com");
        admin.extend(fields);
        let of_this = doc! { "_id": self.change.admin_id.0 };
        self.store.admins.replace_one(of_this, admin).upsert(true).await.expect("stored");
    }

    async fn stored(&self) -> Document {
        self.store.admins.find_one(doc! { "_id": self.change.admin_id.0 }).await.expect("asked").expect("there")
    }

    async fn emails(&self) -> Vec<String> {
        let stored = self.stored().await;
        let emails = stored.get_array("emails").expect("emails");
        emails.iter().map(|email| email.as_str().expect("a text")[..1].to_owned()).collect()
    }

    async fn claim(&self, at: ChangeRef) -> Result<(), RepoError> {
        self.store.repos.admins.claim(at, &self.change).await
    }

    async fn commit(&self, at: ChangeRef) -> Result<(), RepoError> {
        self.store.repos.admins.commit(at, &self.change, AT).await
    }

    async fn release(&self, at: ChangeRef) -> bool {
        self.store.repos.admins.release(at, self.change.admin_id).await.expect("asked")
    }
}

fn admin(id: ObjectId, org_id: OrgId, email: &str) -> Document {
    doc! {
        "_id": id, "organization_id": org_id.0, "email": email, "emails": [email], "password_hash": "$old",
        "credential_version": 1_i64, "role": "admin", "created_at": NOW, "updated_at": DateTime::from_millis(-5_000),
    }
}

fn nothing_claimed() -> Document {
    doc! { "claimed_by": Bson::Null, "claim_fence": Bson::Null }
}

#[tokio::test]
async fn a_claim_keeps_the_old_address_and_takes_the_new_one() {
    let of = Applicant::new().await;
    // Succeeds a second time too: the first answer may have been lost.
    for _ in 0..2 {
        of.claim(of.at).await.expect("claimed");
        assert_eq!(of.emails().await, ["a", "b"]);
        let claims = doc! { "claimed_by": of.at.change_id.0, "claim_fence": 1_i64, "change_generation": 5_i64 };
        assert_has(&of.stored().await, claims);
        assert_has(&of.stored().await, doc! { "email": "a@example.com", "credential_version": 1_i64 });
    }
    of.commit(of.at).await.expect("set");
    let stored = of.stored().await;
    assert_has(&stored, doc! { "email": "b@example.com", "emails": ["b@example.com"], "password_hash": "$new" });
    assert_has(&stored, doc! { "credential_version": 2_i64, "updated_at": NOW, "committed_by": of.at.change_id.0 });
    assert_has(&stored, nothing_claimed());
    // Late steps succeed and change nothing, and what is set cannot be released.
    of.commit(of.at).await.expect("set already");
    of.claim(of.at).await.expect("set already");
    assert!(!of.release(of.at).await);
    assert_eq!(of.stored().await, stored);
}

#[tokio::test]
async fn a_claim_is_refused_when_it_is_late_or_not_for_these_credentials() {
    let of = Applicant::new().await;
    for (why, fields, is_refused) in [
        ("of the change before", doc! { "change_generation": 4_i64 }, false),
        ("of a later change", doc! { "change_generation": 6_i64 }, true),
        ("set by hand", doc! { "credential_version": 3_i64 }, true),
        (
            "set by this change, and by hand since",
            doc! { "credential_version": 9_i64, "committed_by": of.at.change_id.0 },
            false,
        ),
        ("set by a server that did not write down by which change", doc! { "credential_version": 2_i64 }, false),
        ("set by another change", doc! { "credential_version": 9_i64, "committed_by": ObjectId::new() }, true),
    ] {
        of.reset(fields).await;
        let before = of.stored().await;
        let claimed = of.claim(of.at).await;
        assert_eq!(is_overtaken(&claimed), is_refused, "{why}: {claimed:?}");
        assert_eq!(is_refused, before == of.stored().await, "{why}");
    }
    let other = admin(ObjectId::new(), of.store.id, "b@example.com");
    of.store.admins.insert_one(other).await.expect("stored");
    of.reset(doc! {}).await;
    assert!(matches!(of.claim(of.at).await, Err(RepoError::Duplicate { index }) if index == "emails_1"));
}

#[tokio::test]
async fn credentials_are_set_only_by_the_change_that_claims() {
    let of = Applicant::new().await;
    let other = ChangeRef { change_id: ChangeId::generate(), ..of.at };
    assert!(is_overtaken(&of.commit(of.at).await), "it claims nothing");
    of.claim(of.at).await.expect("claimed");
    let claimed = of.stored().await;
    assert!(is_overtaken(&of.commit(other).await));
    assert!(is_overtaken(&of.commit(ChangeRef { generation: 7, ..of.at }).await));
    assert_eq!(of.stored().await, claimed);
    // After a later change that set others, a late step learns that it is over, and sets nothing.
    of.commit(of.at).await.expect("set");
    let later = ChangeRef { change_id: ChangeId::generate(), generation: 7, ..of.at };
    let third = Credentials { version: 3, ..of.change.after.clone() };
    let third = CredentialsChange { from_version: 2, after: third, ..of.change.clone() };
    of.store.repos.admins.claim(later, &third).await.expect("claimed");
    of.store.repos.admins.commit(later, &third, AT).await.expect("set");
    let set = of.stored().await;
    assert!(is_overtaken(&of.claim(of.at).await) && is_overtaken(&of.commit(of.at).await));
    assert_eq!(of.stored().await, set);
}

#[tokio::test]
async fn what_is_given_up_is_free_and_a_claim_that_arrives_afterwards_is_refused() {
    let of = Applicant::new().await;
    // The second time, nothing was claimed before.
    for is_claimed in [true, false] {
        of.reset(doc! {}).await;
        if is_claimed {
            of.claim(of.at).await.expect("claimed");
        }
        assert!(of.release(of.at).await);
        let stored = of.stored().await;
        assert_has(&stored, nothing_claimed());
        assert_has(&stored, doc! { "emails": ["a@example.com"] });
        assert!(is_overtaken(&of.claim(of.at).await) && is_overtaken(&of.commit(of.at).await));
        assert!(of.release(of.at).await, "it has nothing to give up");
        assert_eq!(of.stored().await, stored);
    }
    // It leaves a later change's claim alone, and vice versa, however often it was resumed.
    let later = ChangeRef { change_id: ChangeId::generate(), generation: 7, ..of.at };
    of.claim(later).await.expect("claimed");
    assert!(of.release(of.at).await);
    assert_has(&of.stored().await, doc! { "claimed_by": later.change_id.0 });
    for is_claimed in [true, false] {
        of.reset(doc! {}).await;
        of.claim(ChangeRef { fence: 3, ..of.at }).await.expect("claimed");
        if is_claimed {
            of.claim(later).await.expect("claimed");
        }
        assert!(of.release(later).await);
        assert_eq!(of.emails().await, ["a"]);
        assert!(is_overtaken(&of.claim(later).await));
    }
}

#[tokio::test]
async fn a_server_that_was_overtaken_takes_no_claim_from_the_one_that_goes_on() {
    let of = Applicant::new().await;
    let overtaking = ChangeRef { fence: 2, ..of.at };
    of.claim(of.at).await.expect("claimed");
    of.claim(overtaking).await.expect("claimed again");
    // The first server's claim, sent long ago, arrives now.
    of.claim(of.at).await.expect("claimed");
    assert!(of.release(of.at).await, "there is nothing of its own");
    of.commit(overtaking).await.expect("it still holds the claim");
    assert!(!of.release(overtaking).await, "what is set can only go forward");
    // The server that resumed can release what both claimed.
    of.reset(doc! {}).await;
    of.claim(of.at).await.expect("claimed");
    assert!(of.release(overtaking).await);
    assert_eq!(of.emails().await, ["a"]);
}

#[tokio::test]
async fn a_claim_that_the_doctor_gave_back_leaves_nothing_to_a_later_change() {
    let of = Applicant::new().await;
    // Claimed by the third server to work on a change that the organization does not know: it was restored from a
    // backup older than its admin's.
    of.claim(ChangeRef { fence: 3, change_id: ChangeId::generate(), ..of.at }).await.expect("claimed");
    let seen = of.store.repos.inventory.admins().await.expect("asked").remove(0).content.expect("readable");
    let org = of.store.org().await;
    assert!(of.store.repos.admins.give_claims_back(&seen, &org).await.expect("asked"));
    assert_eq!(of.emails().await, ["a"]);
    // The next change has the same generation.
    of.claim(of.at).await.expect("claimed");
    assert!(of.release(of.at).await);
    assert_eq!(of.emails().await, ["a"], "the new address is free");
}
