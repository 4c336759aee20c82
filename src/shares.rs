//! Fair shares of whatever there is a bounded amount of: requests at work, queries, streams, bytes, connections, password
//! checks. The one rule by which all of them are divided stands here.
//!
//! **An owner may hold at most as much as it leaves free.** So one owner alone gets half, two get a third each, and however
//! many there are, there is room for one more. Nobody has to say how many owners there will be, and whoever holds nothing
//! gets something as long as there is anything. (The rule is that of dynamic thresholds for shared memory in switches:
//! Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Whoever may hold something: an organization, a client's network.
pub trait Owner: Copy + Eq + Hash + std::fmt::Debug + Send + 'static {}

impl<K: Copy + Eq + Hash + std::fmt::Debug + Send + 'static> Owner for K {}

/// Why nothing more was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The owner holds as much as it may while others need some.
    #[error("the owner's share is used up")]
    ShareUsedUp,
    /// Everything is in use.
    #[error("everything is in use")]
    AllUsedUp,
}

/// How long somebody waits for its own share before it is refused: long enough for what runs to end, and so short that nobody
/// takes the refusal for a failure.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many of one owner may wait at once. More would only wait in vain, and what waits costs memory.
const MAX_WAITING: usize = 1_024;

/// Something that there is a bounded amount of, divided among owners.
#[derive(Debug)]
pub struct Shares<K: Owner> {
    total: usize,
    state: Mutex<State<K>>,
    used: Gauge,
    refused: Counter,
}

#[derive(Debug)]
struct State<K: Owner> {
    used: usize,
    accounts: HashMap<K, Account<K>>,
    /// The owners that wait, each once, in the order of their turns.
    turns: VecDeque<K>,
}

/// What an owner holds, and who waits for more on its behalf.
#[derive(Debug)]
struct Account<K: Owner> {
    held: usize,
    waiting: VecDeque<Waiter<K>>,
}

/// Where somebody who waits hears that there is something.
type Answered<K> = oneshot::Receiver<Share<K>>;

#[derive(Debug)]
struct Waiter<K: Owner> {
    amount: usize,
    answer: oneshot::Sender<Share<K>>,
}

/// What an owner holds; given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Owner> {
    shares: Arc<Shares<K>>,
    owner: K,
    amount: usize,
}

impl<K: Owner> Shares<K> {
    /// So much of something. The metrics show under this name how much of it is in use, and how often some was refused.
    #[must_use]
    pub fn new(name: &'static str, total: usize) -> Arc<Self> {
        let state = State { used: 0, accounts: HashMap::new(), turns: VecDeque::new() };
        let refused = counter!("shares_refused_total", "of" => name);
        Arc::new(Self { total, state: Mutex::new(state), used: gauge!(name), refused })
    }

    /// How much there is in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes so much now.
    pub fn try_take(self: &Arc<Self>, owner: K, amount: usize) -> Result<Share<K>, Refused> {
        let taken = self.lock().take(owner, amount, self.total);
        self.settle(taken.map(|()| Share { shares: self.clone(), owner, amount }))
    }

    /// Takes so much on behalf of all owners at once, such as a proxy that stands for many clients: whatever is free.
    pub fn try_take_for_many(self: &Arc<Self>, owner: K, amount: usize) -> Result<Share<K>, Refused> {
        let mut state = self.lock();
        let taken = if amount > self.total - state.used { Err(Refused::AllUsedUp) } else { Ok(()) };
        if taken.is_ok() {
            state.add(owner, amount);
        }
        drop(state);
        self.settle(taken.map(|()| Share { shares: self.clone(), owner, amount }))
    }

