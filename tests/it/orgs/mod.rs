//! `/org/*`

mod changes;
mod create;
mod delete;
mod get;
mod idempotency;
mod leftovers;
mod limits;
mod names;
mod registration;
mod restore;
mod update;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time in an answer.
#[track_caller]
fn time(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a text"), &Rfc3339).expect("a time")
}
