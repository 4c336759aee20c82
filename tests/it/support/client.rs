//! HTTP calls and their answers, each checked against the OpenAPI document.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use form_urlencoded::Serializer;
use jsonschema::{Validator, draft202012};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Map, Value};

/// The document that the answers must conform to.
pub(crate) static OPENAPI: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../openapi.json")).expect("JSON"));

/// The headers that tell a client what to do next: an answer has them only if the document says so.
const TELLING_HEADERS: [&str; 4] = ["etag", "location", "retry-after", "www-authenticate"];

/// A call under construction.
pub(crate) struct Call {
    method: String,
    path: String,
    request: RequestBuilder,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null if it is not JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Call {
    pub(crate) fn new(client: &Client, url: &str, method: &str, path_and_query: &str) -> Self {
        let parsed = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = Url::parse(&format!("{url}{path_and_query}")).expect("a URL");
        // As sent: parsing the URL removes segments such as `..` and `%2E%2E`.
        let path = url.path().to_owned();
        let request = client.request(parsed, url);
        Self { method: method.to_lowercase(), path, request }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn form(self, pairs: &[(&str, &str)]) -> Self {
        let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header(CONTENT_TYPE, content_type).body(body);
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sends it; an answer that the OpenAPI document does not allow fails the test.
    pub(crate) async fn send(self) -> Answer {
        let (method, path) = (self.method.clone(), self.path.clone());
        let answer = self.try_send().await.expect("an answer");
        answer.assert_documented(&method, &path);
        answer
    }

    /// Sends it to a server that may be gone.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, headers, body, text })
    }
}

/// The document's operation for a request; path parameters match any segment.
fn operation(path: &str, method: &str) -> Option<&'static Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let matches = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        let fits = |(part, segment): (&&str, &&str)| part == segment || (part.starts_with('{') && !segment.is_empty());
        template.len() == segments.len() && template.iter().zip(&segments).all(fits)
    };
    let paths = OPENAPI["paths"].as_object().expect("paths");
    let found = paths.get(path).or_else(|| paths.iter().find(|(template, _)| matches(template)).map(|(_, item)| item));
    found.and_then(|item| item.get(method))
}

/// Whether the document lists this status for a request.
pub(crate) fn is_documented(method: &str, path: &str, status: u16) -> bool {
    operation(path, &method.to_lowercase()).is_some_and(|known| known["responses"][status.to_string()].is_object())
}

impl Answer {
    /// Fails unless the answer is a success with this status.
    #[track_caller]
    pub(crate) fn success(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Fails unless the answer is a complete problem with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], "about:blank");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{}", self.text);
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        assert!(self.headers.contains_key("retry-after") || !matches!(status, 429 | 503), "{}", self.text);
        assert_eq!(self.body.get("errors").is_some(), status == 422, "{}", self.text);
        self
    }

    /// Fails unless the answer is a 422 with exactly these errors, as `pointer code`.
    #[track_caller]
    pub(crate) fn invalid(self, expected: &[&str]) {
        let answer = self.problem(422, "validation_failed");
        let errors = answer.body["errors"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut found: Vec<String> =
            errors.iter().map(|error| format!("{} {}", text(&error["pointer"]), text(&error["code"]))).collect();
        found.sort();
        assert_eq!(found, expected, "{}", answer.text);
    }

    /// The problem's code; empty for a success.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn assert_documented(&self, method: &str, path: &str) {
        assert_eq!(self.undocumented(method, path), None, "{}", self.text);
    }

    /// How the answer violates the OpenAPI document.
    pub(crate) fn undocumented(&self, method: &str, path: &str) -> Option<String> {
        let operation = operation(path, method)?;
        let status = self.status;
        let response = &operation["responses"][status.to_string()];
        let why = if is_documented(method, path, status) { self.unlike(response)? } else { "the status".to_owned() };
        Some(format!("{method} {path} {status} does not document {why}"))
    }

    /// How the answer differs from this response in the document.
    fn unlike(&self, response: &'static Value) -> Option<String> {
        let documented =
            response["headers"].as_object().into_iter().flat_map(Map::keys).map(|name| name.to_lowercase());
        let documented: Vec<String> = documented.collect();
        let is_secret = |name: &&&str| self.headers.contains_key(**name) && !documented.contains(&(**name).to_owned());
        if let Some(name) = TELLING_HEADERS.iter().find(is_secret) {
            return Some(format!("the header {name}"));
        }
        if response["content"].is_null() && self.text.is_empty() {
            return None;
        }
        let content_type = self.header("content-type").split(';').next().unwrap_or_default();
        let content = &response["content"][content_type];
        if !content.is_object() {
            return Some(content_type.to_owned());
        }
        if content_type == "application/problem+json" && !content["examples"][self.code()].is_object() {
            return Some(format!("the code {}", self.code()));
        }
        let schema = &content["schema"];
        self.instances(content_type, schema).iter().find_map(|instance| violation(schema, instance))
    }

    /// The values that its schema describes: a JSON value, each line of a stream, or the plain text.
    fn instances(&self, content_type: &str, schema: &Value) -> Vec<Value> {
        match content_type {
            "application/json" | "application/problem+json" => vec![self.body.clone()],
            "application/x-ndjson" if schema["type"] != "string" => {
                self.text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
            }
            _ => vec![Value::String(self.text.clone())],
        }
    }
}

/// How a value violates a schema of the document.
fn violation(schema: &'static Value, instance: &Value) -> Option<String> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let compile = || {
        let mut root = schema.clone();
        root["components"] = OPENAPI["components"].clone();
        Arc::new(draft202012::new(&root).expect("a schema"))
    };
    let validator = VALIDATORS.lock().expect("no panic").entry(schema.to_string()).or_insert_with(compile).clone();
    validator.validate(instance).err().map(|error| format!("this body: {error} at {}", error.instance_path()))
}
