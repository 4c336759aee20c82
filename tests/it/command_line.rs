//! The binary: its commands, its exit codes, its messages about invalid settings, and how it stops.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bson::doc;
use rustix::process::Signal;
use serde_json::json;

use crate::support::mongo::Mongod;
use crate::support::process::{Running, Tenantry, said};
use crate::support::server::{PASSWORD, SECRET, empty_database};
use crate::support::{eventually, is_ready, mongo};

/// Longer than a stopping server keeps connections, shorter than it waits for requests in total, in milliseconds.
const HELD_MS: i32 = 17_000;

/// Valid settings of a server.
pub(crate) fn settings<'a>(uri: &'a str, database: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("MONGO_URI", uri), ("MASTER_DB_NAME", database), ("JWT_SECRET", SECRET), ("PORT", "0"), ("SALT_ROUNDS", "4")]
}

/// A client of a process, once that is ready.
pub(crate) async fn ready(server: &Running) -> (reqwest::Client, String) {
    eventually("it listens", async || server.url().is_some()).await;
    let (client, url) = (reqwest::Client::new(), server.url().expect("an address"));
    eventually("it is ready", || is_ready(&client, &url)).await;
    (client, url)
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_said_at_once_with_exit_code_2() {
    let broken = [("JWT_SECRET", "secret"), ("PORT", "many"), ("SALT_ROUNDS", "99")];
    for command in ["serve", "check", "doctor", "healthcheck"] {
        let output = Tenantry::new(&[command], &broken).output();
        assert_eq!(output.status.code(), Some(2));
        let text = said(&output);
        for name in ["MONGO_URI is missing", "JWT_SECRET is not valid", "PORT is not valid", "SALT_ROUNDS is not valid"]
        {
            assert!(text.contains(name), "{text}");
        }
    }
}

#[test]
fn what_is_wrong_with_the_env_file_is_told_by_its_line_and_never_by_its_text() {
    let broken: &[(&[u8], u32)] = &[
        (b"PORT=1\nJWT_SECRET=\"hidden value\n", 2),
        (b"JWT_SECRET='hidden\nvalue\nPORT=1\n", 1),
        // A secret pasted with its line breaks.
        (b"JWT_SECRET=hidden\n\nhidden=\n+/hidden==\n", 4),
        (b"JWT_SECRET=-----BEGIN hidden KEY-----\nhidden\n", 1),
        (b"# mine\nhidden value", 2),
        (b"PORT=1\r\n=hidden\r\n", 2),
        (b"JWT_SECRET hidden", 1),
        (b"export hidden", 1),
        (b"JWT_SECRET: hidden", 1),
        (b"MONGO_URI=mongodb://u:hidden value@localhost/", 1),
        (b"MONGO_URI=\"mongodb://u:hid\\den@localhost/\"", 1),
        (b"JWT_SECRET='hidden' value", 1),
        (b"\xef\xbb\xbfPORT=1\nhidden", 2),
        (b"PORT=1\nJWT_SECRET=hidden\xff", 2),
        (b"\xff\xfeh\0i\0d\0d\0e\0n\0", 1),
        (b"PORT=1\nMONGO_URI=mongodb://u:hidden@h/\nJWT_SECRET=hidden\0value", 3),
        (b"PORT=1\n# hidden\0", 2),
    ];
    for (n, (file, line)) in broken.iter().enumerate() {
        let command = ["serve", "check", "doctor", "healthcheck"][n % 4];
        let output = Tenantry::new(&[command], &[]).env_file(file).output();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{n}: {text}");
        assert!(text.contains(&format!(".env line {line} ")), "{n}: {text}");
        assert!(["hidden", "value@", "hid\\", "KEY"].iter().all(|secret| !text.contains(secret)), "{n}: {text}");
        assert!(!text.contains("panicked"), "{n}: {text}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_and_not_taken_for_missing() {
    let command = Tenantry::new(&["check"], &[("JWT_SECRET", SECRET)]);
    let command = command.variable("MONGO_URI", b"mongodb://u:hidden\xff@localhost/").variable("PORT", b"\xff");
    let output = command.output();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2));
    for name in ["MONGO_URI", "PORT"] {
        assert!(text.contains(&format!("{name} is not valid: expected UTF-8")), "{text}");
    }
    assert!(!text.contains("hidden") && !text.contains("missing"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_in_which_mongodb_cannot_be_reached_shows_its_password() {
    let (mongod, _root) = Mongod::with_users(&[("plain", "one")]).await;
    let port =
        mongod.uri_of("plain").rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    for (n, uri) in [
        // Invalid settings.
        "mongodb://user:hidden@",
        "mongodb://user:hid/hidden@localhost/",
        "mongodb://user:%zzhidden@localhost/",
        "mongodb://user:hidden@localhost:port/",
        "mongodb://user:hidden@localhost/?authMechanism=NONE",
        "mongodb://user:hidden@localhost/?tls=maybe",
        "mongodb+srv://user:hidden@a.example,b.example/",
        "http://user:hidden@localhost/",
        // MongoDB servers that are missing or refuse the login.
        "mongodb://user:hidden@127.0.0.1:1/?serverSelectionTimeoutMS=200",
        "mongodb://user:hidden@127.0.0.1:1/?tls=true&tlsCAFile=/nowhere&serverSelectionTimeoutMS=200",
        "mongodb://user:hidden@nowhere.invalid/?serverSelectionTimeoutMS=200",
        "mongodb+srv://user:hidden@nowhere.invalid/?serverSelectionTimeoutMS=200",
        &format!("mongodb://user:hidden@127.0.0.1:{port}/?authSource=admin"),
        &format!("mongodb://user:hidden@127.0.0.1:{port}/?authMechanism=PLAIN&authSource=$external"),
        &format!("mongodb://user:hidden@127.0.0.1:{port}/?replicaSet=another&serverSelectionTimeoutMS=200"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut settings = settings(uri, "one");
        settings.push(("RUST_LOG", "trace"));
        let output = Tenantry::new(&[["check", "doctor"][n % 2]], &settings).output();
        let text = said(&output);
        assert_ne!(output.status.code(), Some(0), "{n}: {text}");
        assert!(!text.contains("hidden") && !text.contains("panicked"), "{n}: {text}");
        if n < 8 {
            assert!(text.contains("MONGO_URI is not valid: expected a connection string"), "{n}: {text}");
            continue;
        }
        // The same, with a log.
        let server = Tenantry::new(&["serve"], &settings).start();
        let is_told = || ["cannot use the database yet", "tenantry: "].iter().any(|told| server.log().contains(told));
        eventually("it says that there is no database", async || is_told()).await;
        server.signal(Signal::TERM);
        let log = server.end().1;
        assert!(!log.contains("hidden") && !log.contains("panicked"), "{n}: {log}");
    }
}

#[test]
fn the_env_file_is_read_and_the_environment_wins() {
    let file = format!("MONGO_URI=mongodb://x\nJWT_SECRET={SECRET}\nPORT=a\nSALT_ROUNDS=b\n");
    let output = Tenantry::new(&["check"], &[("PORT", "1")]).env_file(&file).output();
    let text = said(&output);
    assert!(text.contains("SALT_ROUNDS") && !text.contains("PORT") && !text.contains("MONGO_URI"), "{text}");
}

#[test]
fn the_document_help_and_version_need_no_settings() {
    let output = Tenantry::new(&["openapi"], &[]).output();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(printed == include_str!("../../openapi.json"), "run: cargo run -- openapi > openapi.json");
    let help = said(&Tenantry::new(&["--help"], &[]).output());
    for command in ["serve", "check", "doctor", "openapi", "healthcheck"] {
        assert!(help.contains(command), "{help}");
    }
    let version = said(&Tenantry::new(&["--version"], &[]).output());
    assert_eq!(version.trim(), format!("tenantry {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(Tenantry::new(&["frobnicate"], &[]).output().status.code(), Some(2));
}

#[tokio::test]
async fn check_says_what_a_server_would_find_and_changes_nothing() {
    let mongod = mongo::shared().await;
    let (uri, database) = (mongod.uri(), empty_database(mongod).await);
    let settings = settings(&uri, database.name());
    let before = Tenantry::new(&["check"], &settings).output();
    assert_eq!(before.status.code(), Some(1));
    assert!(said(&before).contains("admins.email_1"), "{}", said(&before));
    assert!(database.list_collection_names().await.expect("names").is_empty());

    let server = Tenantry::new(&["serve"], &settings).start();
    let (_, url) = ready(&server).await;
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let after = Tenantry::new(&["check"], &settings).output();
    assert_eq!((after.status.code(), said(&after).as_str()), (Some(0), "settings: ok\nMongoDB: ok\nindexes: ok\n"));

    let mut of_server = settings.clone();
    of_server.retain(|(name, _)| *name != "PORT");
    of_server.push(("PORT", &port));
    assert_eq!(Tenantry::new(&["healthcheck"], &of_server).output().status.code(), Some(0));
    server.signal(Signal::TERM);
    assert_eq!(server.end().0, Some(0));
    let gone = Tenantry::new(&["healthcheck"], &of_server).output();
    assert_eq!(gone.status.code(), Some(1));
    assert!(said(&gone).contains("no answer from 127.0.0.1"), "{}", said(&gone));
}

#[tokio::test]
async fn check_says_what_a_takeover_would_do_or_why_it_cannot() {
    let mongod = mongo::shared().await;
    let (uri, database) = (mongod.uri(), empty_database(mongod).await);
    let organizations = database.collection::<bson::Document>("organizations");
    organizations.insert_one(bson::doc! { "organization_name": "Amazon" }).await.expect("stored");
    let check = || said(&Tenantry::new(&["check"], &settings(&uri, database.name())).output());
    assert!(check().contains("take-over: 1 organizations and 0 admins"), "{}", check());
    organizations.insert_one(bson::doc! { "organization_name": "amazon" }).await.expect("stored");
    assert!(check().contains("have the same name \"amazon\""), "{}", check());
    assert_eq!(database.list_collection_names().await.expect("names"), ["organizations"]);
}

#[tokio::test]
async fn check_tells_a_wrong_password_from_a_missing_privilege_and_shows_neither() {
    let (mongod, _root) = Mongod::with_users(&[("plain", "one")]).await;
    let check = |uri: &str, database: &str| said(&Tenantry::new(&["check"], &settings(uri, database)).output());
    let right = mongod.uri_of("plain");
    assert!(check(&right, "one").contains("MongoDB: ok"));
    for (uri, database, expected) in [
        (right.replace("password@", "passwort@"), "one", "authentication failed"),
        (mongod.uri(), "one", "13 Unauthorized"),
        (right.clone(), "other", "13 Unauthorized"),
        (right.replace("a%20MongoDB%20password@", "a/b@"), "one", "MONGO_URI is not valid"),
    ] {
        let text = check(&uri, database);
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("passwort") && !text.contains("a%20MongoDB") && !text.contains("a/b"), "{text}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_server_with_a_sentence() {
    let mongod = mongo::shared().await;
    let (uri, database) = (mongod.uri(), empty_database(mongod).await);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut settings = settings(&uri, database.name());
    settings.retain(|(name, _)| *name != "PORT");
    settings.push(("PORT", &port));
    let output = Tenantry::new(&["serve"], &settings).output();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("cannot listen on 127.0.0.1:{port}")), "{}", said(&output));
}

#[tokio::test]
async fn a_signal_lets_running_requests_finish() {
    let mongod = mongo::shared().await;
    let (uri, database) = (mongod.uri(), empty_database(mongod).await);
    for signal in [Signal::TERM, Signal::INT] {
        let mut settings = settings(&uri, database.name());
        settings.retain(|(name, _)| *name != "SALT_ROUNDS");
        // A hash slow enough for the signal to arrive meanwhile.
        settings.push(("SALT_ROUNDS", "14"));
        let server = Tenantry::new(&["serve"], &settings).start();
        let (client, url) = ready(&server).await;
        let name = format!("acme {}", signal.as_raw());
        let body = json!({
            "organization_name": name, "email": format!("a{}@example.com", signal.as_raw()), "password": PASSWORD,
        });
        let create = client.post(format!("{url}/org/create")).header("content-type", "application/json");
        let create = tokio::spawn(create.body(body.to_string()).send());
        let runs = async || {
            let metrics = client.get(format!("{url}/metrics")).send().await.expect("an answer");
            metrics.text().await.expect("a text").contains("\nhttp_requests_running 1\n")
        };
        eventually("the create runs", runs).await;
        server.signal(signal);
        assert_eq!(create.await.expect("no panic").expect("an answer").status(), 201);
        let (code, log) = server.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopping"), "{log}");
    }
}

#[tokio::test]
async fn a_burst_of_new_connections_waits_in_line() {
    /// More than fit into the standard library's queue.
    const BURST: usize = 300;
    let limit = Duration::from_secs(10);
    // Nothing to test where the system's queue is shorter.
    let room = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    let burst = BURST.min(room.unwrap_or(128));
    let (uri, database) = (mongo::shared().await.uri(), empty_database(mongo::shared().await).await);
    let server = Tenantry::new(&["serve"], &settings(&uri, database.name())).start();
    let (_, url) = ready(&server).await;
    let address: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
    server.signal(Signal::STOP);
    let connect = |_| TcpStream::connect_timeout(&address, limit).expect("there is room in the line");
    let connections: Vec<TcpStream> = (0..burst).map(connect).collect();
    server.signal(Signal::CONT);
    for mut connection in connections {
        connection.set_read_timeout(Some(limit)).expect("a socket");
        connection.write_all(b"GET /health/live HTTP/1.1\r\nhost: test\r\n\r\n").expect("sent");
        let mut status = [0; 12];
        connection.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}

#[tokio::test]
async fn a_change_that_outlasts_its_connection_is_finished_before_the_server_stops() {
    let mongod = Mongod::with_fail_points().await;
    let (uri, database) = (mongod.uri(), empty_database(&mongod).await);
    let mut settings = settings(&uri, database.name());
    settings.push(("REQUEST_TIMEOUT_SECONDS", "60"));
    let server = Tenantry::new(&["serve"], &settings).start();
    let (client, url) = ready(&server).await;
    let post = |path: &str, body: serde_json::Value| {
        client.post(format!("{url}{path}")).header("content-type", "application/json").body(body.to_string()).send()
    };
    let mut admin = json!({ "email": "a@example.com", "password": PASSWORD });
    let login = admin.clone();
    admin["organization_name"] = json!("before");
    assert_eq!(post("/org/create", admin).await.expect("an answer").status(), 201);
    let token = post("/admin/login", login).await.expect("an answer").text().await.expect("a body");
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");

    mongod
        .fail(&["renameCollection"], doc! { "times": 1 }, doc! { "blockConnection": true, "blockTimeMS": HELD_MS })
        .await;
    let rename = json!({ "organization_name": "before", "new_organization_name": "after" }).to_string();
    let rename = client.put(format!("{url}/org/update")).header("content-type", "application/json").body(rename);
    let rename = rename.bearer_auth(token["access_token"].as_str().expect("a token")).send();
    let cut_off = tokio::spawn(rename);
    let orgs = database.collection::<bson::Document>("organizations");
    let moving = doc! { "state": "renaming", "change.step": "move-collection" };
    eventually("it is about to be moved", async || matches!(orgs.count_documents(moving.clone()).await, Ok(1))).await;
    server.signal(Signal::TERM);
    let (code, log) = tokio::task::spawn_blocking(|| server.end()).await.expect("no panic");
    assert_eq!(code, Some(0), "{log}");
    assert!(cut_off.await.expect("no panic").is_err(), "its connection ended first");
    let done = doc! { "state": "active", "slug": "after", "change": { "$exists": false } };
    assert_eq!(orgs.count_documents(done).await.expect("MongoDB"), 1, "{log}");
}
