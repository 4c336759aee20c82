//! What happens when clients hang up, when MongoDB is away, hangs or is killed, and when servers die halfway.

use std::cell::Cell;
use std::time::Duration;

use bson::{DateTime, Document, doc, oid::ObjectId};
use mongodb::Database;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::mongo::{self, Mongod};
use crate::support::server::{by_name, empty_database};
use crate::support::{Answer, PASSWORD, Server, eventually};

/// How many connections MongoDB has ever accepted.
async fn connections_created(server: &Server) -> i32 {
    let status = server.database.run_command(doc! { "serverStatus": 1 }).await.expect("a status");
    status.get_document("connections").expect("connections").get_i32("totalCreated").expect("a number")
}

#[tokio::test]
async fn three_thousand_clients_that_hang_up_cost_the_others_nothing() {
    // The test's own mongod, because its connections are counted.
    let mongod = Mongod::started().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[]).await;
    let acme = server.tenant("acme").await;
    let path = by_name("/org/get", "acme");
    let before = connections_created(&server).await;
    let mut aborted = 0;
    for n in 0..60_000_u64 {
        // A new connection each time, which closes with the request's future.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let get = client.get(format!("{}{path}", server.url)).bearer_auth(&acme.token).send();
        aborted += u32::from(timeout(Duration::from_micros(n % 4_000), get).await.is_err());
        if aborted == 3_000 {
            break;
        }
    }
    assert_eq!(aborted, 3_000);
    for _ in 0..200 {
        let answer = server.get(&path).bearer(&acme.token).send().await.success(200);
        assert_eq!(answer.body["organization"]["admin"]["email"], acme.email.as_str());
    }
    // If driver futures were dropped with their requests, each would have cost a connection.
    let created = connections_created(&server).await - before;
    assert!(created < 100, "{created} connections were made");
}

#[tokio::test]
async fn a_change_whose_client_hung_up_is_finished_all_the_same() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let mut present = "acme".to_owned();
    for n in 0..30 {
        let next = format!("name {n}");
        let rename = server.rename(&acme.token, &present, &next);
        if timeout(Duration::from_micros(300 * n), rename).await.is_err() {
            let body = json!({ "organization_name": &present, "new_organization_name": &next });
            // The server may never have seen the request; then this is the first.
            eventually("it has one name or the other", async || {
                let is_renamed = server.find(&next).await.status == 200;
                is_renamed || server.update(&acme.token, &body).await.status == 200
            })
            .await;
        }
        present = next;
    }
    let active = doc! { "state": "active", "slug": "name_29", "change": { "$exists": false } };
    eventually("it is at rest", async || {
        matches!(server.documents("organizations").count_documents(active.clone()).await, Ok(1))
    })
    .await;
    assert_eq!(server.tenant_collections().await, ["org_name_29"]);
}

#[tokio::test]
async fn a_server_starts_without_mongodb_and_is_ready_when_it_comes() {
    let mut mongod = Mongod::stopped();
    let database = empty_database(&mongod).await;
    let server = Server::unready(&mongod, database, &[]);
    server.get("/health/live").send().await.success(200);
    server.get("/redoc").send().await.success(200);
    server.get("/health/ready").send().await.problem(503, "database_unavailable");
    server.find("acme").await.problem(503, "database_unavailable");
    server.create("acme", "a@example.com", PASSWORD).await.problem(503, "database_unavailable");
    server.log_in("a@example.com", PASSWORD).await.problem(503, "database_unavailable");
    server.delete("a token", "acme").await.problem(503, "database_unavailable");
    mongod.start().await;
    eventually("it is ready", async || server.get("/health/ready").send().await.status == 200).await;
    server.tenant("acme").await;
}

#[tokio::test]
async fn a_mongodb_that_hangs_is_reported_and_recovered_from() {
    let mongod = Mongod::started().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[("REQUEST_TIMEOUT_SECONDS", "3")]).await;
    let acme = server.tenant("acme").await;
    mongod.hold();
    server.get("/health/live").send().await.success(200);
    let (ready, found) = tokio::join!(server.get("/health/ready").send(), server.find("acme"));
    ready.problem(503, "database_unavailable");
    found.problem(503, "request_timeout");
    mongod.release();
    eventually("it is ready", async || server.get("/health/ready").send().await.status == 200).await;
    server.find("acme").await.success(200);
    assert!(server.knows(&acme.token).await);
}

