//! Who is at the other end of a request: where it comes from, and whether it still listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use tokio::sync::Notify;

use super::client_address::believed;
use super::problem::{Problem, kinds};
use super::state::HttpState;
use crate::domain::Network;

/// The client of a request, among its extensions.
#[derive(Debug, Clone)]
pub(super) struct Client {
    network: Network,
    gone: Arc<Notify>,
}

impl Client {
    /// The client that a request says it is from.
    pub(super) fn of(request: &Request, state: &HttpState) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        // Without a connection there is no peer: in tests of the router alone.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        let address = believed(peer, request.headers(), &state.limits.trusted_proxies);
        Self { network: Network::of(address), gone: Arc::default() }
    }

    /// Where it is from, as far as it can be believed.
    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// What counts as its own when something is divided among clients. The whole site, because whoever has one network of a
    /// site can have thousands.
    pub(super) fn site(&self) -> Network {
        self.network.site()
    }

    /// Notes that it hung up, or that its time was over.
    pub(super) fn leave(&self) {
        self.gone.notify_one();
    }

    /// Does something that is for the client alone, until it is gone: a query whose answer nobody reads is ended in MongoDB too,
    /// because the driver closes the connection of a command that is given up.
    ///
    /// # Errors
    /// It is gone; nobody hears the problem.
    pub(super) async fn while_it_listens<T>(&self, work: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::select! {
            biased;
            () = self.gone.notified() => Err(Problem::new(kinds::REQUEST_TIMEOUT)),
            done = work => Ok(done),
        }
    }
}

impl FromRequestParts<HttpState> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(kinds::INTERNAL_ERROR))
    }
}
