//! The only door for raw commands.
//!
//! `run_command` answers `Ok` for a write that failed (`writeErrors`) or was not confirmed (`writeConcernError`),
//! is not repeated by the driver, and ignores the client's write concern. [`run`] turns all of that into errors;
//! the linter refuses the driver's method everywhere else.

use std::time::Duration;

use bson::{Document, doc};
use mongodb::Database;

use super::error::{RepoError, code, index_of};

/// How long a command that changes the catalog may run inside MongoDB. Well below the lease
/// ([`super::orgs::LEASE`]), so that a command cannot outlive its sender's right to send it.
pub(crate) const DDL_MAX_TIME: Duration = Duration::from_secs(3);

/// The write concern of everything: on a majority of members and in the journal, or an error after 5 s.
fn majority() -> Document {
    doc! { "w": "majority", "j": true, "wtimeout": 5_000 }
}

/// Runs a command that changes the catalog, with the time limit and the write concern that all of them have.
///
/// # Errors
/// As [`run`]; [`RepoError::CollectionBusy`] when something else held the collection for too long.
pub(crate) async fn run_ddl(database: &Database, mut command: Document) -> Result<Document, RepoError> {
    command.insert("maxTimeMS", i64::try_from(DDL_MAX_TIME.as_millis()).unwrap_or(i64::MAX));
    command.insert("writeConcern", majority());
    run(database, command).await.map_err(RepoError::of_ddl)
}

/// Runs a command and checks all of its reply.
///
/// # Errors
/// Whatever the command, one of its writes or its write concern met.
pub(crate) async fn run(database: &Database, command: Document) -> Result<Document, RepoError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that checks the replies")]
    let reply = database.run_command(command).await?;
    check(reply)
}

fn check(reply: Document) -> Result<Document, RepoError> {
    let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(|e| e.as_document());
    if let Some(error) = first {
        let number = error.get_i32("code").unwrap_or_default();
        return Err(match number {
            code::COLLECTION_UUID_MISMATCH => {
                RepoError::CollectionMismatch { actual: error.get_str("actualCollection").ok().map(ToOwned::to_owned) }
            }
            code::DUPLICATE_KEY => {
                RepoError::Duplicate { index: index_of(error.get_str("errmsg").unwrap_or_default()) }
            }
            _ => RepoError::from_code(number, error.get_str("codeName").unwrap_or_default()),
        });
    }
    if let Ok(concern) = reply.get_document("writeConcernError") {
        let number = concern.get_i32("code").unwrap_or_default();
        return Err(RepoError::OutcomeUnknown { summary: format!("write concern: {number}") });
    }
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_says_ok_but_holds_an_error_is_an_error() {
        let mismatch = doc! { "ok": 1, "writeErrors": [{ "code": 361, "actualCollection": "org_b" }] };
        assert!(
            matches!(check(mismatch), Err(RepoError::CollectionMismatch { actual: Some(name) }) if name == "org_b")
        );
        let duplicate = doc! { "ok": 1, "writeErrors": [{ "code": 11000, "errmsg": "x index: _id_ dup key: {}" }] };
        assert!(matches!(check(duplicate), Err(RepoError::Duplicate { index }) if index == "_id_"));
        let unconfirmed = doc! { "ok": 1, "writeConcernError": { "code": 64 } };
        assert!(matches!(check(unconfirmed), Err(RepoError::OutcomeUnknown { .. })));
        assert!(check(doc! { "ok": 1 }).is_ok());
    }
}