#[tokio::test]
async fn requests_do_not_pile_up_while_mongodb_hangs() {
    let mongod = Mongod::started().await;
    let server = Server::over(&mongod, empty_database(&mongod).await, &[("MAX_RUNNING_REQUESTS", "10")]).await;
    mongod.hold();
    let address = server.url.trim_start_matches("http://").to_owned();
    // One client may take as many as it leaves free.
    let full = "\nhttp_requests_running 5\n";
    let is_full = async || {
        // Clients that hang up at once; their requests continue.
        for _ in 0..20 {
            let mut stream = TcpStream::connect(&address).await.expect("connected");
            stream.write_all(b"GET /org/get?organization_name=a HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
            stream.shutdown().await.expect("closed");
        }
        server.get("/metrics").send().await.text.contains(full)
    };
    eventually("one network has its share", is_full).await;
    server.find("a").await.problem(429, "share_used_up");
    server.get("/health/ready").send().await.problem(503, "database_unavailable");
    server.get("/health/live").send().await.success(200);
    server.get("/metrics").send().await.success(200);
    mongod.release();
    eventually("it recovers", async || server.find("a").await.status == 404).await;
}

#[tokio::test]
async fn a_collection_that_a_transaction_holds_is_waited_for_and_then_everything_is_as_it_was() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let client = server.database.client();
    let mut session = client.start_session().await.expect("a session");
    session.start_transaction().await.expect("a transaction");
    server.documents("org_acme").insert_one(doc! { "_id": 1 }).session(&mut session).await.expect("written");

    let body = json!({
        "organization_name": "acme", "new_organization_name": "globex", "email": "new@example.com",
        "password": "a finer password",
    });
    let update = server.update(&acme.token, &body);
    let others = async {
        let is_begun = async || {
            let claimed = doc! { "emails": "new@example.com", "claimed_by": { "$exists": true } };
            server.documents("admins").count_documents(claimed).await.expect("a count") == 1
        };
        eventually("the change is begun", is_begun).await;
        // Until the change is decided, it owns both what it releases and what it claims.
        for (name, email) in [("one", acme.email.as_str()), ("two", "new@example.com")] {
            server.create(name, email, PASSWORD).await.problem(409, "email_taken");
        }
        server.create("globex", "other@example.com", PASSWORD).await.problem(409, "organization_exists");
        server.rename(&acme.token, "acme", "third").await.problem(409, "organization_busy");
        // The change is not visible yet.
        server.log_in(&acme.email, PASSWORD).await.success(200);
        server.log_in("new@example.com", "a finer password").await.problem(401, "invalid_credentials");
        server.find("globex").await.problem(404, "organization_not_found");
    };
    let (answer, ()) = tokio::join!(update, others);
    answer.problem(503, "collection_held");
    session.abort_transaction().await.expect("aborted");
    assert!(server.knows(&acme.token).await);
    server.log_in(&acme.email, PASSWORD).await.success(200);
    assert_eq!(server.tenant_collections().await, ["org_acme"]);
    server.create("globex", "new@example.com", PASSWORD).await.success(201);
    server.rename(&acme.token, "acme", "acme inc").await.success(200);
}

#[tokio::test]
async fn an_organization_whose_collection_was_dropped_or_replaced_by_hand_is_left_as_it_was() {
    let server = Server::start().await;
    for (name, is_made_again) in [("dropped", false), ("replaced", true)] {
        let tenant = server.tenant(name).await;
        let collection = server.documents(&format!("org_{name}"));
        collection.drop().await.expect("dropped");
        if is_made_again {
            collection.insert_one(doc! { "_id": "restored" }).await.expect("made");
        }
        let body = json!({
            "organization_name": name, "new_organization_name": "new", "email": "new@example.com",
            "password": "a finer password",
        });
        server.update(&tenant.token, &body).await.problem(503, "tenant_collection_replaced");
        assert!(server.knows(&tenant.token).await);
        server.log_in(&tenant.email, PASSWORD).await.success(200);
        let new = server.create("new", "new@example.com", PASSWORD).await.success(201);
        assert!(new.body["ok"] == true, "name and email are free");
        let new = server.token("new@example.com", PASSWORD).await;
        server.delete(&new, "new").await.success(200);
        server
            .update(&tenant.token, &json!({ "organization_name": name, "email": "x@example.com" }))
            .await
            .success(200);
        server.delete(&tenant.token, name).await.success(200);
        assert_eq!(server.count(&format!("org_{name}")).await, u64::from(is_made_again), "nothing is dropped by name");
    }
}

