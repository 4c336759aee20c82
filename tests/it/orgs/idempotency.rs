//! `Idempotency-Key`: requests repeated because their answer was lost.

use aws_lc_rs::{aead, hmac};
use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Document, doc};
use serde_json::{Value, json};

use crate::support::mongo;
use crate::support::server::{SECRET, by_name, empty_database};
use crate::support::{Answer, PASSWORD, Server};

fn acme() -> Value {
    json!({ "organization_name": "acme", "email": "a@example.com", "password": PASSWORD })
}

async fn create(server: &Server, key: &str, body: &Value) -> Answer {
    server.call("POST", "/org/create").header("idempotency-key", key).json(body).send().await
}

async fn update(server: &Server, key: &str, token: &str, body: &Value) -> Answer {
    server.call("PUT", "/org/update").bearer(token).header("idempotency-key", key).json(body).send().await
}

async fn delete(server: &Server, key: &str, token: &str, name: &str) -> Answer {
    let call = server.call("DELETE", &by_name("/org/delete", name)).bearer(token);
    call.header("idempotency-key", key).send().await
}

/// Two servers on one database.
async fn two_servers() -> (Server, Server) {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let settings = [("DELETE_GRACE_DAYS", "0")];
    (Server::over(mongod, database.clone(), &settings).await, Server::over(mongod, database, &settings).await)
}

/// The state left by a server that died after making the change, before storing the answer.
async fn forget_answers(server: &Server) {
    let lost = doc! { "$unset": { "answer": "" }, "$set": { "lease_until": DateTime::from_millis(1_000) } };
    let keys = server.documents("idempotency_keys");
    assert!(keys.update_many(doc! {}, lost).await.expect("MongoDB").modified_count > 0);
}

