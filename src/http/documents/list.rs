//! `GET /org/{organization_name}/documents`

use axum::extract::{OriginalUri, RawQuery, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{parse_filter, thought_about, unreadable};
use crate::domain::Invalid;
use crate::domain::permission::{Allowed, DocumentsRead};
use crate::domain::query::{Fields as DocumentFields, Sort};
use crate::extjson::write_document;
use crate::http::bytes::HeldBytes;
use crate::http::client::Client;
use crate::http::fields::Fields;
use crate::http::problem::{Failed, Problem, calls};
use crate::http::state::{HttpState, Service};
use crate::off_thread::off_thread;
use crate::service::data::{ListDocuments, Page};
use crate::service::{DataError, DataService};

/// How many documents a page has if nothing else is asked.
const DEFAULT_LIMIT: u32 = 50;
/// How many documents a page can have.
const MAX_LIMIT: u32 = 1_000;

/// A page of documents.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentPage)]
pub(in crate::http) struct PageAnswer {
    /// The documents, in their order.
    #[schema(value_type = Vec<Object>, example = json!([{ "_id": { "$oid": "691f2a3b4c5d6e7f80910a1b" }, "name": "Ada" }]))]
    documents: Box<RawValue>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required = true)]
    next: Option<String>,
    /// How many documents match the filter, on all pages; with `count=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    total: Option<u64>,
}

/// What is asked for.
struct Asked {
    query: ListDocuments,
    fields: Option<DocumentFields>,
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut fields = Fields::of_query(query);
        let filter = fields.optional_inner("filter", parse_filter).unwrap_or_default();
        let sort = fields.optional("sort", Sort::parse).unwrap_or_default();
        let picked = fields.optional("fields", DocumentFields::parse);
        let limit = fields.optional("limit", parse_limit).unwrap_or(DEFAULT_LIMIT);
        let cursor = fields.optional("cursor", |cursor| Ok(cursor.to_owned()));
        let is_counted = fields.optional("count", parse_flag).unwrap_or_default();
        fields.finish(Some(Self { query: ListDocuments { filter, sort, limit, cursor, is_counted }, fields: picked }))
    }
}

fn parse_limit(text: &str) -> Result<u32, Invalid> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Invalid::new("invalid_value", format!("must be a whole number from 1 to {MAX_LIMIT}")))
}

/// `true` or `false`.
pub(in crate::http) fn parse_flag(text: &str) -> Result<bool, Invalid> {
    text.parse().map_err(|_neither| Invalid::new("invalid_value", "must be true or false"))
}

/// List documents
///
/// Pages of documents, in a stable order: others may write meanwhile, and nothing that stays is shown twice or left out. Follow
/// `next` (or the `Link` header) with the same `filter` and `sort`; a cursor is good for nothing else.
///
/// `filter` is MongoDB's query language with `$eq $ne $gt $gte $lt $lte $in $nin $and $or $nor $not $exists $type $all $elemMatch
/// $size $mod $regex`. A pattern whose matching could take long is refused with its place (`pattern_too_costly`,
/// `unsupported_pattern`: lookaround, back references). A page ends early, with a `next`, when its documents together are larger
/// than 1 MiB.
#[utoipa::path(
    get, path = "/org/{organization_name}/documents", tag = "documents", operation_id = "list_documents",
    params(
        ("filter" = Option<String>, Query, description = "Which documents: a JSON object", example = "{\"age\":{\"$gte\":18}}"),
        ("sort" = Option<String>, Query, description = "In which order: up to 8 fields with commas, `-` for descending; `_id` ends it", example = "-created,name"),
        ("fields" = Option<String>, Query, description = "Only these fields, and `_id`", example = "name,address.city"),
        ("limit" = Option<u32>, Query, description = "At most how many", minimum = 1, maximum = 1000, example = 50),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("count" = Option<bool>, Query, description = "Whether to count all that match")
    ),
    responses((
        status = 200, description = "A page of documents", body = PageAnswer,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page; not on the last"))
    ))
)]
pub(in crate::http) async fn list(
    tenant: Allowed<DocumentsRead>,
    data: Service<DataService>,
    client: Client,
    State(state): State<HttpState>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Response, Failed<DataError, { calls::READ }>> {
    let read = off_thread(thought_about(query.as_deref()), move || Asked::read(query.as_deref()));
    let Asked { query, fields } = read.await?;
    let bound = data.page_bound(&tenant, query.limit);
    let held = HeldBytes::of(&state.answer_bytes, tenant.org_id(), bound).await?;
    let page = client.while_it_listens(data.list(&tenant, &query)).await??;
    let link = page.next.as_deref().and_then(|cursor| link(&uri, cursor));
    let body = off_thread(page.bytes, move || answer(page, fields.as_ref())).await?;
    let length = body.len();
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    held.until_sent(length, &mut response);
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The page as JSON.
fn answer(page: Page, fields: Option<&DocumentFields>) -> Result<Vec<u8>, Problem> {
    let documents = RawValue::from_string(documents(&page, fields)?).map_err(|_broken| unreadable())?;
    let answer = PageAnswer { documents, next: page.next, total: page.total };
    serde_json::to_vec(&answer).map_err(|_broken| unreadable())
}

/// The documents of a page as a JSON array.
fn documents(page: &Page, fields: Option<&DocumentFields>) -> Result<String, Problem> {
    let mut text = vec![b'['];
    for document in page.documents()? {
        let document = document?;
        if text.len() > 1 {
            text.push(b',');
        }
        let written = match fields {
            Some(fields) => write_document(&mut text, &fields.pick(document).map_err(|_malformed| unreadable())?),
            None => write_document(&mut text, document),
        };
        written.map_err(|_malformed| unreadable())?;
    }
    text.push(b']');
    String::from_utf8(text).map_err(|_broken| unreadable())
}

/// The same query with another cursor (RFC 8288).
fn link(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(name, _)| name != "cursor");
    let query = Serializer::new(String::new()).extend_pairs(kept).append_pair("cursor", cursor).finish();
    HeaderValue::from_str(&format!("<{}?{query}>; rel=\"next\"", uri.path())).ok()
}
