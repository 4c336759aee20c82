//! What attackers do, by what they are after.

pub(crate) mod bodies;
pub(crate) mod connections;
pub(crate) mod queries;
pub(crate) mod strangers;
pub(crate) mod streams;