#[track_caller]
fn assert_same(first: &Answer, repeated: &Answer) {
    assert_eq!((first.status, &first.text), (repeated.status, &repeated.text));
    assert_eq!((first.header("idempotency-replayed"), repeated.header("idempotency-replayed")), ("", "true"));
    for header in ["content-type", "cache-control"] {
        assert_eq!(first.header(header), repeated.header(header));
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_from_any_server_and_happens_once() {
    let (one, two) = two_servers().await;
    let created = create(&one, "k1", &acme()).await.success(201);
    assert_same(&created, &create(&two, "k1", &acme()).await);
    let token = one.token("a@example.com", PASSWORD).await;

    let change = json!({ "organization_name": "acme", "new_organization_name": "b", "password": "a finer password" });
    let updated = update(&one, "k1", &token, &change).await.success(200);
    // With the token that the update revoked: the client never got the fresh one.
    assert_same(&updated, &update(&two, "k1", &token, &change).await);
    let fresh = updated.body["access_token"].as_str().expect("a token").to_owned();
    assert!(two.knows(&fresh).await);
    update(&two, "k2", &token, &change).await.problem(401, "invalid_token");

    let deleted = delete(&one, "k1", &fresh, "b").await.success(200);
    assert_same(&deleted, &delete(&two, "k1", &fresh, "b").await);
    delete(&two, "k2", &fresh, "b").await.problem(401, "invalid_token");
    assert_eq!(one.totals().await, (0, 0, 0));
    // Still the first answer, though the organization is gone by now.
    assert_same(&created, &create(&two, "k1", &acme()).await);
    assert_eq!(one.totals().await, (0, 0, 0));
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let server = Server::start().await;
    create(&server, "k", &acme()).await.success(201);
    let mut again = acme();
    again["organization_name"] = json!("other");
    let refused = create(&server, "k", &again).await.problem(422, "idempotency_key_reused");
    assert_eq!(refused.body["errors"][0]["pointer"], "Idempotency-Key");
    create(&server, "another key", &again).await.problem(400, "bad_request");
    create(&server, "another-key", &again).await.problem(409, "email_taken");
    let other = json!({ "organization_name": "other", "email": "b@example.com", "password": PASSWORD });
    create(&server, "k", &other).await.success(201);

    // A key belongs to its sender and to one call.
    let (a, b) = (server.token("a@example.com", PASSWORD).await, server.token("b@example.com", PASSWORD).await);
    for (token, name) in [(&a, "acme"), (&b, "other")] {
        let body = json!({ "organization_name": name, "new_organization_name": format!("{name} 2") });
        let answer = update(&server, "k", token, &body).await.success(200);
        assert_eq!(answer.header("idempotency-replayed"), "");
        delete(&server, "k", token, &format!("{name} 2")).await.success(200);
        delete(&server, "k", token, name).await.problem(422, "idempotency_key_reused");
    }
}

#[tokio::test]
async fn strangers_with_the_same_key_do_not_meet_and_one_address_in_another_spelling_is_the_same() {
    let server = Server::start().await;
    let of = |n: u32| json!({ "organization_name": format!("acme {n}"), "email": format!("a{n}@example.com"), "password": PASSWORD });
    for n in 0..5 {
        let created = create(&server, "1", &of(n)).await.success(201);
        assert_eq!(created.header("idempotency-replayed"), "");
    }
    for n in 0..5 {
        let replayed = create(&server, "1", &of(n)).await.success(201);
        assert_eq!(replayed.header("idempotency-replayed"), "true");
    }
    // The bytes of the body differ, and the key is the same.
    let mut spelled = of(0);
    spelled["email"] = json!("A0@Example.COM");
    create(&server, "1", &spelled).await.problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_body_is_guessed_under_a_known_key_no_faster_than_a_password_by_logging_in() {
    let server = Server::with(&[("LOGIN_ATTEMPTS_PER_MINUTE", "3")]).await;
    create(&server, "1", &acme()).await.success(201);
    let guess = async |password: &str| {
        let mut body = acme();
        body["password"] = json!(password);
        create(&server, "1", &body).await
    };
    for wrong in ["a wrong password", "another password"] {
        guess(wrong).await.problem(422, "idempotency_key_reused");
    }
    // The right password counts too, or the limit would give it away.
    guess(PASSWORD).await.success(201);
    let refused = guess(PASSWORD).await.problem(429, "too_many_attempts");
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    guess("a wrong password").await.problem(429, "too_many_attempts");
    server.log_in("a@example.com", PASSWORD).await.problem(429, "too_many_attempts");
    // Neither other clients nor new keys are affected.
    let other = json!({ "organization_name": "other", "email": "b@example.com", "password": PASSWORD });
    create(&server, "1", &other).await.success(201);
    create(&server, "2", &acme()).await.problem(409, "organization_exists");
}

/// Copies a key so many times, for the same owner.
async fn multiply(server: &Server, more: usize) {
    let keys = server.documents("idempotency_keys");
    let one = keys.find_one(doc! {}).await.expect("MongoDB").expect("a key");
    let copies = (0..more).map(|n| {
        let mut copy = one.clone();
        copy.insert("_id", Binary { subtype: BinarySubtype::Generic, bytes: n.to_be_bytes().to_vec() });
        copy
    });
    keys.insert_many(copies).await.expect("MongoDB");
}

#[tokio::test]
async fn an_organization_has_a_bounded_number_of_keys_and_takes_none_from_others() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    let rename = |from: &str, to: &str| json!({ "organization_name": from, "new_organization_name": to });
    let first = update(&server, "first", &acme.token, &rename("acme", "acme 1")).await.success(200);
    multiply(&server, 998).await;
    update(&server, "last", &acme.token, &rename("acme 1", "acme 2")).await.success(200);
    let keys = server.documents("idempotency_keys");
    let refused = update(&server, "k", &acme.token, &rename("acme 2", "acme 3")).await;
    let refused = refused.problem(429, "too_many_idempotency_keys");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((80_000..=86_401).contains(&wait), "{wait}");
    delete(&server, "k", &acme.token, "acme 2").await.problem(429, "too_many_idempotency_keys");
    assert_eq!(keys.count_documents(doc! {}).await.expect("MongoDB"), 1_000, "what was refused is not kept");
    // Stored answers still come, requests without a key still run, and other clients are not affected.
    assert_same(&first, &update(&server, "first", &acme.token, &rename("acme", "acme 1")).await);
    server.update(&acme.token, &rename("acme 2", "acme 3")).await.success(200);
    update(&server, "k", &other.token, &rename("other", "other 1")).await.success(200);
    // An expired key makes room, even before MongoDB has removed it.
    let over = doc! { "$set": { "expires_at": DateTime::from_millis(1_000) } };
    let spent = doc! { "answer": { "$exists": true }, "_id": Binary { subtype: BinarySubtype::Generic, bytes: 7_usize.to_be_bytes().to_vec() } };
    assert_eq!(keys.update_one(spent, over).await.expect("MongoDB").modified_count, 1);
    update(&server, "k", &acme.token, &rename("acme 3", "acme 4")).await.success(200);
}

#[tokio::test]
async fn an_answer_that_changed_nothing_is_not_kept() {
    let server = Server::start().await;
    let tenant = server.tenant("acme").await;
    let same = json!({ "organization_name": "acme", "email": tenant.email, "password": PASSWORD });
    let unchanged = update(&server, "k", &tenant.token, &same).await.success(200);
    assert!(unchanged.body.get("change_id").is_none(), "{}", unchanged.text);
    assert_eq!(server.count("idempotency_keys").await, 0);
    // Its key is free again.
    let rename = json!({ "organization_name": "acme", "new_organization_name": "b" });
    let renamed = update(&server, "k", &tenant.token, &rename).await.success(200);
    assert_same(&renamed, &update(&server, "k", &tenant.token, &rename).await);
}

#[tokio::test]
async fn many_repetitions_at_once_make_one_change_and_all_hear_of_it() {
    let (one, two) = two_servers().await;
    let body = acme();
    let creates = (0..10).map(|n| create(if n % 2 == 0 { &one } else { &two }, "k", &body));
    let answers = futures_util::future::join_all(creates).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text == answers[0].text), "{answers:?}");
    assert_eq!(one.totals().await, (1, 1, 1));
    let token = one.token("a@example.com", PASSWORD).await;
    let body = json!({ "organization_name": "acme", "new_organization_name": "globex" });
    let renames = (0..10).map(|n| update(if n % 2 == 0 { &one } else { &two }, "k", &token, &body));
    let answers = futures_util::future::join_all(renames).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text == answers[0].text), "{answers:?}");
}

