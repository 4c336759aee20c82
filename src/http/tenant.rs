//! Checks the permission for the organization in a path. A handler that takes an [`Allowed`] requires it.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::old_names::OldNameNote;
use super::problem::{Answers, Failed, Kind, Problem, answers, calls, kinds};
use super::state::{HttpState, Service};
use crate::domain::documents::DocumentId;
use crate::domain::permission::{Allowed, Permit, Reachable};
use crate::domain::{Actor, OrgReference};
use crate::service::{OrgError, OrgService};

/// The parameter of the path that names the organization.
const NAME_PARAMETER: &str = "organization_name";

/// The id in a document's path.
pub(super) struct PathId(pub(super) DocumentId);

impl<P: Permit, W: Reachable> FromRequestParts<HttpState> for Allowed<P, W> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        // 401 first, then 404, then 403.
        let actor = <Actor as FromRequestParts<HttpState>>::from_request_parts(parts, state).await?;
        let orgs = Service::<OrgService>::from_request_parts(parts, state).await?;
        let reference = path_reference(parts).await?;
        let note = OldNameNote::from_request_parts(parts, state).await.unwrap_or_default();
        Ok(note.of(orgs.authorize(&actor, &reference).await?))
    }
}

impl<P, W> Answers for Allowed<P, W> {
    fn kinds() -> Vec<Kind> {
        [Actor::kinds(), vec![kinds::VALIDATION_FAILED], Failed::<OrgError, { calls::REACH }>::kinds()].concat()
    }
}

impl FromRequestParts<HttpState> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let text = path_parameter(parts, "id").await?;
        DocumentId::from_path(&text).map(Self).map_err(|invalid| Problem::invalid(vec![invalid.at("{id}")]))
    }
}

answers! { PathId = [VALIDATION_FAILED]; }

async fn path_reference(parts: &mut Parts) -> Result<OrgReference, Problem> {
    let name = path_parameter(parts, NAME_PARAMETER).await?;
    OrgReference::parse(&name).map_err(|invalid| Problem::invalid(vec![invalid.at(format!("{{{NAME_PARAMETER}}}"))]))
}

/// A parameter of the path, percent-decoded.
pub(super) async fn path_parameter(parts: &mut Parts, name: &str) -> Result<String, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await;
    let found = parameters
        .ok()
        .and_then(|parameters| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned()));
    found.ok_or_else(|| Problem::new(kinds::BAD_REQUEST).with_detail("The path is not UTF-8 after percent-decoding"))
}
