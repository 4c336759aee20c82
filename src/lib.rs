//! Tenantry: a self-hosted backend for multi-tenant organizations on MongoDB.
//!
//! Calls go one way: router ([`http`]) -> service ([`service`]) -> repository ([`repo`]) -> MongoDB; answers and errors
//! come back as values. [`domain`] is the language that all of them share, [`extjson`] the text of documents, [`app`] wires
//! them. docs/ARCHITECTURE.md is
//! the map.

pub mod app;
pub(crate) mod chaos;
pub mod clock;
pub mod config;
pub mod domain;
pub mod env_file;
pub mod extjson;
pub mod healthcheck;
pub mod http;
pub mod repo;
pub mod service;
pub mod telemetry;
