//! Black-box tests: real servers on real sockets, with a real mongod. Each test has its own database; all except those
//! that stop MongoDB share one mongod. Every answer is checked against the OpenAPI document.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on says why")]
#![expect(clippy::disallowed_methods, reason = "a test looks at MongoDB, and damages it, past the repositories")]

mod access;
mod auth;
mod command_line;
mod contract;
mod demo;
mod doctor;
mod documents;
mod failpoints;
mod faults;
mod neighbours;
mod noise;
mod orgs;
mod privacy;
mod repeatable;
mod repos;
mod storage;
mod support;
mod takeover;