    /// Takes so much as soon as it can be had; those of one owner in the order in which they came.
    pub async fn take(self: &Arc<Self>, owner: K, amount: usize, patience: Duration) -> Result<Share<K>, Refused> {
        let refused = match self.take_or_wait(owner, amount) {
            Ok(taken) => return self.settle(Ok(taken)),
            Err(refused) => refused,
        };
        let waited = match refused {
            // Dropped unheard, an answer that comes too late gives back what it brings.
            (refused, Some(answered)) => timeout(patience, answered).await.ok().and_then(Result::ok).ok_or(refused),
            (too_many_wait, None) => Err(too_many_wait),
        };
        if let Err(refused) = waited {
            // Those behind may want less.
            self.serve(&mut self.lock(), owner);
            return self.settle(Err(refused));
        }
        waited
    }

    /// Takes so much now, or gets in the owner's line unless that is too long.
    fn take_or_wait(self: &Arc<Self>, owner: K, amount: usize) -> Result<Share<K>, (Refused, Option<Answered<K>>)> {
        let mut state = self.lock();
        let Err(refused) = state.take_in_turn(owner, amount, self.total) else {
            return Ok(Share { shares: self.clone(), owner, amount });
        };
        let (answer, answered) = oneshot::channel();
        let is_waiting = state.wait(owner, Waiter { amount, answer });
        Err((refused, is_waiting.then_some(answered)))
    }

    /// Counts what was taken or refused.
    fn settle(&self, taken: Result<Share<K>, Refused>) -> Result<Share<K>, Refused> {
        match &taken {
            Ok(share) => self.used.increment(as_metric(share.amount)),
            Err(_) => self.refused.increment(1),
        }
        taken
    }

    /// Takes something back, and gives it to those who wait.
    fn give_back(self: &Arc<Self>, owner: K, amount: usize) {
        self.used.decrement(as_metric(amount));
        let mut state = self.lock();
        state.remove(owner, amount);
        for _ in 0..state.turns.len() {
            if let Some(next) = state.turns.pop_front() {
                self.serve(&mut state, next);
                if state.accounts.get(&next).is_some_and(|account| !account.waiting.is_empty()) {
                    state.turns.push_back(next);
                }
            }
        }
    }

