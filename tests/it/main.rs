//! The tests against a real mongod: each has a database of its own, all share one server.

mod lifecycle;
mod support;
mod takeover;
