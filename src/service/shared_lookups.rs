//! Shares one lookup among concurrent callers that ask for the same key, and never serves a stale answer: every caller gets
//! that of a lookup which began after its call.
//!
//! While a lookup runs, new callers wait for the next one, which serves them all. So a client that sends a hundred requests
//! at once costs two or three lookups of its token instead of a hundred, and an ended token is refused just as soon.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// The running lookups.
#[derive(Debug)]
pub(crate) struct SharedLookups<K, V> {
    /// Orders arrivals and beginnings.
    clock: AtomicU64,
    asked: parking_lot::Mutex<HashMap<K, Arc<Answer<V>>>>,
}

/// The last answer and when its lookup began. Locked during the next lookup.
type Answer<V> = Mutex<Option<(u64, V)>>;

impl<K: Eq + Hash + Clone, V: Clone> SharedLookups<K, V> {
    pub(crate) fn new() -> Self {
        Self { clock: AtomicU64::new(0), asked: parking_lot::Mutex::default() }
    }

    /// The answer of a lookup that began after this call, by this caller or another.
    pub(crate) async fn get<F: Future<Output = V>>(&self, key: K, look_up: impl FnOnce() -> F) -> V {
        let arrived = self.tick();
        let answer = self.asked.lock().entry(key.clone()).or_default().clone();
        let mut last = answer.lock().await;
        let value = match &*last {
            Some((began, value)) if *began > arrived => value.clone(),
            _ => {
                let began = self.tick();
                let value = look_up().await;
                *last = Some((began, value.clone()));
                value
            }
        };
        drop(last);
        self.forget(&key, answer);
        value
    }

    /// Drops an answer that nobody waits for.
    fn forget(&self, key: &K, answer: Arc<Answer<V>>) {
        let mut asked = self.asked.lock();
        drop(answer);
        if asked.get(key).is_some_and(|answer| Arc::strong_count(answer) == 1) {
            asked.remove(key);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::task::yield_now;

    use super::*;

    /// A lookup that waits for the gate and returns its own number.
    async fn counted(count: &AtomicU64, gate: &Semaphore) -> u64 {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        gate.acquire().await.expect("open").forget();
        number
    }

    #[tokio::test]
    async fn callers_that_arrive_during_a_lookup_share_the_next_one() {
        let (lookups, count, gate) = (SharedLookups::new(), AtomicU64::new(0), Semaphore::new(0));
        let ask = |key: &'static str| lookups.get(key, || counted(&count, &gate));
        let all = join_all((0..51).map(|_| ask("a")));
        tokio::pin!(all);
        // All have arrived, and the first one's lookup is running.
        tokio::select! { biased; _ = &mut all => panic!("the gate is closed"), () = yield_now() => {} }
        gate.add_permits(2);
        let (first, others) = all.await.split_first().map(|(first, others)| (*first, others.to_vec())).expect("51");
        assert_eq!((first, others), (1, vec![2; 50]));
        gate.add_permits(2);
        assert_eq!((ask("a").await, ask("b").await), (3, 4), "an old answer is not reused");
        assert!(lookups.asked.lock().is_empty(), "nothing is kept");
    }
}
