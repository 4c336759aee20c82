//! Tenantry: a self-hosted backend for multi-tenant organizations on MongoDB.
//!
//! Calls go one way: router -> service -> repository -> MongoDB; answers and errors come back as values.
//! `domain` is the language that all of them share.

pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod repo;
pub mod service;
