//! Background work. Each service offers its chores; the server runs all of them until it stops, each at its own pace, so
//! that none waits for another.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::repo::RepoError;

/// A kind of background work.
pub struct Chore {
    /// For the log, after "cannot".
    what: &'static str,
    work: Box<dyn Fn() -> BoxFuture<'static, Result<(), RepoError>> + Send + Sync>,
    until_due: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// Whether to run at the start already.
    runs_at_start: bool,
    /// Whether to run once more when the server stops.
    runs_at_stop: bool,
}

impl Chore {
    /// Runs at the start and about every `period`, with jitter, so that servers do not run it at the same moment.
    pub(super) fn every<S, F>(period: Duration, what: &'static str, service: &S, work: fn(S) -> F) -> Self
    where
        S: Clone + Send + Sync + 'static,
        F: Future<Output = Result<(), RepoError>> + Send + 'static,
    {
        let pause = move |_| {
            let permille = 800 + u32::try_from(Uuid::new_v4().as_u128() % 400).unwrap_or_default();
            sleep(period * permille / 1_000)
        };
        Self { runs_at_start: true, ..Self::when(what, service, pause, work) }
    }

    /// Runs whenever `until_due` has ended, also the first time.
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
            runs_at_start: false,
            runs_at_stop: false,
        }
    }

    /// The same, and once more when the server stops.
    pub(super) fn and_at_stop(self) -> Self {
        Self { runs_at_stop: true, ..self }
    }

    /// Runs whenever due until the server stops. Never stops in the middle of a run.
    pub async fn run(self, stop: &CancellationToken) {
        if self.runs_at_start {
            self.once().await;
        }
        while stop.run_until_cancelled((self.until_due)()).await.is_some() {
            self.once().await;
        }
        if self.runs_at_stop {
            self.once().await;
        }
    }

    async fn once(&self) {
        if let Err(error) = (self.work)().await {
            warn!(%error, "cannot {}", self.what);
        }
    }
}