/// One client while MongoDB goes away: creates organizations, and returns the names and emails of those acknowledged
/// and of those not.
async fn create_until(server: &Server, client: u32, stop: &Cell<bool>) -> [Vec<(String, String)>; 2] {
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for n in 0.. {
        if stop.get() {
            break;
        }
        let (name, email) = (format!("client {client} org {n}"), format!("a{client}-{n}@example.com"));
        let answer = server.create(&name, &email, PASSWORD).await;
        match answer.status {
            201 => acknowledged.push((name, email)),
            503 => {
                assert!(answer.headers.contains_key("retry-after"), "{}", answer.text);
                refused.push((name, email));
            }
            _ => panic!("{}", answer.text),
        }
        let known: Answer = server.find(&format!("client {client} org 0")).await;
        assert!(matches!(known.status, 200 | 404 | 503), "{}", known.text);
    }
    [acknowledged, refused]
}

#[tokio::test]
async fn a_mongodb_that_is_killed_under_load_loses_nothing_that_was_acknowledged() {
    let mut mongod = Mongod::started().await;
    let database = empty_database(&mongod).await;
    let server = Server::with_short_leases(&mongod, database, &[("REQUEST_TIMEOUT_SECONDS", "8")]).await;
    let stop = Cell::new(false);
    let clients = futures_util::future::join_all((0..6).map(|client| create_until(&server, client, &stop)));
    let at_least = |number: u64| {
        let server = &server;
        async move { server.documents("organizations").count_documents(doc! {}).await.is_ok_and(|n| n >= number) }
    };
    let faults = async {
        for round in 1..=3 {
            eventually("there is load", || at_least(round * 15)).await;
            mongod.kill();
            let is_away = async || server.get("/health/ready").send().await.status == 503;
            eventually("the server notices", is_away).await;
            mongod.start().await;
            eventually("it recovers", async || server.get("/health/ready").send().await.status == 200).await;
        }
        eventually("there is load again", || at_least(60)).await;
        stop.set(true);
    };
    let (lists, ()) = tokio::join!(clients, faults);
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    for [mut yes, mut no] in lists {
        acknowledged.append(&mut yes);
        refused.append(&mut no);
    }
    assert!(acknowledged.len() >= 10, "{}", acknowledged.len());
    for (name, email) in &acknowledged {
        server.find(name).await.success(200);
        server.log_in(email, PASSWORD).await.success(200);
    }
    // A refused creation exists completely, or its name and email are free once its lease expired.
    for (name, email) in &refused {
        eventually("a refused create is decided", async || match server.create(name, email, PASSWORD).await.status {
            201 => true,
            409 => server.find(name).await.status == 200 && server.log_in(email, PASSWORD).await.status == 200,
            _ => false,
        })
        .await;
    }
    let organizations = u64::try_from(acknowledged.len() + refused.len()).expect("a few");
    let totals = (organizations, organizations, acknowledged.len() + refused.len());
    assert_eq!(server.totals().await, totals, "and nothing else is left");
}

#[tokio::test]
async fn two_servers_on_one_database_give_a_name_to_one_client() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let one = Server::over(mongod, database.clone(), &[]).await;
    let two = Server::over(mongod, database, &[]).await;
    let creates = (0..30).map(|n| {
        let server = if n % 2 == 0 { &one } else { &two };
        async move { server.create("acme", &format!("a{n}@example.com"), PASSWORD).await }
    });
    let answers = futures_util::future::join_all(creates).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(one.totals().await, (1, 1, 1));
    let acme = one.tenant("other").await;
    assert!(two.knows(&acme.token).await, "a token of one server is good for the other");
}

