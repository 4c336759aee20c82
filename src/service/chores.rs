//! What services do without being asked. Each service offers its own (`chores`); the server does all of them until it stops,
//! each at its own pace, so that none waits for another.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::repo::RepoError;

/// One kind of such work.
pub struct Chore {
    /// What it does, for the log: "cannot <what>".
    what: &'static str,
    work: Box<dyn Fn() -> BoxFuture<'static, Result<(), RepoError>> + Send + Sync>,
    until_due: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// Whether it is done once more when the server stops.
    is_last_word: bool,
}

impl Chore {
    /// What a service does every so often; not at the same moment on all servers.
    pub(super) fn every<S, F>(period: Duration, what: &'static str, service: &S, work: fn(S) -> F) -> Self
    where
        S: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), RepoError>> + Send + 'static,
    {
        let pause = move |_| {
            let permille = 800 + u32::try_from(Uuid::new_v4().as_u128() % 400).unwrap_or_default();
            sleep(period * permille / 1_000)
        };
        Self::when(what, service, pause, work)
    }

    /// What a service does when it says that it is due.
    pub(super) fn when<S, D, F>(
        what: &'static str,
        service: &S,
        until_due: impl Fn(S) -> D + Send + Sync + 'static,
        work: fn(S) -> F,
    ) -> Self
    where
        S: Clone + Send + Sync + 'static,
        D: Future<Output = ()> + Send + 'static,
        F: Future<Output = Result<(), RepoError>> + Send + 'static,
    {
        let (waiting, working) = (service.clone(), service.clone());
        Self {
            what,
            work: Box::new(move || Box::pin(work(working.clone()))),
            until_due: Box::new(move || Box::pin(until_due(waiting.clone()))),
            is_last_word: false,
        }
    }

    /// The same, and once more when the server stops.
    #[must_use]
    pub(super) fn with_last_word(self) -> Self {
        Self { is_last_word: true, ..self }
    }

    /// Does the work now, and whenever it is due, until the server stops; never breaks off in the middle.
    pub async fn run(self, stop: &CancellationToken) {
        self.once().await;
        while stop.run_until_cancelled((self.until_due)()).await.is_some() {
            self.once().await;
        }
        if self.is_last_word {
            self.once().await;
        }
    }

    async fn once(&self) {
        if let Err(error) = (self.work)().await {
            warn!(%error, "cannot {}", self.what);
        }
    }
}
