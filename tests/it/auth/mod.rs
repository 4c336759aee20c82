//! Logging in, its limits, and what a token is good for.

mod limits;
mod login;
mod tokens;
