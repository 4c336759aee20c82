//! Extended JSON (v2, relaxed): the text in which documents travel, and the BSON in which they are stored.
//!
//! Plain JSON is itself; what JSON lacks is written as MongoDB's specification says (`{"$oid": …}`, `{"$date": …}`,
//! `{"$numberDecimal": …}`, …). Both directions work on raw BSON without a tree in between, because every document that
//! is imported or exported comes through here.

mod id;
mod numbers;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{ReadError, StoredFields, read_query, read_stored, read_value};
pub use write::{WriteError, write_document, write_value};

/// How many levels of objects and arrays may stand inside each other, the document itself included. MongoDB's own limit
/// is not much higher, and every level costs stack in whoever reads it.
pub const MAX_DEPTH: usize = 100;
