//! The shared vocabulary: organizations, admins, passwords and actors.
//!
//! Every layer may use it; it imports no framework and knows neither HTTP nor MongoDB commands (identifiers are BSON
//! `ObjectId`s because the original's clients and database use them). A value that exists is valid: it is parsed once,
//! at the edge, and never checked again.

pub mod actor;
pub mod admin;
pub mod change;
pub mod documents;
pub mod indexes;
pub mod invalid;
pub mod life;
pub mod network;
pub mod new_id;
pub mod orgs;
pub mod password;
pub mod pattern;
pub mod permission;
pub mod query;
pub mod quota;
pub mod schema;
pub mod tenant;

pub use actor::Actor;
pub use admin::{Admin, AdminId, Credentials, CredentialsChange, Email, EmailQuery};
pub use change::{Change, ChangeId, PlannedChange, Progress, Titles};
pub use invalid::{FieldError, Invalid};
pub(crate) use invalid::{point_into, pointer_into};
pub use life::{ChangeKind, Course, OrgState};
pub use network::Network;
pub use new_id::new_id;
pub use orgs::{Connection, Deletion, FoundBy, OldName, Org, OrgId, OrgName, OrgReference, Slug, Title};
pub use password::{NewPassword, PasswordAttempt, PasswordHash};
pub use quota::{Amount, Quota, QuotaReached, Quotas};
pub use tenant::{OwnerTag, Tenant, TenantCollection};

/// Defines an enum whose names are stable: they are stored, or read by people and programs.
macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $value:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of])* $value,)*
        }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }
        }
    };
}
pub(crate) use named_enum;

/// Defines a newtype over `ObjectId` that prints and parses as 24 hex digits.
macro_rules! object_id_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub bson::oid::ObjectId);

        impl $name {
            /// Generates a new, unique identity.
            pub fn generate() -> Self {
                Self($crate::domain::new_id())
            }

            /// Parses 24 hex digits; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                bson::oid::ObjectId::parse_str(text).ok().map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0.to_hex())
            }
        }
    };
}
pub(crate) use object_id_newtype;
