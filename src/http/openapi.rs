//! The OpenAPI document: made from the handlers, completed with what every call has in common.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{
    Flow, HttpAuthScheme, HttpBuilder, OAuth2, Password, Scopes, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::UtoipaMethodRouter;

use super::detach::ALWAYS_SERVED;
use super::problem::{Kind, PROBLEM_JSON, ProblemBody, kinds};

/// What stands in the document besides the calls.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tenantry",
        description = "A self-hosted backend for multi-tenant organizations on MongoDB.\n\n\
            Create an organization with its admin, log in, and send the token as `Authorization: Bearer …`. Each \
            organization has its own collection `org_<slug>`, which a rename moves along.\n\n\
            An answer that was found by an old name which the organization keeps says so in `Deprecation`, `Sunset` and \
            `Link: …; rel=\"canonical\"`. Create, update, delete and restore take an `Idempotency-Key`, with which they can \
            be repeated safely; the answer to a repetition has `Idempotency-Replayed: true`.\n\n\
            Every error is an RFC 9457 problem: `detail` is for people, `code` for programs, and `request_id` is what \
            the server's log has too. Where another try can succeed by itself, `Retry-After` says when."
    ),
    components(schemas(ProblemBody)),
    modifiers(&SecuritySchemes),
    tags(
        (name = "organizations", description = "Create, get, update and delete organizations."),
        (name = "authentication", description = "Log in as an organization's admin."),
        (name = "documents", description = "An organization's documents, in its own collection."),
        (name = "indexes and schema", description = "What makes queries fast, and what documents must be like."),
        (name = "operations", description = "For those who run the server.")
    )
)]
struct Base;

/// How a caller shows who it is.
struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("The `access_token` of `POST /admin/login`"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let registration = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The `REGISTRATION_TOKEN` of a server that is run with `REGISTRATION=token`"))
            .build();
        components.add_security_scheme("registration", SecurityScheme::Http(registration));
        let password = Flow::Password(Password::new("/admin/login", Scopes::new()));
        let oauth2 = OAuth2::with_description([password], "The same token: Swagger UI logs in by itself");
        components.add_security_scheme("password", SecurityScheme::OAuth2(oauth2));
    }
}

/// The document without any call, for the router to add them.
pub(super) fn base() -> OpenApi {
    let mut openapi = Base::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut openapi.info.version);
    // The derive takes an empty licence from Cargo.toml, which has none.
    openapi.info.license = None;
    openapi
}

/// Routes to the handlers of a file or a folder, each with what its types say that it can answer.
macro_rules! calls {
    ($($handler:path),* $(,)?) => {
        /// The calls.
        pub(in crate::http) fn routes() -> utoipa_axum::router::OpenApiRouter<$crate::http::HttpState> {
            use $crate::http::problem::Handles as _;
            utoipa_axum::router::OpenApiRouter::new()
                $(.routes($crate::http::openapi::documented(utoipa_axum::routes!($handler), &$handler.kinds())))*
        }
    };
}
pub(super) use calls;

/// Completes what the document says of a route: what its handler can answer, and what follows from that and from its path.
pub(super) fn documented<S>(route: UtoipaMethodRouter<S>, kinds: &[Kind]) -> UtoipaMethodRouter<S> {
    let (schemas, mut paths, method_router) = route;
    for (path, item) in &mut paths.paths {
        for operation in operations(item) {
            if path.contains("{organization_name}") {
                operation.parameters.get_or_insert_default().insert(0, organization_name());
            }
            if kinds.contains(&kinds::MISSING_TOKEN) && operation.security.is_none() {
                operation.security = Some(TOKENS.map(|scheme| SecurityRequirement::new(scheme, NO_SCOPES)).into());
            }
            let of_any: &[Kind] = if ALWAYS_SERVED.contains(&path.as_str()) { &[] } else { OF_ANY_CALL };
            for (status, kinds) in by_status(&[kinds, of_any].concat()) {
                let response = answer(status, &kinds, &example_field(operation));
                operation.responses.responses.insert(status.as_str().to_owned(), RefOr::T(response));
            }
        }
    }
    (schemas, paths, method_router)
}

/// The schemes by which an admin's token is sent.
const TOKENS: [&str; 2] = ["bearer", "password"];
const NO_SCOPES: [&str; 0] = [];

