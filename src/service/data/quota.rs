//! Counts what each organization stores without a command for each write.
//!
//! One look at the collection's statistics (`$collStats`) serves all writes of ten seconds, which add themselves to it.
//! A quota can therefore be exceeded by writes in flight during a look, by what other servers and programs write within
//! ten seconds, and by errors in MongoDB's statistics after a crash: it is a protection, not an exact account. Freed
//! space is never held against an organization, except while a look and a deletion overlap.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

use super::DataError;
use crate::clock::SharedClock;
use crate::domain::{Amount, OrgId, QuotaReached, Quotas};

/// How long a look stays valid.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon to retry a failed look; until then, writes go by the last known numbers.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Counts what organizations store.
#[derive(Debug, Clone)]
pub(super) struct QuotaKeeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Shared by all organizations. Quotas of a single one would come with its [`crate::domain::Tenant`], for which
    /// [`QuotaKeeper::reserve`] is called.
    quotas: Quotas,
    clock: SharedClock,
    /// Organizations that wrote while their look was valid; older numbers are worthless.
    usages: Mutex<HashMap<OrgId, Arc<Usage>>>,
}

/// What one organization stores.
#[derive(Debug, Default)]
struct Usage {
    counted: Mutex<Counted>,
    /// Held during a look; the others wait and use its result.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Counted {
    /// `None` before the first successful look.
    used: Option<Amount>,
    /// When the next look is due, by the clock.
    due: Duration,
    /// How many looks succeeded.
    looks: u64,
}

/// What a write may add, already counted.
#[derive(Debug)]
pub(super) struct Reserved {
    usage: Arc<Usage>,
    looks: u64,
    /// How many documents it covers.
    pub(super) count: usize,
    amount: Amount,
}

impl QuotaKeeper {
    /// Holds every organization to these quotas.
    pub(super) fn new(quotas: Quotas, clock: SharedClock) -> Self {
        Self(Arc::new(Shared { quotas, clock, usages: Mutex::default() }))
    }

    /// Counts as many of the documents that come as the quotas allow, from the first on; `None` without any quota. `look`
    /// finds out how much there is, and is asked for seldom.
    pub(super) async fn reserve<F: Future<Output = Result<Amount, DataError>>>(
        &self,
        org_id: OrgId,
        coming: impl Iterator<Item = Amount>,
        look: impl FnOnce() -> F,
    ) -> Result<Option<Reserved>, QuotaReached> {
        if self.0.quotas.are_none() {
            return Ok(None);
        }
        let usage = self.usage_of(org_id);
        self.refresh(&usage, look).await;
        usage.take(self.0.quotas, coming).map(Some)
    }

    /// Notes that an organization freed this amount.
    pub(super) fn give_back(&self, org_id: OrgId, amount: Amount) {
        if let Some(usage) = self.0.usages.lock().get(&org_id) {
            usage.counted.lock().give_back(amount);
        }
    }

    /// Looks if the last look has expired. Concurrent callers wait for this look and make none.
    async fn refresh<F: Future<Output = Result<Amount, DataError>>>(&self, usage: &Usage, look: impl FnOnce() -> F) {
        if !usage.is_due(self.0.clock.elapsed()) {
            return;
        }
        let _looking = usage.looking.lock().await;
        if !usage.is_due(self.0.clock.elapsed()) {
            return;
        }
        let found = look().await;
        let now = self.0.clock.elapsed();
        let mut counted = usage.counted.lock();
        match found {
            Ok(used) => {
                *counted = Counted { used: Some(used), due: now + LOOK_EVERY, looks: counted.looks + 1 };
            }
            Err(error) => {
                // Whatever keeps MongoDB from answering also stops the write, or soon passes.
                warn!(%error, "cannot measure what an organization stores");
                counted.due = now + LOOK_AGAIN_AFTER;
            }
        }
    }

    fn usage_of(&self, org_id: OrgId) -> Arc<Usage> {
        let now = self.0.clock.elapsed();
        let mut usages = self.0.usages.lock();
        if let Some(usage) = usages.get(&org_id) {
            return usage.clone();
        }
        usages.retain(|_, usage| Arc::strong_count(usage) > 1 || !usage.is_due(now));
        usages.entry(org_id).or_default().clone()
    }
}

impl Usage {
    fn is_due(&self, now: Duration) -> bool {
        self.counted.lock().due <= now
    }

    /// Counts as many as the quotas allow.
    fn take(self: &Arc<Self>, quotas: Quotas, coming: impl Iterator<Item = Amount>) -> Result<Reserved, QuotaReached> {
        let mut counted = self.counted.lock();
        let (mut count, mut total) = (0, Amount::default());
        for one in coming {
            let together = total.plus(one);
            // An unknown amount is never too much.
            match counted.used.map_or(Ok(()), |used| quotas.check(used.plus(total), one)) {
                Ok(()) => (count, total) = (count + 1, together),
                Err(reached) if count == 0 => return Err(reached),
                Err(_later) => break,
            }
        }
        counted.used = counted.used.map(|used| used.plus(total));
        Ok(Reserved { usage: self.clone(), looks: counted.looks, count, amount: total })
    }
}

