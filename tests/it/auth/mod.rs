//! Logins, their limits, and what a token allows.

mod limits;
mod login;
mod tokens;
