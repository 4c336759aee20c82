//! Whose data a request is about: the organization in its path, if it is the caller's own. A handler that takes a
//! [`Tenant`] cannot be reached by anybody else.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::old_names::OldNameNote;
use super::problem::calls::REACH;
use super::problem::{Failed, Problem, answers, kinds};
use super::state::{HttpState, Services};
use crate::domain::document::DocumentId;
use crate::domain::{Caller, OrgReference, Tenant};
use crate::service::OrgError;

/// The parameter of the path that names the organization.
const NAME_PARAMETER: &str = "organization_name";

/// The id in a document's path.
pub(super) struct PathId(pub(super) DocumentId);

impl FromRequestParts<HttpState> for Tenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        // 401 first, then 404, then 403.
        let caller = <Caller as FromRequestParts<HttpState>>::from_request_parts(parts, state).await?;
        let services = Services::from_request_parts(parts, state).await?;
        let reference = path_reference(parts).await?;
        let note = OldNameNote::from_request_parts(parts, state).await.unwrap_or_default();
        Ok(note.of(services.orgs.reach(&caller, &reference).await?))
    }
}

answers! { Tenant = [] Caller, PathOrg, Failed<OrgError, REACH>; }

impl FromRequestParts<HttpState> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let text = path_parameter(parts, "id").await?;
        DocumentId::from_path(&text).map(Self).map_err(|invalid| Problem::invalid(vec![invalid.at("{id}")]))
    }
}

answers! { PathId = [VALIDATION_FAILED]; }

/// The organization that a path names, in any spelling.
#[derive(Debug)]
pub(super) struct PathOrg(pub(super) OrgReference);

impl FromRequestParts<HttpState> for PathOrg {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        path_reference(parts).await.map(Self)
    }
}

answers! { PathOrg = [VALIDATION_FAILED]; }

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