/// What can be answered to any request, whichever handler it is for.
const OF_ANY_CALL: &[Kind] =
    &[kinds::BAD_REQUEST, kinds::SHARE_USED_UP, kinds::SERVER_BUSY, kinds::INTERNAL_ERROR, kinds::REQUEST_TIMEOUT];

/// Each kind once, in the order of the table.
fn by_status(kinds: &[Kind]) -> BTreeMap<StatusCode, Vec<Kind>> {
    let mut by_status: BTreeMap<StatusCode, Vec<Kind>> = BTreeMap::new();
    for kind in kinds::ALL.iter().filter(|kind| kinds.contains(kind)) {
        by_status.entry(kind.status).or_default().push(*kind);
    }
    by_status
}

/// The parameter that most paths begin with.
fn organization_name() -> RefOr<Parameter> {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(240))
        .pattern(Some(r"^[^\u0000]*$"));
    ParameterBuilder::new()
        .name("organization_name")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The organization's name, in any spelling"))
        .schema(Some(name))
        .example(Some(json!("amazon")))
        .build()
        .into()
}

/// The finished document.
pub(super) fn finish(mut openapi: OpenApi) -> OpenApi {
    let schemas = openapi.components.iter_mut().flat_map(|components| components.schemas.iter_mut());
    for (_, schema) in schemas.filter(|(name, _)| name.ends_with("Body")) {
        // Bodies are closed: a field that we do not know is refused (`super::fields`).
        if let RefOr::T(Schema::Object(object)) = schema {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    openapi
}

/// A field of a call that could be missing, for the example of a 422.
fn example_field(operation: &Operation) -> String {
    let is_about_tenant = operation.tags.iter().flatten().any(|tag| tag == "documents" || tag == "indexes and schema");
    match operation.operation_id.as_deref() {
        Some("log_in") => "/email".to_owned(),
        Some("create_index") => "/keys".to_owned(),
        _ if operation.request_body.is_some() && is_about_tenant => "/name".to_owned(),
        _ if operation.request_body.is_some() => "/organization_name".to_owned(),
        _ => {
            let parameters = operation.parameters.iter().flatten();
            let mut parameters = parameters.filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(parameter),
                RefOr::Ref(_) => None,
            });
            let in_query = parameters.find(|parameter| parameter.parameter_in == ParameterIn::Query);
            in_query.map_or_else(|| "{organization_name}".to_owned(), |parameter| format!("?{}", parameter.name))
        }
    }
}

/// The answer with one status: an example for each kind of problem that has it.
fn answer(status: StatusCode, kinds: &[Kind], field: &str) -> Response {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for kind in kinds {
        let mut value = json!({
            "type": "about:blank", "title": kind.title(), "status": status.as_u16(), "detail": kind.detail,
            "code": kind.code, "request_id": "019ab3f6-7c1e-7a52-8f0e-3d2c1b0a9f8e",
        });
        if matches!(*kind, kinds::VALIDATION_FAILED | kinds::SCHEMA_VIOLATED)
            && let Some(value) = value.as_object_mut()
        {
            let error = json!({ "pointer": field, "code": "required", "detail": "is required" });
            value.insert("errors".to_owned(), json!([error]));
        }
        let example = ExampleBuilder::new().summary(kind.detail).value(Some(value)).build();
        content = content.examples_from_iter([(kind.code, RefOr::T(example))]);
    }
    let title = kinds.first().map_or("Error", |kind| kind.title());
    let mut response =
        ResponseBuilder::new().description(format!("{title}: {}", codes(kinds))).content(PROBLEM_JSON, content.build());
    if status == StatusCode::UNAUTHORIZED {
        response = response.header("WWW-Authenticate", header("Always `Bearer`".to_owned()));
    }
    let again: Vec<Kind> = kinds.iter().filter(|kind| kind.retry_after_seconds.is_some()).copied().collect();
    if !again.is_empty() {
        let alone = if again.len() == kinds.len() { String::new() } else { format!("; with {} alone", codes(&again)) };
        response = response.header("Retry-After", header(format!("After how many seconds to try again{alone}")));
    }
    response.build()
}

fn codes(kinds: &[Kind]) -> String {
    let codes: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.code)).collect();
    codes.join(", ")
}

fn header(description: String) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}
