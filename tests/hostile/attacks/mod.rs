//! The attacks, by what they exhaust.

pub(crate) mod bodies;
pub(crate) mod connections;
pub(crate) mod queries;
pub(crate) mod strangers;
pub(crate) mod streams;
