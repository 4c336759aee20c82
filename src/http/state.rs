//! What handlers work with: the services, once MongoDB was found usable, and the limits of a request.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::{Answers, Kind, Problem, kinds};
use crate::domain::{Network, OrgId};
use crate::repo::Database;
use crate::service::SharedLookups;
use crate::service::{AuthService, DataService, IdempotencyService, OrgService, Storage};
use crate::shares::Shares;

macro_rules! services {
    ($($(#[$doc:meta])* $field:ident: $service:ty,)*) => {
        /// What handlers ask, each what it takes.
        #[derive(Debug)]
        pub struct Services {
            $($(#[$doc])* pub $field: Arc<$service>,)*
        }

        $(impl FromRef<Services> for Arc<$service> {
            fn from_ref(services: &Services) -> Self {
                services.$field.clone()
            }
        })*
    };
}

services! {
    /// Who somebody is.
    auth: AuthService,
    /// Organizations.
    orgs: OrgService,
    /// What is in organizations' collections.
    data: DataService,
    /// What was answered to requests that carry a key.
    idempotency: IdempotencyService,
    /// Whether MongoDB answers.
    database: Database,
    /// How full its disk is.
    storage: Storage,
}

/// A service, for a handler that takes it.
#[derive(Debug)]
pub(super) struct Service<S>(Arc<S>);

impl<S> Deref for Service<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// The limits of a request.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// How long it may take.
    pub timeout: Duration,
    /// How large its body may be, in bytes.
    pub max_body_bytes: usize,
    /// How large the JSON of a tenant's document may be, in bytes.
    pub max_document_bytes: usize,
    /// How large the body of an import may be, in bytes.
    pub max_import_bytes: u64,
    /// How many imports and exports may run at once.
    pub max_running_streams: usize,
    /// How many bytes of bodies and answers may be on their way at once.
    pub max_bytes_in_flight: usize,
    /// The slowest that an import may come or an export be taken, in bytes a second.
    pub min_stream_rate: u64,
    /// How long an import or an export may take.
    pub max_stream_time: Duration,
    /// How many may be at work at once, those without a client any more included: while MongoDB hangs they would pile up
    /// without an end.
    pub max_running: usize,
    /// The networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// The state of the router; every request holds it several times.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// What one state is for all.
pub struct Shared {
    /// Set once, when MongoDB answered, is new enough and the database is prepared. Until then there is nothing
    /// that a handler could ask, so no request can reach a database that was not checked.
    pub services: OnceLock<Services>,
    /// The limits of a request.
    pub limits: RequestLimits,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// The requests at work, those without a client any more included: all are finished before the server stops.
    pub tasks: TaskTracker,
    /// How many requests may run, from the first byte of the body to the last of the answer.
    pub requests: Arc<Shares<Network>>,
    /// How many bytes of bodies that are being read there may be.
    pub body_bytes: Arc<Shares<Network>>,
    /// How many bytes of answers that are not sent yet.
    pub answer_bytes: Arc<Shares<OrgId>>,
    /// How many bytes imports and exports may hold.
    pub stream_bytes: Arc<Shares<OrgId>>,
    /// How many imports and exports may run; they outlast the request that began them.
    pub streams: Arc<Shares<OrgId>>,
    /// Whether MongoDB answers, for all who ask at the same time.
    pub(super) pings: SharedLookups<(), bool>,
    /// Cancelled when the server stops: streams end then, with a word.
    pub stop: CancellationToken,
}

impl HttpState {
    /// The state of a server that has found no database yet.
    pub fn new(limits: RequestLimits, metrics: PrometheusHandle, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            services: OnceLock::new(),
            metrics,
            tasks: TaskTracker::new(),
            requests: Shares::new("http_requests_running", limits.max_running),
            // Apart, so that who sends keeps nobody from reading, and what takes an hour nobody from what takes a moment.
            body_bytes: Shares::new("http_body_bytes", limits.max_bytes_in_flight / 8 * 3),
            answer_bytes: Shares::new("http_answer_bytes", limits.max_bytes_in_flight / 4),
            stream_bytes: Shares::new("http_stream_bytes", limits.max_bytes_in_flight / 8 * 3),
            streams: Shares::new("http_streams_running", limits.max_running_streams),
            pings: SharedLookups::new(),
            limits,
            stop,
        }))
    }
}

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<S> FromRequestParts<HttpState> for Service<S>
where
    Arc<S>: FromRef<Services>,
{
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let services = state.services.get().ok_or_else(|| Problem::new(kinds::DATABASE_UNAVAILABLE))?;
        Ok(Self(Arc::from_ref(services)))
    }
}

impl<S> Answers for Service<S> {
    fn kinds() -> Vec<Kind> {
        vec![kinds::DATABASE_UNAVAILABLE]
    }
}

impl FromRequestParts<HttpState> for RequestLimits {
    type Rejection = Infallible;

    async fn from_request_parts(_parts: &mut Parts, state: &HttpState) -> Result<Self, Infallible> {
        Ok(state.limits.clone())
    }
}
