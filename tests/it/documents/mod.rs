//! The documents of organizations, over HTTP.

mod export;
pub(crate) mod import;
mod indexes;
mod isolation;
mod list;
mod lost;
mod memory;
mod moving;
mod paging;
mod patterns;
mod quotas;
mod refusals;
mod schema;
mod single;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::Collection;
use serde_json::Value;

use crate::support::client::Call;
use crate::support::{Answer, Server};

/// An organization with documents for a test.
pub(crate) struct Org<'s> {
    pub(crate) server: &'s Server,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl<'s> Org<'s> {
    /// Creates one.
    pub(crate) async fn new(server: &'s Server, name: &str) -> Self {
        let token = server.tenant(name).await.token;
        Self { server, name: name.to_owned(), token }
    }

    /// A call below the organization's path, as its admin.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        self.server.call(method, &format!("/org/{}/{path}", self.name)).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    pub(crate) async fn insert(&self, document: &Value) -> Answer {
        self.call("POST", "documents").json(document).send().await
    }

    pub(crate) async fn create_index(&self, body: &Value) -> Answer {
        self.call("POST", "indexes").json(body).send().await
    }

    /// Imports these lines; returns the lines of the answer.
    pub(crate) async fn import(&self, lines: impl Into<reqwest::Body>) -> Vec<Value> {
        let answer = self.call("POST", "documents").body("application/x-ndjson", lines).send().await.success(200);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        json_lines(&answer.text)
    }

    /// All documents, as exported.
    pub(crate) async fn export(&self) -> Vec<Value> {
        json_lines(&self.get("export").await.success(200).text)
    }

    /// A page with these parameters.
    pub(crate) async fn list(&self, parameters: &[(&str, &str)]) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.get(&format!("documents?{query}")).await
    }

    /// The `_id`s of all documents on all pages, with these parameters.
    pub(crate) async fn ids_page_by_page(&self, parameters: &[(&str, &str)]) -> Vec<Value> {
        let (mut ids, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut parameters = parameters.to_vec();
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.list(&parameters).await.success(200);
            ids.extend(page.body["documents"].as_array().expect("a list").iter().map(|found| found["_id"].clone()));
            match page.body["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return ids,
            }
        }
    }

    /// The collection's validator, bypassing the server.
    pub(crate) async fn validator(&self) -> Document {
        let listed = self.server.database.list_collections().filter(doc! { "name": self.stored().name() }).await;
        let mut listed: Vec<_> = listed.expect("MongoDB").try_collect().await.expect("MongoDB");
        listed.pop().expect("a collection").options.validator.expect("a validator")
    }

    /// The collection, bypassing the server.
    pub(crate) fn stored(&self) -> Collection<Document> {
        self.server.documents(&format!("org_{}", self.name))
    }
}

/// Documents with only these ids, one per line.
pub(crate) fn bare(ids: std::ops::Range<u32>) -> String {
    lines(ids.map(|id| serde_json::json!({ "_id": id })))
}

/// Documents, one per line.
pub(crate) fn lines(documents: impl Iterator<Item = Value>) -> String {
    documents.fold(String::new(), |text, document| text + &document.to_string() + "\n")
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
