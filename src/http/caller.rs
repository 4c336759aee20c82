//! Identifies the sender of a request by its Bearer token. A handler that takes an [`Actor`] requires a valid one.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use secrecy::SecretString;
use tracing::Span;

use super::observe::ORGANIZATION_ID;
use super::problem::{Failed, Problem, answers, calls, kinds};
use super::state::{HttpState, Service};
use crate::domain::Actor;
use crate::service::tokens::TokenClaims;
use crate::service::{AuthError, AuthService};

impl FromRequestParts<HttpState> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        Bearer::from_request_parts(parts, state).await?.recognize().await
    }
}

/// The bearer of a token that we signed and that has not expired. Its admin may be gone: a request that is repeated can
/// have ended its own token.
#[derive(Debug)]
pub(super) struct Bearer {
    /// The token's claims.
    pub(super) claims: TokenClaims,
    auth: Service<AuthService>,
}

impl FromRequestParts<HttpState> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let token = bearer_token(parts).ok_or_else(|| Problem::new(kinds::MISSING_TOKEN))?.to_owned();
        let auth = Service::<AuthService>::from_request_parts(parts, state).await?;
        Ok(Self { claims: auth.read(&token)?, auth })
    }
}

impl Bearer {
    /// Tells the requests of different people apart.
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.claims.org_id, self.claims.admin_id)
    }

    /// The live admin behind the token.
    pub(super) async fn recognize(&self) -> Result<Actor, Problem> {
        let actor = self.auth.recognize(self.claims).await?;
        Span::current().record(ORGANIZATION_ID, tracing::field::display(actor.org().id));
        Ok(actor)
    }
}

answers! { Bearer = [MISSING_TOKEN] Failed<AuthError, { calls::RECOGNIZE }>, Service<AuthService>; }

answers! { Actor = [] Bearer; }

answers! { Option<Actor> = [] Service<AuthService>; }

answers! { AnyToken = []; }

impl OptionalFromRequestParts<HttpState> for Actor {
    type Rejection = Problem;

    /// For public calls that show more to some: an invalid token counts as none.
    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Option<Self>, Problem> {
        match <Self as FromRequestParts<HttpState>>::from_request_parts(parts, state).await {
            Ok(actor) => Ok(Some(actor)),
            Err(problem) if problem.is_unauthenticated() => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// The request's bearer token, if any; it need not be an admin's.
#[derive(Debug)]
pub(super) struct AnyToken(pub(super) Option<SecretString>);

impl FromRequestParts<HttpState> for AnyToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Infallible> {
        Ok(Self(bearer_token(parts).map(SecretString::from)))
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1). The scheme's case does not matter.
fn bearer_token(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