    /// Gives an owner that waits what it may have now.
    fn serve(self: &Arc<Self>, state: &mut State<K>, owner: K) {
        while let Some(Waiter { amount, answer }) = state.next_waiter(owner) {
            if state.take(owner, amount, self.total).is_err() {
                state.put_back(owner, Waiter { amount, answer });
                return;
            }
            match answer.send(Share { shares: self.clone(), owner, amount }) {
                Ok(()) => self.used.increment(as_metric(amount)),
                Err(mut unheard) => {
                    // Not by its drop, which would need the lock that is held here.
                    unheard.amount = 0;
                    state.remove(owner, amount);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Nothing that is done while it is locked can panic in the middle.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Owner> State<K> {
    /// The rule: at most as much as is left free. Whoever holds nothing may have the last.
    fn take(&mut self, owner: K, amount: usize, total: usize) -> Result<(), Refused> {
        let (held, free) = (self.accounts.get(&owner).map_or(0, |account| account.held), total - self.used);
        let may_have = amount <= free && (held == 0 || held + amount <= free - amount);
        if may_have {
            self.add(owner, amount);
            Ok(())
        } else {
            Err(if held > 0 { Refused::ShareUsedUp } else { Refused::AllUsedUp })
        }
    }

    /// The same for whoever does not push in before those who wait on the same behalf.
    fn take_in_turn(&mut self, owner: K, amount: usize, total: usize) -> Result<(), Refused> {
        let has_waiting = self.accounts.get_mut(&owner).is_some_and(Account::has_waiting);
        if has_waiting { Err(Refused::ShareUsedUp) } else { self.take(owner, amount, total) }
    }

    fn add(&mut self, owner: K, amount: usize) {
        // Nothing is never given back, so it must not be kept.
        if amount > 0 {
            self.used += amount;
            self.account(owner).held += amount;
        }
    }

    fn remove(&mut self, owner: K, amount: usize) {
        self.used -= amount;
        let account = self.account(owner);
        account.held -= amount;
        if account.held == 0 && account.waiting.is_empty() {
            self.accounts.remove(&owner);
        }
    }

    fn account(&mut self, owner: K) -> &mut Account<K> {
        self.accounts.entry(owner).or_insert_with(|| Account { held: 0, waiting: VecDeque::new() })
    }

    /// Puts somebody in the owner's line; false when that is too long.
    fn wait(&mut self, owner: K, waiter: Waiter<K>) -> bool {
        let account = self.account(owner);
        if account.waiting.len() >= MAX_WAITING {
            account.waiting.retain(|waiter| !waiter.answer.is_closed());
        }
        let has_room = account.waiting.len() < MAX_WAITING;
        if has_room {
            account.waiting.push_back(waiter);
            if !self.turns.contains(&owner) {
                self.turns.push_back(owner);
            }
        }
        has_room
    }

    /// The next in an owner's line who still waits.
    fn next_waiter(&mut self, owner: K) -> Option<Waiter<K>> {
        let account = self.accounts.get_mut(&owner)?;
        while let Some(waiter) = account.waiting.pop_front() {
            if !waiter.answer.is_closed() {
                return Some(waiter);
            }
        }
        if account.held == 0 {
            self.accounts.remove(&owner);
        }
        None
    }

    fn put_back(&mut self, owner: K, waiter: Waiter<K>) {
        self.account(owner).waiting.push_front(waiter);
    }
}

impl<K: Owner> Account<K> {
    /// Whether somebody still waits; forgets those at the front who gave up.
    fn has_waiting(&mut self) -> bool {
        while self.waiting.front().is_some_and(|waiter| waiter.answer.is_closed()) {
            self.waiting.pop_front();
        }
        !self.waiting.is_empty()
    }
}

impl<K: Owner> Share<K> {
    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes so much more, as [`Shares::take`].
    ///
    /// # Errors
    /// It could not be had for so long; what there is stays.
    pub async fn grow(&mut self, by: usize, patience: Duration) -> Result<(), Refused> {
        let mut more = self.shares.take(self.owner, by, patience).await?;
        self.amount += std::mem::take(&mut more.amount);
        Ok(())
    }

    /// Keeps so much of it, and gives the rest back.
    pub fn shrink_to(&mut self, amount: usize) {
        let rest = self.amount.saturating_sub(amount);
        if rest > 0 {
            self.amount = amount;
            self.shares.give_back(self.owner, rest);
        }
    }
}

impl<K: Owner> Drop for Share<K> {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.shares.give_back(self.owner, self.amount);
        }
    }
}

/// An amount as a metric has it; beyond 2^52 it is not exact.
#[expect(clippy::cast_precision_loss, reason = "nothing here is as large")]
fn as_metric(amount: usize) -> f64 {
    amount as f64
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn take_all(shares: &Arc<Shares<u8>>, owner: u8) -> Vec<Share<u8>> {
        std::iter::from_fn(|| shares.try_take(owner, 1).ok()).collect()
    }

    #[test]
    fn whoever_is_greedy_leaves_room_for_one_more() {
        let shares = Shares::new("test", 64);
        let first = take_all(&shares, 1);
        assert_eq!(first.len(), 32);
        assert_eq!(shares.try_take(1, 1).err(), Some(Refused::ShareUsedUp));
        let mut second = take_all(&shares, 2);
        assert_eq!(second.len(), 16);
        assert_eq!(take_all(&shares, 3).len(), 8);
        drop(first);
        second.extend(take_all(&shares, 2));
        assert_eq!(second.len(), 32, "alone again");
    }

    #[test]
    fn whoever_holds_nothing_gets_the_last_and_hears_when_there_is_none() {
        let shares = Shares::new("test", 1);
        let only = shares.try_take(1, 1).expect("the only one");
        assert_eq!(shares.try_take(2, 1).err(), Some(Refused::AllUsedUp));
        drop(only);
        assert!(shares.try_take(2, 1).is_ok());
    }

    #[test]
    fn a_proxy_may_have_everything() {
        let shares = Shares::new("test", 4);
        let all: Vec<_> = std::iter::from_fn(|| shares.try_take_for_many(1, 1).ok()).collect();
        assert_eq!(all.len(), 4);
    }

    #[tokio::test]
    async fn those_who_wait_get_it_in_turn_and_those_who_gave_up_do_not() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        let mut gone = Box::pin(shares.take(1, 1, LONG));
        let mut next = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut gone).is_pending() && poll!(&mut next).is_pending());
        drop(gone);
        assert!(poll!(&mut next).is_pending());
        drop(held);
        let next = next.await.expect("given back");
        drop(next);
        assert_eq!(take_all(&shares, 2).len(), 1, "nothing is lost");
        assert!(shares.lock().accounts.is_empty() && shares.lock().turns.is_empty());
    }

