//! Access tokens: JWT, HS256, as the original issued them. A new password or a new life of the organization ends them
//! early.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::SharedClock;
use crate::domain::{Admin, AdminId, Org, OrgId, OrgState};

/// The claims of our tokens.
#[derive(Serialize)]
struct IssuedClaims<'a> {
    sub: String,
    email: &'a str,
    org_id: String,
    role: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
    /// The admin's credential version: a password change invalidates older tokens.
    ver: i64,
    /// The organization's token epoch: a restore invalidates older tokens.
    epoch: i64,
}

/// The claims a token must have. The original's tokens have no `ver` (and perhaps no `iat`, `jti`, `role`, `email`):
/// they belong to the password that the original set, version 0. Without `epoch`, the organization was never restored.
#[derive(Deserialize)]
struct ReadClaims {
    sub: String,
    org_id: String,
    exp: f64,
    nbf: Option<f64>,
    #[serde(default)]
    ver: i64,
    #[serde(default)]
    epoch: i64,
}

/// The claims of a checked token. Only the database knows whether the admin still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaims {
    /// The admin.
    pub admin_id: AdminId,
    /// The organization that it is for.
    pub org_id: OrgId,
    /// The password version that it was issued for.
    pub credential_version: i64,
    /// The organization's life that it was issued in.
    pub token_epoch: i64,
}

/// The standing of an accepted token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is current.
    Current,
    /// It was ended by the change that its bearer asks about.
    EndedByChange,
}

impl TokenClaims {
    /// The token's standing, given the organization's current state and epoch and the admin's current credential
    /// version; `None` when it is invalid. `version_set` is the version set by the change that its bearer asks about.
    pub(super) fn standing(
        self,
        state: OrgState,
        token_epoch: i64,
        credential_version: i64,
        version_set: Option<i64>,
    ) -> Option<Standing> {
        if !state.is_visible() || token_epoch != self.token_epoch {
            return None;
        }
        if credential_version == self.credential_version {
            return Some(Standing::Current);
        }
        let is_next = credential_version == self.credential_version + 1;
        (is_next && version_set == Some(credential_version)).then_some(Standing::EndedByChange)
    }
}

/// A newly issued token.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The compact JWT.
    pub token: SecretString,
    /// How long it is valid.
    pub expires_in: Duration,
}

/// Issues and checks access tokens.
#[derive(Clone)]
pub struct TokenService {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
    clock: SharedClock,
}

impl std::fmt::Debug for TokenService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenService").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl TokenService {
    /// Tokens signed with this secret.
    pub fn new(secret: &SecretString, lifetime: Duration, clock: SharedClock) -> Self {
        let secret = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        // The library would use the machine's clock; `check` uses ours.
        validation.validate_exp = false;
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            lifetime,
            clock,
        }
    }

    /// Issues a token for an admin of this organization who has just authenticated.
    pub fn issue(&self, admin: &Admin, org: &Org) -> Result<AccessToken, jsonwebtoken::errors::Error> {
        let now = self.clock.now().unix_timestamp();
        let claims = IssuedClaims {
            sub: admin.id.to_string(),
            email: admin.email.as_str(),
            org_id: admin.org_id.to_string(),
            role: &admin.role,
            iat: now,
            exp: now.saturating_add_unsigned(self.lifetime.as_secs()),
            jti: Uuid::new_v4(),
            ver: admin.credential_version,
            epoch: org.token_epoch,
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)?;
        Ok(AccessToken { token: token.into(), expires_in: self.lifetime })
    }

    /// Reads a token: signature, algorithm, time and shape. `None` if anything is wrong: honest clients need no reason.
    pub fn check(&self, token: &str) -> Option<TokenClaims> {
        let claims = decode::<ReadClaims>(token, &self.decoding, &self.validation).ok()?.claims;
        #[expect(clippy::cast_precision_loss, reason = "exact for the next 280 million years")]
        let now = self.clock.now().unix_timestamp() as f64;
        let is_current = now < claims.exp && claims.nbf.is_none_or(|from| from <= now);
        if !is_current {
            return None;
        }
        Some(TokenClaims {
            admin_id: AdminId::from_hex(&claims.sub)?,
            org_id: OrgId::from_hex(&claims.org_id)?,
            credential_version: claims.ver,
            token_epoch: claims.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_as_the_organization_the_password_and_the_change_say() {
        let claims = TokenClaims {
            admin_id: AdminId::generate(),
            org_id: OrgId::generate(),
            credential_version: 3,
            token_epoch: 1,
        };
        let states = [
            (OrgState::Provisioning, false),
            (OrgState::Active, true),
            (OrgState::Renaming, true),
            (OrgState::Deleting, false),
            (OrgState::Deleted, false),
            (OrgState::Restoring, false),
        ];
        for (state, is_visible) in states {
            for epoch in 0..=2 {
                for (version, version_set, expected) in [
                    (2, None, None),
                    (2, Some(2), None),
                    (3, None, Some(Standing::Current)),
                    (3, Some(3), Some(Standing::Current)),
                    // Asks about an older change.
                    (4, None, None),
                    (4, Some(3), None),
                    (4, Some(4), Some(Standing::EndedByChange)),
                    // It set the next password, and another change the one after.
                    (5, Some(4), None),
                    // It was made with another token.
                    (5, Some(5), None),
                ] {
                    let expected = expected.filter(|_| is_visible && epoch == 1);
                    let standing = claims.standing(state, epoch, version, version_set);
                    assert_eq!(standing, expected, "{state:?}, epoch {epoch}, version {version}, set {version_set:?}");
                }
            }
        }
    }
}