#[tokio::test]
async fn a_rename_whose_collection_has_moved_only_goes_forward() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let first = Server::over(mongod, database.clone(), &[]).await;
    let acme = first.tenant("acme").await;
    first.stop().await.expect("stopped");
    // A server died after moving the collection, in a change that also has a new password.
    let names = |name: &str| doc! { "organization_name": name, "slug": name, "collection_name": format!("org_{name}") };
    let admins = database.collection::<Document>("admins");
    let admin = admins.find_one(doc! {}).await.expect("asked").expect("there");
    let after =
        doc! { "email": "new@example.com", "password_hash": admin.get("password_hash"), "credential_version": 2_i64 };
    let change = doc! {
        "id": ObjectId::new(), "kind": "rename", "holder": "gone", "fence": 1_i64,
        "lease_until": DateTime::from_millis(0), "from": names("acme"), "to": names("globex"),
        "credentials": { "admin_id": admin.get("_id"), "from_version": 1_i64, "after": after },
    };
    let set = doc! { "$set": { "state": "renaming", "change": change, "names": ["acme", "globex"] } };
    let organizations = database.collection::<Document>("organizations");
    organizations.update_one(doc! {}, set).await.expect("interrupted");
    move_by_hand(&database, "org_acme", "org_globex").await;
    // And MongoDB refuses the claim for good.
    let refuse = doc! { "collMod": "admins", "validator": { "claimed_by": { "$exists": false } } };
    database.run_command(refuse).await.expect("refusing");

    let second = Server::with_short_leases(mongod, database.clone(), &[]).await;
    let is_tried = async || {
        let tried = doc! { "change.fence": { "$gte": 2_i64 } };
        organizations.count_documents(tried).await.expect("a count") == 1
    };
    eventually("it is tried", is_tried).await;
    database.run_command(doc! { "collMod": "admins", "validator": {} }).await.expect("no more");
    eventually("it is finished", async || second.find("globex").await.status == 200).await;
    second.log_in("new@example.com", PASSWORD).await.success(200);
    assert!(!second.knows(&acme.token).await);
    assert_eq!(second.tenant_collections().await, ["org_globex"]);
}

/// Renames a collection as an operator does in a shell, bypassing the server.
async fn move_by_hand(database: &Database, from: &str, to: &str) {
    let namespace = |name: &str| format!("{}.{name}", database.name());
    let command = doc! { "renameCollection": namespace(from), "to": namespace(to) };
    database.client().database("admin").run_command(command).await.expect("moved");
}

#[tokio::test]
async fn a_collection_that_was_moved_by_hand_is_found_by_its_uuid() {
    let server = Server::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    server.documents("org_acme").insert_one(doc! { "_id": 1 }).await.expect("stored");
    move_by_hand(&server.database, "org_acme", "org_elsewhere").await;
    move_by_hand(&server.database, "org_other", "org_away").await;
    server.rename(&acme.token, "acme", "globex").await.success(200);
    assert_eq!(server.count("org_globex").await, 1);
    server.delete(&other.token, "other").await.success(200);
    assert_eq!(server.tenant_collections().await, ["org_globex"]);
}

