//! `/org/{organization_name}/documents` and `/export`: an organization's documents. One file for each call; here is what
//! they share.

pub(super) mod delete;
pub(super) mod export;
pub(super) mod get;
pub(super) mod import;
pub(super) mod insert;
mod lines;
pub(super) mod list;
pub(super) mod patch;
pub(super) mod replace;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bson::raw::RawDocumentBuf;
use tracing::error;

use super::bytes::HeldBytes;
use super::openapi;
use super::problem::{Problem, kinds};
use super::state::HttpState;
use crate::domain::documents::{DocumentId, EntityTag, NewDocument};
use crate::domain::query::Filter;
use crate::domain::{FieldError, Invalid};
use crate::domain::{OrgId, Tenant};
use crate::extjson::{ReadError, StoredFields, read_query, write_document};
use crate::off_thread::off_thread;
use crate::service::DataService;
use crate::shares::Owner;

openapi::calls![insert::insert, list::list, get::get, replace::replace, patch::patch, delete::delete, export::export];

/// The answer that shows a document, with its tag.
async fn shown<K: Owner + Sync>(
    status: StatusCode,
    document: RawDocumentBuf,
    tag: &EntityTag,
    held: HeldBytes<K>,
) -> Result<Response, Problem> {
    let bytes = document.as_bytes().len();
    let body = off_thread(bytes, move || {
        let mut body = Vec::with_capacity(bytes * 2);
        write_document(&mut body, &document).map_err(|_malformed| unreadable())?;
        Ok::<_, Problem>(body)
    });
    let body = body.await?;
    let length = body.len();
    let mut response = (status, body).into_response();
    held.until_sent(length, &mut response);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    insert_tag(headers, tag);
    Ok(response)
}

/// The answer to a write, which shows what is stored now.
async fn written<K: Owner + Sync>(
    status: StatusCode,
    document: NewDocument,
    held: HeldBytes<K>,
) -> Result<Response, Problem> {
    let tag = document.tag();
    shown(status, document.raw, &tag, held).await
}

/// The right to hold one document of a tenant in memory.
async fn hold_document(state: &HttpState, data: &DataService, tenant: &Tenant) -> Result<HeldBytes<OrgId>, Problem> {
    HeldBytes::of(&state.answer_bytes, tenant.org_id(), data.reply_bound(tenant, 1)).await
}

fn insert_tag(headers: &mut HeaderMap, tag: &EntityTag) {
    // Tags of our own are hex digits or base64, which every header can hold.
    if let Ok(tag) = HeaderValue::from_str(&tag.to_string()) {
        headers.insert(header::ETAG, tag);
    }
}

/// A stored document that is no BSON.
fn unreadable() -> Problem {
    error!("a stored document cannot be read");
    Problem::new(kinds::INTERNAL_ERROR)
}

/// A document that is to be created; it gets an id if it has none.
fn new_document(read: StoredFields) -> Result<NewDocument, Problem> {
    let id = read.id.map_or_else(|| Ok(DocumentId::generate()), DocumentId::of_new);
    let id = id.map_err(|invalid| Problem::invalid(vec![invalid.at("/_id")]))?;
    NewDocument::new(id, &read.fields).map_err(whole)
}

/// What is wrong with a document as a whole.
fn whole(why: Invalid) -> Problem {
    Problem::invalid(vec![why.at("")])
}

/// As how many bytes of a body reading a query counts. A filter can hold patterns, which are thought about for as long as many
/// bytes are read, and whatever is percent-encoded can be a filter.
fn thought_about(query: Option<&str>) -> usize {
    if query.is_some_and(|query| query.contains("filter") || query.contains('%')) { usize::MAX } else { 0 }
}

/// Reads the parameter `filter`.
fn parse_filter(text: &str) -> Result<Filter, Vec<FieldError>> {
    let filter = read_query(text.as_bytes()).map_err(|error| match error {
        ReadError::Invalid(errors) => errors,
        ReadError::Syntax { column, .. } => {
            vec![Invalid::new("invalid_json", format!("is not JSON, at character {column}")).at("")]
        }
    })?;
    Filter::parse(&filter)
}
