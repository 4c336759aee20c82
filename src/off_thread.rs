//! Moves long computations, such as parsing a body of a megabyte, off the threads that serve requests.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Up to this size, waking another thread costs about as much as the work.
const INLINE_BYTES: usize = 64 << 10;

/// One for each core; more would only compete.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)));

/// Runs `work`, whose time grows with `bytes`.
pub(crate) async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= INLINE_BYTES {
        return work();
    }
    // Fails only when closed, which it never is.
    let _turn = TURNS.acquire().await;
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}
