//! Tenantry: a self-hosted backend for multi-tenant organizations on MongoDB.
//!
//! Calls go one way: router ([`http`]) -> service ([`service`]) -> repository ([`repo`]) -> MongoDB; answers and errors
//! come back as values. [`domain`] is the language that all of them share, [`extjson`] the text of documents, [`app`] wires
//! them, and [`shares`] divides what there is a bounded amount of. docs/ARCHITECTURE.md is the map.

pub mod app;
pub(crate) mod chaos;
pub mod clock;
pub mod config;
pub mod domain;
pub mod env_file;
pub mod extjson;
pub(crate) mod files;
pub mod healthcheck;
pub mod http;
pub(crate) mod off_thread;
pub mod repo;
pub mod service;
pub mod shares;
pub mod telemetry;
pub mod timings;
