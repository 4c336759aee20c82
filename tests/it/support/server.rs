//! A server inside the test program, with its own port and database, and a clock that the test sets.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bson::{Document, doc};
use metrics_exporter_prometheus::PrometheusHandle;
use mongodb::{Collection, Database};
use reqwest::Client;
use serde_json::{Value, json};
use tenantry::app::App;
use tenantry::clock::ManualClock;
use tenantry::config::Config;
use tenantry::telemetry::start_metrics;
use tenantry::timings::Timings;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Call;
use super::mongo::{Mongod, shared};
use super::{Answer, eventually, short_leases, timings};

/// The default password of the tests' admins.
pub(crate) const PASSWORD: &str = "a fine password";

/// The secret with which the tests' servers sign tokens.
pub(crate) const SECRET: &str = "q3Zp7Vx9Kd2Lm5Rt8Yw1Bn4Cf6Gh0Js3";

/// Shared by all servers of this program: metrics belong to the process.
static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| start_metrics().expect("the first"));

/// A running server, which stops when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) database: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: Client,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

/// An organization with its admin's token.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// A server with an empty database on the shared mongod.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with these settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let database = empty_database(shared().await).await;
        Self::over(shared().await, database, settings).await
    }

    /// A ready server on a database that may hold data already.
    pub(crate) async fn over(mongod: &Mongod, database: Database, settings: &[(&str, &str)]) -> Self {
        Self::launch(mongod, database, settings, timings()).ready().await
    }

    /// The same, with leases that expire while a test waits.
    pub(crate) async fn with_short_leases(mongod: &Mongod, database: Database, settings: &[(&str, &str)]) -> Self {
        Self::launch(mongod, database, settings, short_leases()).ready().await
    }

    async fn ready(self) -> Self {
        eventually("the server is ready", async || self.get("/health/ready").send().await.status == 200).await;
        self
    }

    /// A server whose MongoDB may be unavailable.
    pub(crate) fn unready(mongod: &Mongod, database: Database, settings: &[(&str, &str)]) -> Self {
        Self::launch(mongod, database, settings, timings())
    }

    fn launch(mongod: &Mongod, database: Database, settings: &[(&str, &str)], timings: Timings) -> Self {
        let mut given = HashMap::from([
            ("MONGO_URI", mongod.uri()),
            ("MASTER_DB_NAME", database.name().to_owned()),
            ("JWT_SECRET", SECRET.to_owned()),
            ("PORT", "0".to_owned()),
            ("SALT_ROUNDS", "4".to_owned()),
            // All tests come from one network.
            ("LOGIN_ATTEMPTS_PER_MINUTE", "1000".to_owned()),
            ("CREATIONS_PER_MINUTE", "100000".to_owned()),
            ("UNKNOWN_NAMES_PER_MINUTE", "100000".to_owned()),
            // The free space on this machine's disk does not matter to the tests.
            ("MIN_FREE_STORAGE_PERCENT", "0".to_owned()),
        ]);
        given.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut config = Config::read(|name| given.get(name).cloned()).expect("settings");
        config.timings = timings;
        let clock = Arc::new(ManualClock::at_present());
        let app = App::bind(config, clock.clone(), METRICS.clone()).expect("a port");
        let url = format!("http://{}", app.address().expect("an address"));
        let stop = app.stop_token();
        let running = Some(tokio::spawn(app.run()));
        Self { url, database, clock, client: Client::new(), stop, running }
    }

    /// Stops it as a signal does, and returns how it ended.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        self.running.take().expect("once").await.expect("no panic")
    }

    pub(crate) fn call(&self, method: &str, path_and_query: &str) -> Call {
        Call::new(&self.client, &self.url, method, path_and_query)
    }

    pub(crate) fn get(&self, path_and_query: &str) -> Call {
        self.call("GET", path_and_query)
    }

    /// `POST /org/create`.
    pub(crate) async fn create(&self, name: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "organization_name": name, "email": email, "password": password });
        self.call("POST", "/org/create").json(&body).send().await
    }

    /// `POST /admin/login`.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Answer {
        self.call("POST", "/admin/login").json(&json!({ "email": email, "password": password })).send().await
    }

    /// `GET /org/get`.
    pub(crate) async fn find(&self, name: &str) -> Answer {
        self.get(&by_name("/org/get", name)).send().await
    }

    /// `PUT /org/update`.
    pub(crate) async fn update(&self, token: &str, body: &Value) -> Answer {
        self.call("PUT", "/org/update").bearer(token).json(body).send().await
    }

    /// `PUT /org/update` with only a new name.
    pub(crate) async fn rename(&self, token: &str, from: &str, to: &str) -> Answer {
        self.update(token, &json!({ "organization_name": from, "new_organization_name": to })).await
    }

    /// `DELETE /org/delete`.
    pub(crate) async fn delete(&self, token: &str, name: &str) -> Answer {
        self.call("DELETE", &by_name("/org/delete", name)).bearer(token).send().await
    }

    /// An organization whose admin has [`PASSWORD`] and is logged in.
    pub(crate) async fn tenant(&self, name: &str) -> Tenant {
        let email = format!("admin@{}.example", name.to_lowercase().replace([' ', '_'], "-"));
        let created = self.create(name, &email, PASSWORD).await.success(201);
        let id = created.body["organization"]["id"].as_str().expect("an id").to_owned();
        let token = self.token(&email, PASSWORD).await;
        Tenant { id, email, token }
    }

    /// A token, for valid credentials.
    pub(crate) async fn token(&self, email: &str, password: &str) -> String {
        let answer = self.log_in(email, password).await.success(200);
        answer.body["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether a token is still valid for its organization.
    pub(crate) async fn knows(&self, token: &str) -> bool {
        // Names no organization, so it changes nothing: 404 with a valid token, otherwise 401.
        let answer = self.delete(token, "nobody has this name").await;
        assert!(matches!(answer.status, 401 | 404), "{}", answer.text);
        answer.status == 404
    }

    /// The existing tenant collections.
    pub(crate) async fn tenant_collections(&self) -> Vec<String> {
        let mut names = self.database.list_collection_names().await.expect("names");
        names.retain(|name| name.starts_with("org_"));
        names.sort();
        names
    }

    /// How many organizations, admins and tenant collections there are.
    pub(crate) async fn totals(&self) -> (u64, u64, usize) {
        (self.count("organizations").await, self.count("admins").await, self.tenant_collections().await.len())
    }

    pub(crate) async fn count(&self, collection: &str) -> u64 {
        self.documents(collection).count_documents(doc! {}).await.expect("a count")
    }

    pub(crate) fn documents(&self, collection: &str) -> Collection<Document> {
        self.database.collection(collection)
    }
}

/// A new, empty database.
pub(crate) async fn empty_database(mongod: &Mongod) -> Database {
    mongod.client().await.database(&format!("test_{}", bson::oid::ObjectId::new()))
}

/// A path with the organization's name in its query.
pub(crate) fn by_name(path: &str, name: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("organization_name", name).finish();
    format!("{path}?{query}")
}
