//! The only place that sends raw commands.
//!
//! `run_command` returns `Ok` for a write that failed (`writeErrors`) or was not confirmed (`writeConcernError`), is
//! not retried by the driver, and ignores the client's write concern. [`run`] turns all of that into errors; elsewhere,
//! the linter refuses the driver's method.

use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use mongodb::Database;
use mongodb::raw_batch_cursor::RawBatchCursor;

use super::error::{RepoError, code};
use crate::chaos;

/// How long a document write may run inside MongoDB.
const WRITE_MAX_TIME: Duration = Duration::from_secs(5);

/// The write concern for all writes: journaled on a majority of members, or an error after 5 s.
fn majority() -> Document {
    if chaos::is_on("CHAOS_W1") {
        return doc! { "w": 1 };
    }
    doc! { "w": "majority", "j": true, "wtimeout": 5_000 }
}

/// Runs a command that changes the catalog, with this time limit and the common write concern.
///
/// # Errors
/// As [`run`]; [`RepoError::CollectionBusy`] when something else held the collection for too long.
pub(crate) async fn run_ddl(
    database: &Database,
    limit: Duration,
    mut command: Document,
) -> Result<Document, RepoError> {
    command.insert("maxTimeMS", millis(limit));
    command.insert("writeConcern", majority());
    run(database, command).await.map_err(RepoError::of_ddl)
}

/// Runs a command and checks its whole reply.
pub(crate) async fn run(database: &Database, command: Document) -> Result<Document, RepoError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that checks the replies")]
    let reply = database.run_command(command).await?;
    check(reply)
}

/// Like [`run`], for a command with documents that are sent as they are.
pub(crate) async fn run_raw(database: &Database, command: RawDocumentBuf) -> Result<Document, RepoError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that checks the replies")]
    let reply = database.run_raw_command(command).await?;
    check(reply)
}

/// Runs a command of this many independent inserts. Returns the failed ones, by position.
pub(crate) async fn run_many(
    database: &Database,
    command: RawDocumentBuf,
    inserts: usize,
) -> Result<Vec<(usize, RepoError)>, RepoError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that checks the replies")]
    let reply = database.run_raw_command(command).await;
    let reply = reply.map_err(|error| if inserts > 1 { RepoError::of_batch(error) } else { error.into() })?;
    // First: without it, even inserts that did not fail are uncertain.
    check_concern(&reply)?;
    let errors: Vec<_> = write_errors(&reply).map(|error| (place_of(error), of_write(error))).collect();
    let done = reply.get_i32("n").ok().and_then(|done| usize::try_from(done).ok()).unwrap_or_default();
    if done + errors.len() == inserts {
        Ok(errors)
    } else {
        Err(RepoError::BatchBroken { summary: "the reply leaves some inserts out".to_owned() })
    }
}

/// Runs a command that returns a cursor, with at most this many documents per further batch. Never retried.
pub(crate) async fn run_cursor(
    database: &Database,
    command: Document,
    batch_documents: u32,
) -> Result<RawBatchCursor, RepoError> {
    #[expect(clippy::disallowed_methods, reason = "an error of a read is in the reply itself")]
    let cursor = database.run_cursor_command(command).batch_size(batch_documents).batch().await;
    cursor.map_err(RepoError::of_read)
}

/// A write command with many documents, or with documents sent as they are, with the limits common to all writes.
pub(crate) fn raw_write(mut head: Document) -> Result<RawDocumentBuf, RepoError> {
    head.insert("maxTimeMS", millis(WRITE_MAX_TIME));
    head.insert("writeConcern", majority());
    RawDocumentBuf::try_from(&head).map_err(|_error| RepoError::Refused { summary: "a command has a NUL".to_owned() })
}

/// A duration in the form that commands use.
pub(crate) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn check(reply: Document) -> Result<Document, RepoError> {
    // First: without it, nothing else in the reply is certain, not even a refusal.
    check_concern(&reply)?;
    let refused = write_errors(&reply).next().map(of_write);
    refused.map_or(Ok(reply), Err)
}

fn check_concern(reply: &Document) -> Result<(), RepoError> {
    match reply.get_document("writeConcernError") {
        Ok(concern) => {
            let number = concern.get_i32("code").unwrap_or_default();
            Err(RepoError::unknown(format!("write concern: {number}")))
        }
        Err(_absent) => Ok(()),
    }
}

fn write_errors(reply: &Document) -> impl Iterator<Item = &Document> {
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error.as_document())
}

/// The position of the write that an error is about.
fn place_of(error: &Document) -> usize {
    error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX)
}

fn of_write(error: &Document) -> RepoError {
    let number = error.get_i32("code").unwrap_or_default();
    if number == code::DOCUMENT_VALIDATION_FAILURE {
        let info = error.get_document("errInfo").cloned().unwrap_or_default();
        return RepoError::DocumentRefused { info: Box::new(info) };
    }
    let text = |field| error.get_str(field).unwrap_or_default();
    match RepoError::from_code(number, text("codeName"), text("errmsg"), error.get_str("actualCollection").ok()) {
        // The command was understood, so this document was refused: an index of some kind cannot hold it, say.
        RepoError::Refused { summary } => RepoError::NotAccepted { summary },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Effect;

    #[test]
    fn a_reply_that_says_ok_but_holds_an_error_is_an_error() {
        let mismatch = doc! { "ok": 1, "writeErrors": [{ "code": 361, "actualCollection": "org_b" }] };
        assert!(
            matches!(check(mismatch), Err(RepoError::CollectionMismatch { actual: Some(name) }) if name == "org_b")
        );
        let duplicate = doc! { "ok": 1, "writeErrors": [{ "code": 11000, "errmsg": "x index: _id_ dup key: {}" }] };
        assert!(matches!(check(duplicate), Err(RepoError::Duplicate { index }) if index == "_id_"));
        let unconfirmed = doc! { "ok": 1, "writeConcernError": { "code": 64 } };
        assert!(check(unconfirmed).is_err_and(|error| error.effect() == Effect::Unknown));
        assert!(check(doc! { "ok": 1 }).is_ok());
    }
}
