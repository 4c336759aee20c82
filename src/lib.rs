//! Tenantry: a self-hosted backend for multi-tenant organizations on MongoDB.
//!
//! Calls go one way: router ([`http`]) -> service ([`service`]) -> repository ([`repo`]) -> MongoDB; answers and errors
//! come back as values. All of them speak the language of [`domain`]; [`extjson`] reads and writes documents, [`app`] wires
//! everything, and [`shares`] divides bounded resources. docs/ARCHITECTURE.md is the map.

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