    #[tokio::test]
    async fn what_is_granted_to_somebody_who_leaves_at_that_moment_is_given_back() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        let mut waits = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut waits).is_pending());
        drop(held);
        drop(waits);
        assert_eq!(shares.lock().used, 0);
    }

    #[tokio::test]
    async fn whoever_waited_long_enough_is_refused() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        assert_eq!(shares.take(1, 1, Duration::ZERO).await.err(), Some(Refused::ShareUsedUp));
        drop(held);
        assert!(shares.lock().accounts.is_empty());
    }

    #[tokio::test]
    async fn no_more_than_so_many_wait() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(shares.take(1, 1, LONG))).collect();
        for waits in &mut waiting {
            assert!(poll!(waits).is_pending());
        }
        assert_eq!(shares.take(1, 1, LONG).await.err(), Some(Refused::ShareUsedUp));
        waiting.truncate(MAX_WAITING - 1);
        let mut waits = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut waits).is_pending(), "one has given up");
        drop((held, waiting));
        assert!(waits.await.is_ok());
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_holds_up_nobody_behind() {
        let shares = Shares::new("test", 20);
        let held = shares.try_take(2, 10).expect("free");
        let mut large = Box::pin(shares.take(1, 15, LONG));
        assert!(poll!(&mut large).is_pending());
        let mut small = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut small).is_pending(), "in its turn");
        drop(large);
        assert!(shares.take(1, 15, Duration::ZERO).await.is_err());
        assert!(small.await.is_ok(), "though nothing was given back");
        assert!(shares.take(1, 1, Duration::ZERO).await.is_ok(), "nor is a newcomer");
        drop(held);
        assert!(shares.lock().accounts.is_empty() && shares.lock().used == 0);
    }

    #[tokio::test]
    async fn a_share_grows_and_shrinks() {
        let shares = Shares::new("test", 100);
        let mut share = shares.try_take(1, 10).expect("free");
        share.grow(40, LONG).await.expect("free");
        assert!(share.grow(1, Duration::ZERO).await.is_err(), "half is what one may have");
        assert_eq!((share.amount(), shares.lock().used), (50, 50));
        share.shrink_to(5);
        assert_eq!((share.amount(), shares.lock().used), (5, 5));
        drop(share);
        assert_eq!(shares.lock().used, 0);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_was_free_and_nothing_is_lost(
            steps in prop::collection::vec((0_u8..4, 0_usize..20, any::<bool>()), 0..200),
        ) {
            let shares = Shares::new("test", 40);
            let mut held: Vec<Share<u8>> = Vec::new();
            for (owner, amount, is_taking) in steps {
                if is_taking {
                    let own: usize = held.iter().filter(|share| share.owner == owner).map(Share::amount).sum();
                    let free = 40 - held.iter().map(Share::amount).sum::<usize>();
                    let taken = shares.try_take(owner, amount);
                    prop_assert_eq!(taken.is_ok(), amount <= free && (own == 0 || own + amount <= free - amount));
                    held.extend(taken);
                } else if !held.is_empty() {
                    drop(held.swap_remove(amount % held.len()));
                }
                prop_assert_eq!(shares.lock().used, held.iter().map(Share::amount).sum::<usize>());
            }
            drop(held);
            prop_assert!(shares.lock().accounts.is_empty());
        }
    }
}
