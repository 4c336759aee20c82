//! Who sends a request, by its Bearer token. A handler that takes a [`Actor`] cannot be reached without one.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use secrecy::SecretString;
use tracing::Span;

use super::observe::ORGANIZATION_ID;
use super::problem::calls::RECOGNIZE;
use super::problem::{Failed, Problem, answers, kinds};
use super::state::{HttpState, Services};
use crate::domain::Actor;
use crate::service::AuthError;
use crate::service::tokens::TokenClaims;

impl FromRequestParts<HttpState> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let bearer = Bearer::from_request_parts(parts, state).await?;
        let services = Services::from_request_parts(parts, state).await?;
        bearer.recognize(&services).await
    }
}

/// Who a request says it is, with a token that was ours to give and is not too old. Whether its admin still lives is not
/// known: a request that is repeated can have ended its own token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bearer(pub(super) TokenClaims);

impl FromRequestParts<HttpState> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let token = bearer_token(parts).ok_or_else(|| Problem::new(kinds::MISSING_TOKEN))?.to_owned();
        let services = Services::from_request_parts(parts, state).await?;
        Ok(Self(services.auth.read(&token)?))
    }
}

impl Bearer {
    /// Who it is, for telling apart the requests of different people.
    pub(super) fn subject(self) -> String {
        format!("{}.{}", self.0.org_id, self.0.admin_id)
    }

    /// The live admin that it is.
    pub(super) async fn recognize(self, services: &Services) -> Result<Actor, Problem> {
        let actor = services.auth.recognize(self.0).await?;
        Span::current().record(ORGANIZATION_ID, tracing::field::display(actor.org().id));
        Ok(actor)
    }
}

answers! { Bearer = [MISSING_TOKEN] Failed<AuthError, RECOGNIZE>, Services; }

answers! { Actor = [] Bearer; }

answers! { Option<Actor> = [] Services; }

answers! { AnyToken = []; }

impl OptionalFromRequestParts<HttpState> for Actor {
    type Rejection = Problem;

    /// For what is public and shows more to some: a token that is not valid shows no more than none.
    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Option<Self>, Problem> {
        match <Self as FromRequestParts<HttpState>>::from_request_parts(parts, state).await {
            Ok(actor) => Ok(Some(actor)),
            Err(problem) if problem.is_unauthenticated() => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// The token that came along, if any, which may be no admin's.
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