#[tokio::test]
async fn a_refused_request_changed_nothing_and_its_key_is_free() {
    let server = Server::start().await;
    let tenant = server.tenant("acme").await;
    let mut body = acme();
    create(&server, "k", &body).await.problem(409, "organization_exists");
    body["organization_name"] = json!("free");
    create(&server, "k", &body).await.success(201);
    let body = |name: &str| json!({ "organization_name": "acme", "new_organization_name": name });
    update(&server, "k", &tenant.token, &body("free")).await.problem(409, "new_name_taken");
    update(&server, "k", &tenant.token, &json!({})).await.invalid(&["/organization_name required"]);
    update(&server, "k", &tenant.token, &body("globex")).await.success(200);
}

#[tokio::test]
async fn a_server_that_died_before_it_wrote_the_answer_down_is_spoken_for_by_the_change_itself() {
    let (one, two) = two_servers().await;
    let created = create(&one, "k", &acme()).await.success(201);
    forget_answers(&one).await;
    assert_same(&created, &create(&two, "k", &acme()).await);
    let token = one.token("a@example.com", PASSWORD).await;

    let change = json!({ "organization_name": "acme", "new_organization_name": "b", "password": "a finer password" });
    let updated = update(&one, "k", &token, &change).await.success(200);
    forget_answers(&one).await;
    let repeated = update(&two, "k", &token, &change).await.success(200);
    assert_eq!(repeated.body["change_id"], updated.body["change_id"]);
    let fresh = repeated.body["access_token"].as_str().expect("a token").to_owned();
    assert!(one.knows(&fresh).await);

    let deleted = delete(&one, "k", &fresh, "b").await.success(200);
    forget_answers(&one).await;
    assert_same(&deleted, &delete(&two, "k", &fresh, "b").await);
}

#[tokio::test]
async fn a_server_that_died_before_it_did_anything_is_no_obstacle() {
    let (one, two) = two_servers().await;
    create(&one, "k", &acme()).await.success(201);
    let token = one.token("a@example.com", PASSWORD).await;
    delete(&one, "d", &token, "acme").await.success(200);
    forget_answers(&one).await;
    // Its organization does not exist, so it was never made. It is made now, once.
    let created = create(&two, "k", &acme()).await.success(201);
    assert_same(&created, &create(&one, "k", &acme()).await);
    assert_eq!(one.totals().await, (1, 1, 1));
}

