//! Access tokens: JWT, HS256, as the original issued them, plus what ends them before their time:
//! the version of the password and the life of the organization that they were issued for.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::SharedClock;
use crate::domain::{Admin, AdminId, Org, OrgId, OrgState};

/// What our tokens say.
#[derive(Serialize)]
struct IssuedClaims<'a> {
    sub: String,
    email: &'a str,
    org_id: String,
    role: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
    /// The admin's credential version: a change of the password makes older tokens worthless.
    ver: i64,
    /// The organization's token epoch: bringing it back makes older tokens worthless.
    epoch: i64,
}

/// What a token must say. The original's tokens have no `ver` (and perhaps no `iat`, `jti`, `role`, `email`): they
/// belong to the password that the original set, version 0. Without `epoch` they belong to an organization that was never
/// brought back.
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

/// What a checked token claims. Whether the admin still lives is for the database to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenClaims {
    /// The admin.
    pub admin_id: AdminId,
    /// The organization that it speaks for.
    pub org_id: OrgId,
    /// The version of the password that it was issued for.
    pub credential_version: i64,
    /// The life of the organization that it was issued in.
    pub token_epoch: i64,
}

/// How a token stands that its bearer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is current.
    Current,
    /// The change that its bearer asks about ended it.
    EndedByChange,
}

impl TokenClaims {
    /// How the token stands, by the organization's state and epoch and the admin's credential version as they are now;
    /// `None` when it is worthless. `version_set` is the version that the change set that its bearer asks about.
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

/// A token that was just issued.
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
        // The library would ask the machine's clock; `check` asks ours.
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

    /// Issues a token for an admin of this organization who has just shown who it is.
    ///
    /// # Errors
    /// The token cannot be signed: a defect.
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

    /// Reads a token: signature, algorithm, time and shape. `None` for everything that is not right; why is of no
    /// use to an honest client.
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
                    // The change that is asked about is an older one.
                    (4, None, None),
                    (4, Some(3), None),
                    (4, Some(4), Some(Standing::EndedByChange)),
                    // It set the next password, and somebody else the one after it.
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
