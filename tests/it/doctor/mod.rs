//! `tenantry doctor` finds and names each kind of damage, made by hand, and repairs it where that is safe.

mod admins;
mod collections;
mod command;
mod organizations;
mod running;

use std::collections::HashMap;
use std::sync::Arc;

use bson::{Document, doc, oid::ObjectId};
use mongodb::{Collection, Database};
use serde_json::{Value, json};
use tenantry::app;
use tenantry::clock::SystemClock;
use tenantry::config::Config;

use crate::support::mongo::{self, everything};
use crate::support::server::{SECRET, empty_database};
use crate::support::{PASSWORD, Server};

/// A database with the organizations `acme` and `other`, and no server that could repair anything.
struct Patient {
    database: Database,
    acme: ObjectId,
    other: ObjectId,
}

impl Patient {
    async fn new() -> Self {
        let server = Server::start().await;
        let mut ids = Vec::new();
        for name in ["acme", "other"] {
            let created = server.create(name, &format!("admin@{name}.example"), PASSWORD).await.success(201);
            let id = created.body["organization"]["id"].as_str().expect("an id");
            ids.push(ObjectId::parse_str(id).expect("an id"));
            let document = doc! { "_id": 1, "of": name };
            server.documents(&format!("org_{name}")).insert_one(document).await.expect("stored");
        }
        let database = server.database.clone();
        server.stop().await.expect("stopped");
        Self { database, acme: ids[0], other: ids[1] }
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    async fn org(&self, id: ObjectId) -> Document {
        self.collection("organizations").find_one(doc! { "_id": id }).await.expect("asked").expect("there")
    }

    async fn admin_of(&self, org: ObjectId) -> Document {
        let query = doc! { "organization_id": org };
        self.collection("admins").find_one(query).await.expect("asked").expect("there")
    }

    /// Changes the record of `acme`.
    async fn change_org(&self, update: Document) {
        self.collection("organizations").update_one(doc! { "_id": self.acme }, update).await.expect("changed");
    }

    /// Changes the record of the admin of `acme`.
    async fn change_admin(&self, update: Document) {
        self.collection("admins").update_one(doc! { "organization_id": self.acme }, update).await.expect("changed");
    }

    /// Drops an index, so that records can collide.
    async fn drop_index(&self, collection: &str, index: &str) {
        self.collection(collection).drop_index(index).await.expect("dropped");
    }

    async fn command(&self, database: &str, command: Document) {
        let client = self.database.client();
        let name = if database.is_empty() { self.database.name() } else { database };
        client.database(name).run_command(command).await.expect("done");
    }

    async fn rename_collection(&self, from: &str, to: &str) {
        let name = |collection: &str| format!("{}.{collection}", self.database.name());
        self.command("admin", doc! { "renameCollection": name(from), "to": name(to) }).await;
    }

    /// The doctor's findings: each one's code, subject, and whether it can be and was fixed.
    async fn findings(&self, is_fixing: bool) -> Vec<(String, Value, bool, bool)> {
        let report = doctor(&self.database, is_fixing).await;
        let findings = report["findings"].as_array().expect("a list");
        let is = |finding: &Value, name: &str| finding[name].as_bool().expect("a claim");
        let code = |finding: &Value| finding["code"].as_str().expect("a code").to_owned();
        findings
            .iter()
            .map(|finding| (code(finding), finding["about"].clone(), is(finding, "fixable"), is(finding, "fixed")))
            .collect()
    }

    /// Fails unless exactly this is found, and a doctor that may repair only reports it.
    async fn assert_reported(&self, expected: &[(&str, Value)]) {
        let before = everything(&self.database).await;
        let expected: Vec<_> =
            expected.iter().map(|(code, about)| ((*code).to_owned(), about.clone(), false, false)).collect();
        assert_eq!(self.findings(false).await, expected);
        assert_eq!(self.findings(true).await, expected);
        assert_eq!(everything(&self.database).await, before);
    }

    /// Fails unless exactly this is found without changing anything, and then repaired without touching `other`.
    async fn assert_repaired(&self, expected: &[(&str, Value)]) {
        let before = everything(&self.database).await;
        let of = |is_fixed: bool| -> Vec<_> {
            expected.iter().map(|(code, about)| ((*code).to_owned(), about.clone(), true, is_fixed)).collect()
        };
        assert_eq!(self.findings(false).await, of(false));
        assert_eq!(everything(&self.database).await, before, "looking changes nothing");
        let other = (self.org(self.other).await, self.admin_of(self.other).await);
        assert_eq!(self.findings(true).await, of(true));
        assert_eq!(self.findings(true).await, [], "it is fixed");
        assert_eq!((self.org(self.other).await, self.admin_of(self.other).await), other);
        assert_eq!(self.collection("org_other").count_documents(doc! {}).await.expect("a count"), 1);
    }

    /// The subject of a finding about `acme`.
    fn acme(&self, more: &Value) -> Value {
        about_org(self.acme, "acme", more)
    }
}

/// The subject of a finding about an organization.
fn about_org(id: ObjectId, name: &str, more: &Value) -> Value {
    let mut about = json!({ "organization": id.to_hex(), "organization_name": name });
    let (about_fields, more) = (about.as_object_mut().expect("fields"), more.as_object().expect("fields"));
    about_fields.extend(more.clone());
    about
}

/// The doctor's report on a database of the shared mongod.
async fn doctor(database: &Database, is_fixing: bool) -> Value {
    let settings = HashMap::from([
        ("MONGO_URI", mongo::shared().await.uri()),
        ("MASTER_DB_NAME", database.name().to_owned()),
        ("JWT_SECRET", SECRET.to_owned()),
    ]);
    let config = Config::read(|name| settings.get(name).cloned()).expect("settings");
    let report = app::doctor(&config, Arc::new(SystemClock), is_fixing).await.expect("a report");
    let report = serde_json::to_value(report).expect("JSON");
    let text = report.to_string();
    assert!(!text.contains('@') && !text.contains("$2b$"), "no email and no hash: {text}");
    report
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_wrong() {
    let patient = Patient::new().await;
    assert_eq!(patient.findings(false).await, []);
    let before = everything(&patient.database).await;
    assert_eq!(patient.findings(true).await, []);
    assert_eq!(everything(&patient.database).await, before);
}

#[tokio::test]
async fn of_an_empty_database_only_the_indexes_are_missing_and_they_are_made() {
    let database = empty_database(mongo::shared().await).await;
    let report = doctor(&database, false).await;
    let findings = report["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|finding| finding["code"] == "index_missing" && finding["fixable"] == true));
    assert!(findings.iter().any(|finding| finding["about"] == json!({ "index": "admins.emails_1" })), "{report}");
    assert_eq!(database.list_collection_names().await.expect("names"), Vec::<String>::new());
    let report = doctor(&database, true).await;
    assert!(report["findings"].as_array().expect("a list").iter().all(|finding| finding["fixed"] == true), "{report}");
    assert_eq!(doctor(&database, false).await["findings"], json!([]));
}
