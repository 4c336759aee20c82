//! Extended JSON (v2, relaxed): documents are transferred as this text and stored as BSON.
//!
//! Plain JSON stays as it is; other values are written as in MongoDB's specification (`{"$oid": …}`, `{"$date": …}`,
//! `{"$numberDecimal": …}`, …). Both directions work on raw BSON without a tree in between, because every imported and
//! exported document passes through here.

mod id;
mod numbers;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{ReadError, StoredFields, read_query, read_stored, read_value};
pub use write::{WriteError, write_document, write_value};

/// The deepest nesting of objects and arrays, including the document itself. MongoDB's own limit is not much higher,
/// and every level costs stack when reading.
pub const MAX_DEPTH: usize = 100;
