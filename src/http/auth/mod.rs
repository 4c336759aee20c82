//! `/admin/*`: logging in.

pub(super) mod login;

use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi;
use crate::service::AccessToken;

openapi::calls![login::log_in];

/// A token, as clients of OAuth2 expect it (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
#[schema(as = AccessToken)]
pub(super) struct TokenAnswer {
    /// The token: send it as `Authorization: Bearer <access_token>`.
    #[schema(example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI2OTFmIn0.c2lnbmF0dXJl")]
    pub(super) access_token: String,
    /// Always `bearer`.
    #[schema(value_type = String, example = "bearer")]
    pub(super) token_type: &'static str,
    /// How long it is valid, in seconds.
    #[schema(minimum = 1, example = 3600)]
    pub(super) expires_in: u64,
}

impl From<&AccessToken> for TokenAnswer {
    fn from(token: &AccessToken) -> Self {
        Self {
            access_token: token.token.expose_secret().to_owned(),
            token_type: "bearer",
            expires_in: token.expires_in.as_secs(),
        }
    }
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
