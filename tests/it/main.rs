//! The tests against a real mongod: each has a database of its own, all share one server.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod lifecycle;
mod support;
mod takeover;