#[tokio::test]
async fn a_change_of_credentials_that_are_set_is_not_undone() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let first = Server::over(mongod, database.clone(), &[]).await;
    let acme = first.tenant("acme").await;
    first.stop().await.expect("stopped");
    let (admins, id) = (database.collection::<Document>("admins"), ObjectId::new());
    let admin = admins.find_one(doc! {}).await.expect("asked").expect("there");
    let name = doc! { "organization_name": "acme", "slug": "acme", "collection_name": "org_acme" };
    let mut to = name.clone();
    to.insert("organization_name", "ACME");
    let after = doc! { "email": &acme.email, "password_hash": admin.get("password_hash"), "credential_version": 2_i64 };
    let change = doc! {
        "id": id, "kind": "rename", "holder": "gone", "fence": 1_i64, "lease_until": DateTime::from_millis(0),
        "from": name, "to": to,
        "credentials": { "admin_id": admin.get("_id"), "from_version": 1_i64, "after": after },
    };
    let set = doc! { "$set": { "state": "renaming", "change": change, "generation": 2_i64 } };
    database.collection::<Document>("organizations").update_one(doc! {}, set).await.expect("interrupted");
    let committed = doc! { "credential_version": 2_i64, "committed_by": id, "change_generation": 2_i64 };
    admins.update_one(doc! {}, doc! { "$set": committed }).await.expect("committed");
    // And MongoDB refuses everything that the next server tries with the admin.
    let refuse = doc! { "collMod": "admins", "validator": { "email": "nobody's" } };
    database.run_command(refuse).await.expect("refusing");
    let second = Server::with_short_leases(mongod, database.clone(), &[]).await;
    let tried = doc! { "change.fence": { "$gte": 2_i64 } };
    let organizations = database.collection::<Document>("organizations");
    eventually("it is tried", async || organizations.count_documents(tried.clone()).await.expect("a count") == 1).await;
    database.run_command(doc! { "collMod": "admins", "validator": {} }).await.expect("no more");
    eventually("it is finished", async || {
        second.find("acme").await.body["organization"]["organization_name"] == "ACME"
    })
    .await;
    assert!(!second.knows(&acme.token).await);
}

#[tokio::test]
async fn changes_that_a_dead_server_left_are_finished_or_undone_by_the_next() {
    let mongod = mongo::shared().await;
    let database = empty_database(mongod).await;
    let first = Server::over(mongod, database.clone(), &[]).await;
    for name in ["half-made", "half-renamed", "half-deleted", "busy"] {
        first.tenant(name).await;
    }
    first.stop().await.expect("stopped");
    let (past, future) = (DateTime::from_millis(0), DateTime::from_millis(i64::from(u32::MAX) * 1_000));
    let change = |kind: &str, lease: DateTime| {
        doc! { "id": ObjectId::new(), "kind": kind, "holder": "gone", "fence": 1_i64, "lease_until": lease }
    };
    let names = |name: &str| doc! { "organization_name": name, "slug": name, "collection_name": format!("org_{name}") };
    let mut rename = change("rename", past);
    rename.insert("from", names("half-renamed"));
    rename.insert("to", names("renamed"));
    let organizations = database.collection::<Document>("organizations");
    for (name, state, change) in [
        ("half-made", "provisioning", change("create", past)),
        ("half-renamed", "renaming", rename),
        ("half-deleted", "deleting", change("delete", past)),
        ("busy", "deleting", change("delete", future)),
    ] {
        let set = doc! { "$set": { "state": state, "change": change } };
        organizations.update_one(doc! { "slug": name }, set).await.expect("interrupted");
    }
    let unreadable = doc! {
        "_id": ObjectId::from_bytes([0; 12]), "slug": "unreadable", "names": ["unreadable"],
        "collection_name": "org_unreadable", "state": "deleting", "change": { "fence": 1_i64, "lease_until": past },
    };
    organizations.insert_one(unreadable).await.expect("stored");

    let second = Server::over(mongod, database, &[]).await;
    eventually("all but the held and the unreadable one are ended", async || {
        second.tenant_collections().await == ["org_busy", "org_renamed"] && second.count("organizations").await == 3
    })
    .await;
    eventually("the rename is finished", async || second.find("renamed").await.status == 200).await;
    for gone in ["half-made", "half-renamed", "half-deleted", "busy"] {
        second.find(gone).await.problem(404, "organization_not_found");
    }
    assert_eq!(second.count("admins").await, 2, "those of the renamed and of the held one");
    // A command of the dead server could still arrive and look for a collection of this name.
    let cools = second.create("half-renamed", "new@half-renamed.example", PASSWORD).await;
    cools.problem(409, "organization_exists");
    for free in ["half-made", "half-deleted"] {
        second.create(free, &format!("new@{free}.example"), PASSWORD).await.success(201);
    }
    second.create("busy", "new@busy.example", PASSWORD).await.problem(409, "organization_exists");
}