#[tokio::test]
async fn a_key_is_one_short_visible_word() {
    let server = Server::start().await;
    for key in ["", "with space", &"x".repeat(256), "é"] {
        let call = server.call("POST", "/org/create").header("idempotency-key", key).json(&acme());
        call.send().await.problem(400, "bad_request");
    }
    assert_eq!(server.totals().await, (0, 0, 0));
    create(&server, &"x".repeat(255), &acme()).await.success(201);
}

#[tokio::test]
async fn nothing_of_a_request_can_be_read_in_what_is_kept_of_it() {
    let server = Server::start().await;
    create(&server, "my-own-key", &acme()).await.success(201);
    let kept = server.documents("idempotency_keys").find_one(doc! {}).await.expect("MongoDB").expect("kept");
    let bytes = kept.to_vec().expect("BSON");
    for secret in ["my-own-key", "a@example.com", "acme", PASSWORD] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    let indexes: Vec<_> = server.documents("idempotency_keys").list_index_names().await.expect("MongoDB");
    assert!(indexes.contains(&"expires_at_1".to_owned()), "they go after a day");
    assert!(indexes.contains(&"owner_1_expires_at_1".to_owned()), "they are counted without reading them all");
}

#[tokio::test]
async fn a_token_that_was_ended_by_somebody_else_gets_no_answer_to_its_former_requests() {
    let server = Server::with(&[("DELETE_GRACE_DAYS", "7")]).await;
    let stolen = server.tenant("acme").await;
    let rename = json!({ "organization_name": "acme", "new_organization_name": "b" });
    let renamed = update(&server, "k", &stolen.token, &rename).await.success(200);
    forget_answers(&server).await;
    assert_same(&renamed, &update(&server, "k", &stolen.token, &rename).await);
    forget_answers(&server).await;
    let password = json!({ "organization_name": "b", "password": "a finer password" });
    let fresh = server.update(&stolen.token, &password).await.success(200);
    update(&server, "k", &stolen.token, &rename).await.problem(401, "invalid_token");
    let fresh = fresh.body["access_token"].as_str().expect("a token");
    server.delete(fresh, "b").await.success(200);
    update(&server, "k", &stolen.token, &rename).await.problem(401, "invalid_token");
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// HKDF (RFC 5869) without a salt, one block.
fn derive(purpose: &str) -> Vec<u8> {
    hmac(&hmac(&[0; 32], SECRET.as_bytes()), &[purpose.as_bytes(), &[1]].concat())
}

fn code(parts: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<_> = parts.iter().map(|part| [&(part.len() as u64).to_be_bytes(), *part].concat()).collect();
    hmac(&derive("tenantry idempotency code v1"), &parts.concat())
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// An answer as stored, encrypted with this code's key.
fn sealed(key: &[u8], answer: &Value) -> Binary {
    let mut text = answer.to_string().into_bytes();
    let cipher = aead::UnboundKey::new(&aead::AES_256_GCM, &derive("tenantry idempotent answer v1")).expect("a key");
    let nonce = aead::Nonce::assume_unique_for_key([7; 12]);
    aead::LessSafeKey::new(cipher).seal_in_place_append_tag(nonce, aead::Aad::from(key), &mut text).expect("sealed");
    binary([&[7; 12], text.as_slice()].concat())
}

/// A stored key, in the format used since the first version, of an attempt that created this organization and died.
fn stored(key: &str, body: &Value, made: &Answer) -> Document {
    let email = body["email"].as_str().expect("an email").as_bytes();
    let id = |id: &Value| ObjectId::parse_str(id.as_str().expect("an id")).expect("an id");
    doc! {
        "_id": binary(code(&[b"create_organization", email, key.as_bytes()])),
        "owner": binary(code(&[b"email", email])),
        "fingerprint": binary(code(&[body.to_string().as_bytes()])),
        "org_id": id(&made.body["organization"]["id"]),
        "change_id": id(&made.body["change_id"]),
        "expires_at": DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000),
        "attempt": 1_i64,
        "holder": ObjectId::new(),
        "lease_until": DateTime::from_millis(1_000),
    }
}

#[tokio::test]
async fn an_operator_who_repeats_creations_is_not_taken_for_somebody_who_guesses() {
    let token = "Vt8mK2xQ5rZ9nB4cH7jL1pW6sD3gF0yA";
    let settings = [("REGISTRATION", "token"), ("REGISTRATION_TOKEN", token), ("LOGIN_ATTEMPTS_PER_MINUTE", "1")];
    let server = Server::with(&settings).await;
    for _ in 0..5 {
        let call = server.call("POST", "/org/create").bearer(token).header("idempotency-key", "k");
        call.json(&acme()).send().await.success(201);
    }
}

#[tokio::test]
async fn keys_are_understood_as_every_version_has_stored_them() {
    let server = Server::start().await;
    let keys = server.documents("idempotency_keys");
    let made = server.create("acme", "a@example.com", PASSWORD).await.success(201);

    let mut answered = stored("answered", &acme(), &made);
    let key = code(&[b"create_organization", b"a@example.com", b"answered"]);
    answered.insert("answer", sealed(&key, &json!({ "status": 201, "body": made.text })));
    let died = stored("died", &acme(), &made);
    let mut late = stored("late", &acme(), &made);
    late.insert("former", vec![doc! { "org_id": late.get("org_id"), "change_id": late.get("change_id") }]);
    late.extend(doc! { "org_id": ObjectId::new(), "change_id": ObjectId::new(), "attempt": 2_i64 });
    keys.insert_many([answered, died, late]).await.expect("stored");
    // Another request does not hold the key of one that died.
    let mut other = acme();
    other["organization_name"] = json!("other");
    create(&server, "died", &other).await.problem(422, "idempotency_key_reused");
    for key in ["answered", "died", "late"] {
        assert_same(&made, &create(&server, key, &acme()).await);
    }

    // A change that was undone did nothing.
    let mut undone = stored("undone", &acme(), &made);
    let (id, at) = (ObjectId::new(), DateTime::now());
    undone.insert("change_id", id);
    keys.insert_one(undone).await.expect("stored");
    let entry =
        doc! { "id": id, "kind": "rename", "started_at": at, "finished_at": at, "attempts": 1_i64, "error": "busy" };
    let push = doc! { "$push": { "history": entry } };
    server.documents("organizations").update_one(doc! {}, push).await.expect("MongoDB");
    create(&server, "undone", &acme()).await.problem(409, "organization_exists");

    // One that did nothing is carried out, and what is stored then is of the same shape.
    let free = json!({ "organization_name": "free", "email": "b@example.com", "password": PASSWORD });
    let mut nothing = stored("nothing", &free, &made);
    nothing.extend(doc! { "org_id": ObjectId::new(), "change_id": ObjectId::new() });
    keys.insert_one(&nothing).await.expect("stored");
    let created = create(&server, "nothing", &free).await.success(201);
    assert_eq!(created.header("idempotency-replayed"), "");
    let now = keys.find_one(doc! { "_id": nothing.get("_id") }).await.expect("MongoDB").expect("kept");
    let first = doc! { "org_id": nothing.get("org_id"), "change_id": nothing.get("change_id") };
    assert_eq!(now.get_array("former").expect("a list"), &[first.into()]);
    assert_eq!(now.get_i64("attempt").ok(), Some(2));
    let id = |field| now.get_object_id(field).expect("an id").to_hex();
    assert_eq!(
        (id("org_id").as_str(), id("change_id").as_str()),
        (
            created.body["organization"]["id"].as_str().expect("an id"),
            created.body["change_id"].as_str().expect("an id"),
        )
    );
    let fields = |document: &Document| document.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    nothing.extend(doc! { "answer": null, "former": null });
    assert_eq!(fields(&now), fields(&nothing));
    assert_same(&created, &create(&server, "nothing", &free).await);

    // After its day it is unknown, also where MongoDB has not removed it yet.
    let over = doc! { "$set": { "expires_at": DateTime::from_millis(1_000) } };
    keys.update_one(doc! { "_id": nothing.get("_id") }, over).await.expect("MongoDB");
    create(&server, "nothing", &free).await.problem(409, "organization_exists");
}
