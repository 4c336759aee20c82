//! What is decided: who may do what, in which order, and what happens when it cannot be done.
//!
//! Called by the HTTP layer; calls the repositories. Knows neither HTTP nor MongoDB commands.

pub mod attempts;
pub mod auth;
mod chores;
pub mod data;
pub mod doctor;
pub mod idempotency;
pub mod migration;
pub mod orgs;
pub mod passwords;
mod repeatable;
mod sealer;
mod shared_lookups;
pub mod storage;
pub mod tokens;

pub(crate) use shared_lookups::SharedLookups;

pub use attempts::{Attempts, TooMany};
pub use auth::{AuthError, AuthService};
pub use chores::Chore;
pub use data::{DataError, DataService};
pub use doctor::DoctorService;
pub use idempotency::IdempotencyService;
pub use migration::{ChangeError, MigrationService};
pub use orgs::{OrgError, OrgRules, OrgService, Registration};
pub use passwords::{HashOwner, PasswordError, PasswordHasher};
pub use storage::Storage;
pub use tokens::{AccessToken, TokenService};
