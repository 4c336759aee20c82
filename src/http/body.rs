//! Reads bodies within the limits of size and time, as what `Content-Type` says they are.

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use tokio::time::timeout;

use super::bytes::HeldBytes;
use super::client::Client;
use super::fields::Fields;
use super::problem::{Problem, answers, kinds, not_json};
use super::state::HttpState;
use crate::domain::{Invalid, Network};

/// Roughly how many times its size a body takes in memory while its request runs: the text, and the BSON, which is six
/// times as large for short numbers.
const COPIES: usize = 6;

/// A body of unknown length is counted in steps of this size, each before it is stored.
const STEP_BYTES: usize = 64 << 10;

/// A body as it was sent, with its content type.
#[derive(Debug)]
pub(super) struct RawBody {
    bytes: Bytes,
    content_type: Option<mime::Mime>,
    held: HeldBytes<Network>,
}

/// An unparsed body declared as JSON, up to the size limit of a tenant's document, with its share of the memory budget,
/// to be kept for as long as the document is in memory.
#[derive(Debug)]
pub(super) struct JsonDocument(pub(super) Bytes, pub(super) HeldBytes<Network>);

/// The same, up to the general size limit of bodies.
#[derive(Debug)]
pub(super) struct JsonText(pub(super) Bytes, pub(super) HeldBytes<Network>);

impl FromRequest<HttpState> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        Self::read(request, state, state.limits.max_body_bytes).await
    }
}

answers! { RawBody = [INVALID_JSON, BODY_TIMEOUT, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, VALIDATION_FAILED]; }

answers! { JsonDocument = [] RawBody; }

answers! { JsonText = [] RawBody; }

impl RawBody {
    async fn read(request: Request, state: &HttpState, limit: usize) -> Result<Self, Problem> {
        let content_type = content_type(request.headers());
        // Before the first byte is read, so that a client waiting for "100 Continue" sends nothing in vain.
        if announced_length(request.headers()).is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let client = request.extensions().get::<Client>().ok_or_else(|| Problem::new(kinds::INTERNAL_ERROR))?;
        let announced = request.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let mut held = HeldBytes::of(&state.body_bytes, client.site(), COPIES * announced.unwrap_or_default()).await?;
        // A slow body must not keep its task forever. Half of the request's time, so that the client learns what
        // was slow before that time is over.
        let body = Limited::new(request.into_body(), limit);
        let read = timeout(state.limits.timeout / 2, read_all(body, announced, &mut held)).await;
        match read {
            Ok(Ok(bytes)) => Ok(Self { bytes, content_type, held }),
            Ok(Err(Unread::NoRoom(problem))) => Err(problem),
            Ok(Err(Unread::Broken(error))) if error.is::<LengthLimitError>() => Err(too_large(limit)),
            // The connection broke, or the chunks were malformed.
            Ok(Err(Unread::Broken(_))) => {
                Err(Problem::new(kinds::BAD_REQUEST).with_detail("The body ended before its end"))
            }
            Err(_elapsed) => Err(Problem::new(kinds::BODY_TIMEOUT)),
        }
    }
}

impl FromRequest<HttpState> for JsonDocument {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        let body = RawBody::read(request, state, state.limits.max_document_bytes).await?;
        body.json_text().map(|(text, held)| Self(text, held))
    }
}

impl FromRequest<HttpState> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        RawBody::from_request(request, state).await?.json_text().map(|(text, held)| Self(text, held))
    }
}

impl RawBody {
    /// The body's bytes.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Whether the body is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The named fields of an HTML form, if the body is declared as one. Its other fields are ignored.
    pub(super) fn form_fields(&self, names: &[&str]) -> Option<Fields> {
        let is_form = |kind: &mime::Mime| kind.essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED.essence_str();
        self.content_type.as_ref().is_some_and(is_form).then(|| {
            let pairs = form_urlencoded::parse(&self.bytes).filter(|(name, _)| names.contains(&name.as_ref()));
            Fields::new(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))))
        })
    }

    /// The text, if it is declared as JSON.
    fn json_text(self) -> Result<(Bytes, HeldBytes<Network>), Problem> {
        if self.is_json() { Ok((self.bytes, self.held)) } else { Err(Problem::new(kinds::UNSUPPORTED_MEDIA_TYPE)) }
    }

    fn is_json(&self) -> bool {
        let is_json = |kind: &mime::Mime| kind.subtype() == mime::JSON || kind.suffix() == Some(mime::JSON);
        self.content_type.as_ref().is_some_and(is_json)
    }

    fn begins_as_object(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"{")
    }

    /// The fields of a JSON object.
    pub(super) fn json_fields(&self) -> Result<Fields, Problem> {
        if !self.is_json() {
            return Err(Problem::new(kinds::UNSUPPORTED_MEDIA_TYPE));
        }
        match serde_json::from_slice::<Members>(&self.bytes) {
            Ok(Members(members)) => Ok(Fields::new(members)),
            Err(_) if !self.begins_as_object() && serde_json::from_slice::<IgnoredAny>(&self.bytes).is_ok() => {
                Err(Problem::invalid(vec![Invalid::new("wrong_type", "must be a JSON object").at("")]))
            }
            Err(error) => Err(not_json(error.line(), error.column())),
        }
    }
}

/// The problem of a body larger than the limit for its kind.
pub(super) fn too_large(limit: impl std::fmt::Display) -> Problem {
    let detail = format!("The body is larger than the {limit} bytes that this server reads");
    Problem::new(kinds::BODY_TOO_LARGE).with_detail(detail)
}

pub(super) fn content_type(headers: &HeaderMap) -> Option<mime::Mime> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}

pub(super) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why a body was not read.
enum Unread {
    /// The memory budget has no room for it.
    NoRoom(Problem),
    /// It is too long or was cut off.
    Broken(BoxError),
}

/// Reads a body to its end; counts one of unknown length as it arrives.
async fn read_all(
    mut body: Limited<Body>,
    announced: Option<usize>,
    held: &mut HeldBytes<Network>,
) -> Result<Bytes, Unread> {
    let Some(first) = next_piece(&mut body).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_piece(&mut body).await? else { return Ok(first) };
    let mut bytes = Vec::with_capacity(announced.unwrap_or(STEP_BYTES));
    bytes.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(present) = piece {
        if announced.is_none() {
            let steps = (bytes.len() + present.len()).div_ceil(STEP_BYTES);
            held.grow_to(COPIES * steps * STEP_BYTES).await.map_err(Unread::NoRoom)?;
        }
        bytes.extend_from_slice(&present);
        piece = next_piece(&mut body).await?;
    }
    Ok(bytes.into())
}

/// The next piece of a body; trailers are ignored.
async fn next_piece(body: &mut Limited<Body>) -> Result<Option<Bytes>, Unread> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Unread::Broken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The members of a JSON object in order, duplicates included. `serde_json`'s own map silently keeps the last of two,
/// and the client may have meant the first.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ReadMembers;
        impl<'de> Visitor<'de> for ReadMembers {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(ReadMembers)
    }
}
