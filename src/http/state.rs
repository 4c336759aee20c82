//! What handlers use: the services, once MongoDB has been found usable, and the limits of a request.

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
        /// The services, of which each handler takes those that it uses.
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
    /// Logs admins in and recognizes them.
    auth: AuthService,
    /// Serves organizations.
    orgs: OrgService,
    /// Serves the data in organizations' collections.
    data: DataService,
    /// Answers repeated requests.
    idempotency: IdempotencyService,
    /// Pinged by the readiness check.
    database: Database,
    /// Knows how full MongoDB's disk is.
    storage: Storage,
}

/// A service that a handler takes; 503 until MongoDB is ready.
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
    /// How many bytes of bodies and answers may be in flight at once.
    pub max_bytes_in_flight: usize,
    /// The minimum rate at which an import must arrive or an export be read, in bytes per second.
    pub min_stream_rate: u64,
    /// How long an import or an export may take.
    pub max_stream_time: Duration,
    /// How many may run at once, including those whose client is gone: while MongoDB hangs they would pile up.
    pub max_running: usize,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
}

/// The state of the router; every request holds it several times.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// Shared by all handlers.
pub struct Shared {
    /// Set once, when MongoDB has answered, is new enough and the database is prepared. Until then handlers have
    /// nothing to ask, so no request reaches an unchecked database.
    pub services: OnceLock<Services>,
    /// The limits of a request.
    pub limits: RequestLimits,
    /// What `/metrics` shows.
    pub metrics: PrometheusHandle,
    /// The running requests, including those whose client is gone: all finish before the server stops.
    pub tasks: TaskTracker,
    /// How many requests may run, from the first byte of the body to the last of the answer.
    pub requests: Arc<Shares<Network>>,
    /// The bytes of bodies that are being read.
    pub body_bytes: Arc<Shares<Network>>,
    /// The bytes of answers that have not been sent.
    pub answer_bytes: Arc<Shares<OrgId>>,
    /// The bytes that imports and exports hold.
    pub stream_bytes: Arc<Shares<OrgId>>,
    /// The running imports and exports, which outlast their requests.
    pub streams: Arc<Shares<OrgId>>,
    /// Pings of MongoDB, shared by concurrent readiness checks.
    pub(super) pings: SharedLookups<(), bool>,
    /// Cancelled when the server stops; streams then end and say so.
    pub stop: CancellationToken,
}

impl HttpState {
    /// The state of a server that has no database yet.
    pub fn new(limits: RequestLimits, metrics: PrometheusHandle, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            services: OnceLock::new(),
            metrics,
            tasks: TaskTracker::new(),
            requests: Shares::new("http_requests_running", limits.max_running),
            // Separate, so that senders do not block readers, nor hour-long streams short requests.
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