impl Counted {
    fn give_back(&mut self, amount: Amount) {
        self.used = self.used.map(|used| used.minus(amount));
    }
}

impl Reserved {
    /// Keeps the whole reservation: the write was made, or may have been.
    pub(super) fn keep(mut self) {
        self.amount = Amount::default();
    }

    /// Returns the part that was not added.
    pub(super) fn return_part(&mut self, part: Amount) {
        if part.is_nothing() {
            return;
        }
        self.amount = self.amount.minus(part);
        let mut counted = self.usage.counted.lock();
        // A later look saw the real amount by itself.
        if counted.looks == self.looks {
            counted.give_back(part);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.return_part(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;
    use crate::clock::ManualClock;

    /// A keeper that allows ten documents, and its clock.
    fn keeper() -> (QuotaKeeper, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at_present());
        (QuotaKeeper::new(Quotas::new(10, 0), clock.clone()), clock)
    }

    fn documents(count: u64) -> Amount {
        Amount { documents: count, bytes: 0 }
    }

    /// Reserves one more document for an organization where a look would find this many.
    async fn one_more(keeper: &QuotaKeeper, org_id: OrgId, there: u64) -> Result<Reserved, QuotaReached> {
        let look = async || Ok(documents(there));
        keeper.reserve(org_id, once(documents(1)), look).await.map(|reserved| reserved.expect("a quota"))
    }

    #[tokio::test]
    async fn many_who_come_first_share_one_look_and_never_pass_the_quota() {
        let ((keeper, _clock), org_id, looks) = (keeper(), OrgId::generate(), AtomicU64::new(0));
        let look = async || {
            looks.fetch_add(1, Ordering::SeqCst);
            yield_now().await;
            Ok(documents(4))
        };
        let all = join_all((0..50).map(|_| keeper.reserve(org_id, once(documents(1)), look))).await;
        assert_eq!(all.iter().filter(|reserved| reserved.is_ok()).count(), 6);
        assert_eq!(looks.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_was_not_written_and_what_was_removed_can_be_written_again() {
        let ((keeper, _clock), org_id) = (keeper(), OrgId::generate());
        let failed = one_more(&keeper, org_id, 9).await.expect("the tenth");
        assert!(one_more(&keeper, org_id, 0).await.is_err(), "a look is good for a while");
        drop(failed);
        one_more(&keeper, org_id, 0).await.expect("given back").keep();
        assert!(one_more(&keeper, org_id, 0).await.is_err());
        keeper.give_back(org_id, documents(1));
        one_more(&keeper, org_id, 0).await.expect("one was removed").keep();
    }

    #[tokio::test]
    async fn after_ten_seconds_there_is_another_look_which_forgets_what_was_on_its_way() {
        let ((keeper, clock), org_id) = (keeper(), OrgId::generate());
        let slow = one_more(&keeper, org_id, 9).await.expect("the tenth");
        clock.advance(LOOK_EVERY);
        let next = one_more(&keeper, org_id, 9).await.expect("the look saw nine");
        drop(slow);
        let refused = one_more(&keeper, org_id, 9).await.expect_err("what was on its way is not given back again");
        assert_eq!((refused.used, refused.limit), (10, 10));
        next.keep();
    }

    #[tokio::test]
    async fn of_many_as_many_may_come_as_there_is_room_for() {
        let ((keeper, _clock), org_id) = (keeper(), OrgId::generate());
        let look = async || Ok(documents(7));
        let coming = || (0..5).map(|_| documents(1));
        let mut reserved = keeper.reserve(org_id, coming(), look).await.expect("some").expect("a quota");
        assert_eq!(reserved.count, 3);
        reserved.return_part(documents(1));
        reserved.keep();
        assert_eq!(keeper.reserve(org_id, coming(), look).await.expect("some").expect("a quota").count, 1);
    }

    #[tokio::test]
    async fn a_look_that_fails_refuses_nothing_and_is_made_again_soon() {
        let ((keeper, clock), org_id) = (keeper(), OrgId::generate());
        let fails = async || Err(DataError::TooSlow);
        for _ in 0..20 {
            keeper.reserve(org_id, once(documents(1)), fails).await.expect("unknown").expect("a quota").keep();
        }
        clock.advance(LOOK_AGAIN_AFTER);
        assert!(one_more(&keeper, org_id, 10).await.is_err());
    }

    #[tokio::test]
    async fn only_those_are_remembered_who_wrote_lately() {
        let (keeper, clock) = keeper();
        let held = one_more(&keeper, OrgId::generate(), 0).await.expect("room");
        for _ in 0..100 {
            one_more(&keeper, OrgId::generate(), 0).await.expect("room").keep();
        }
        assert_eq!(keeper.0.usages.lock().len(), 101);
        clock.advance(LOOK_EVERY);
        one_more(&keeper, OrgId::generate(), 0).await.expect("room").keep();
        assert_eq!(keeper.0.usages.lock().len(), 2, "the last, and the one whose write is on its way");
        drop(held);
    }
}
