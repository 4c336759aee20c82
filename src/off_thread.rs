//! Long computations, such as reading a body of a megabyte, away from the threads that serve: those answer others meanwhile.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// So many bytes are read or written faster than another thread is woken, or nearly so.
const INLINE_BYTES: usize = 64 << 10;

/// As many at once as there are cores; more would only take turns.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)));

/// Does something that takes as long as there are bytes.
pub(crate) async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= INLINE_BYTES {
        return work();
    }
    // It is never closed; without a turn it is done all the same.
    let _turn = TURNS.acquire().await;
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}
