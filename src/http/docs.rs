//! The API's documentation: `/redoc` (ReDoc), `/docs` (Swagger UI), and the document that both show, `/openapi.json`.
//! Everything is part of this binary; nothing is loaded from elsewhere.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tracing::error;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::problem::{Problem, kinds};
use super::state::HttpState;

/// The path has ReDoc's version, so that browsers can cache the script forever.
const REDOC_SCRIPT_PATH: &str = "/redoc/redoc-2.5.4.js";

/// ReDoc reads its settings from the element's attributes; an inline script would need a weaker policy.
const REDOC_PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tenantry API</title>
    <link rel="icon" href="data:,">
  </head>
  <body style="margin: 0">
    <redoc spec-url="/openapi.json"></redoc>
    <script src="/redoc/redoc-2.5.4.js"></script>
  </body>
</html>
"#;

/// ReDoc's script without the only URL in it that points elsewhere, its logo's. The page's policy would block that, with an
/// error in the console.
static REDOC_SCRIPT: LazyLock<String> =
    LazyLock::new(|| include_str!("../../assets/redoc/redoc.standalone.js").replace(REDOC_LOGO, "data:,"));
const REDOC_LOGO: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";

/// Lets the pages run our scripts and call our server, and nothing else. ReDoc searches in a worker made from a blob; both
/// set styles from their scripts.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The pages' routes.
pub(super) fn routes(openapi: &OpenApi) -> Result<Router<HttpState>, serde_json::Error> {
    // Bytes are shared between answers, not copied.
    let document = Bytes::from(openapi.to_pretty_json()?);
    let json = move || {
        let document = document.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], document) }
    };
    Ok(Router::new()
        .route("/openapi.json", get(json))
        .route("/redoc", get(async || ([page_policy()], Html(REDOC_PAGE))))
        .route(REDOC_SCRIPT_PATH, get(redoc_script))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || swagger_file("index.html")))
        .route("/docs/{file}", get(async |Path(file): Path<String>| swagger_file(&file))))
}

async fn redoc_script() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/javascript"), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, REDOC_SCRIPT.as_str())
}

/// One of Swagger UI's files.
fn swagger_file(name: &str) -> Response {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        // By default the page sends the document to a validator on another server.
        let config = Config::new(["/openapi.json"]).validator_url("none").try_it_out_enabled(true);
        Arc::new(config)
    });
    match utoipa_swagger_ui::serve(name, CONFIG.clone()) {
        Ok(Some(file)) => {
            // The files change only with the binary, but their names have no version.
            let cached = (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=600"));
            ([page_policy(), cached], [(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response()
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            error!(%error, "Swagger UI cannot be configured");
            Problem::new(kinds::INTERNAL_ERROR).into_response()
        }
    }
}

fn page_policy() -> (HeaderName, HeaderValue) {
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redocs_script_is_served_without_its_logos_url() {
        assert_eq!(include_str!("../../assets/redoc/redoc.standalone.js").matches(REDOC_LOGO).count(), 1);
        assert!(!REDOC_SCRIPT.contains(REDOC_LOGO));
        assert!(REDOC_PAGE.contains(REDOC_SCRIPT_PATH));
    }
}
