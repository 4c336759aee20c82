//! `GET /org/{organization_name}/export`

use axum::extract::{RawQuery, State};
use axum::response::Response;
use metrics::counter;

use super::{parse_filter, thought_about, unreadable};
use crate::domain::permission::{Allowed, DocumentsRead};
use crate::domain::query::Filter;
use crate::extjson::write_document;
use crate::http::bytes::HeldBytes;
use crate::http::client::Client;
use crate::http::fields::Fields;
use crate::http::problem::{Failed, Problem, calls, kinds};
use crate::http::state::{HttpState, Service};
use crate::http::streams::{ClientGone, CutLine, LineSender, Unsent};
use crate::off_thread::off_thread;
use crate::service::data::{DocumentBatch, Export};
use crate::service::{DataError, DataService};

/// Roughly how many bytes are sent at once: few enough for a slow client to receive in time.
const PIECE_BYTES: usize = 64 << 10;

/// Export documents
///
/// All documents, or those of the filter, one a line (NDJSON), in the order of their `_id`; they can be imported again as they
/// are. A rename of the organization meanwhile does no harm. Documents that are written meanwhile may be in it or not. If the
/// export had to be cut, its last line is `{"error": …}`: the only line without an `_id`; where not even that could be sent, the
/// connection breaks.
#[utoipa::path(
    get, path = "/org/{organization_name}/export", tag = "documents", operation_id = "export_documents",
    params(
        ("filter" = Option<String>, Query, description = "Which documents: a JSON object, as for the list", example = "{\"age\":{\"$gte\":18}}")
    ),
    responses((
        status = 200, description = "The documents, one a line", body = String, content_type = "application/x-ndjson",
        example = "{\"_id\":1,\"name\":\"Ada\"}\n{\"_id\":2,\"name\":\"Grace\"}\n"
    ))
)]
pub(in crate::http) async fn export(
    tenant: Allowed<DocumentsRead>,
    data: Service<DataService>,
    client: Client,
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failed<DataError, { calls::READ }>> {
    let filter = off_thread(thought_about(query.as_deref()), move || read(query.as_deref())).await?;
    let share = state.stream_share(tenant.org_id()).await?;
    // Before the answer begins, so that an error in the query gets its own status.
    let begin = async {
        let mut export = data.export(&tenant, filter).await?;
        // One batch is sent while the next is on its way, and pieces of it are text.
        let held = HeldBytes::of(&state.stream_bytes, tenant.org_id(), 3 * export.batch_bound()).await?;
        let first = export.next().await?;
        Ok::<_, Problem>((export, first, held))
    };
    let (export, first, held) = client.while_it_listens(begin).await??;
    Ok(state.stream((share, held), |lines| run(export, first, lines)))
}

fn read(query: Option<&str>) -> Result<Filter, Problem> {
    let mut fields = Fields::of_query(query);
    let filter = fields.optional_inner("filter", parse_filter).unwrap_or_default();
    fields.finish(Some(filter))
}

async fn run(mut export: Export, first: Option<DocumentBatch>, mut answer: LineSender) {
    let mut batch = first;
    while let Some(present) = batch {
        if answer.stop.is_cancelled() {
            return cut(Problem::new(kinds::SERVER_STOPPING), answer).await;
        }
        // Fetches the next batch while this one is sent, and stops waiting for it when the client is gone.
        let listener = answer.listener();
        let next = async { Ok(listener.while_it_listens(export.next()).await?) };
        batch = match tokio::try_join!(next, send(&present, &mut answer)) {
            Ok((Ok(next), ())) => next,
            Ok((Err(error), ())) => return cut(error.into(), answer).await,
            Err(NotSent::Unreadable) => return cut(unreadable(), answer).await,
            Err(NotSent::ByClient(Unsent::TooSlow)) => return cut(Problem::new(kinds::ANSWER_TIMEOUT), answer).await,
            Err(NotSent::ByClient(Unsent::ClientGone)) => return,
        };
    }
    answer.finish();
}

/// Why a batch was not sent.
enum NotSent {
    ByClient(Unsent),
    Unreadable,
}

impl From<Unsent> for NotSent {
    fn from(why: Unsent) -> Self {
        Self::ByClient(why)
    }
}

impl From<ClientGone> for NotSent {
    fn from(_: ClientGone) -> Self {
        Self::ByClient(Unsent::ClientGone)
    }
}

async fn send(batch: &DocumentBatch, answer: &mut LineSender) -> Result<(), NotSent> {
    let (mut piece, mut documents) = (Vec::with_capacity(PIECE_BYTES), 0);
    for document in batch.documents().map_err(|_malformed| NotSent::Unreadable)? {
        let document = document.map_err(|_malformed| NotSent::Unreadable)?;
        write_document(&mut piece, document).map_err(|_malformed| NotSent::Unreadable)?;
        piece.push(b'\n');
        documents += 1;
        if piece.len() >= PIECE_BYTES {
            answer.send(std::mem::replace(&mut piece, Vec::with_capacity(PIECE_BYTES))).await?;
        }
    }
    counter!("documents_exported_total").increment(documents);
    if piece.is_empty() { Ok(()) } else { Ok(answer.send(piece).await?) }
}

async fn cut(problem: Problem, answer: LineSender) {
    answer.end(&CutLine { error: problem.into_failure() }).await;
}
