//! The client of a request: where it is, and whether it is still connected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use tokio::sync::Notify;

use super::client_address::believed;
use super::problem::{Problem, answers, kinds};
use super::state::HttpState;
use crate::domain::Network;

/// The client of a request, among its extensions.
#[derive(Debug, Clone)]
pub(super) struct Client {
    network: Network,
    gone: Arc<Notify>,
}

impl Client {
    /// Derives the client from the peer's address and the proxies' headers.
    pub(super) fn of(request: &Request, state: &HttpState) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        // There is no peer only in tests of the bare router.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        let address = believed(peer, request.headers(), &state.limits.trusted_proxies);
        Self { network: Network::of(address), gone: Arc::default() }
    }

    /// The network that it is in, as far as that can be trusted.
    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// The owner of its shares. The whole site, because a client with one network of a site can have thousands.
    pub(super) fn site(&self) -> Network {
        self.network.site()
    }

    /// Records that it hung up or ran out of time.
    pub(super) fn leave(&self) {
        self.gone.notify_one();
    }

    /// Does work whose result only the client needs, and cancels it when the client is gone. That ends its query in MongoDB
    /// too: the driver closes the connection of a cancelled command. Nobody reads the error.
    pub(super) async fn while_it_listens<T>(&self, work: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::select! {
            biased;
            () = self.gone.notified() => Err(Problem::new(kinds::REQUEST_TIMEOUT)),
            done = work => Ok(done),
        }
    }
}

answers! { Client = []; }

impl FromRequestParts<HttpState> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(kinds::INTERNAL_ERROR))
    }
}
