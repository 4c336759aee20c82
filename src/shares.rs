//! Fair shares of every bounded resource: running requests, queries, streams, bytes, connections, password checks. One
//! rule divides them all:
//!
//! **An owner may hold at most as much as it leaves free.** A single owner gets half, two get a third each, and there is
//! always room for one more, without anyone having to know how many owners there will be. An owner that holds nothing gets
//! something as long as anything is left. (Dynamic thresholds, as in the shared memory of switches: Choudhury and Hahne,
//! "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What can hold a share: an organization, a client's network.
pub trait Owner: Copy + Eq + Hash + std::fmt::Debug + Send + 'static {}

impl<K: Copy + Eq + Hash + std::fmt::Debug + Send + 'static> Owner for K {}

/// Why a request for more was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The owner already holds as much as it may.
    #[error("the owner's share is used up")]
    ShareUsedUp,
    /// Everything is in use.
    #[error("everything is in use")]
    AllUsedUp,
}

/// How long a request waits for its owner's share before it is refused: long enough for running work to end, too short to
/// look like an outage.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The longest line of one owner. Waiters beyond it would time out anyway, and each costs memory.
const MAX_WAITING: usize = 1_024;

/// A bounded resource, divided among owners.
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
    /// The owners with waiters, each once, in the order of their turns.
    turns: VecDeque<K>,
}

#[derive(Debug)]
struct Account<K: Owner> {
    held: usize,
    waiting: VecDeque<Waiter<K>>,
}

#[derive(Debug)]
struct Waiter<K: Owner> {
    amount: usize,
    answer: oneshot::Sender<Share<K>>,
}

/// A part of the resource; dropping it gives it back.
#[derive(Debug)]
pub struct Share<K: Owner> {
    shares: Arc<Shares<K>>,
    owner: K,
    amount: usize,
}

impl<K: Owner> Shares<K> {
    /// Divides `total`. The metrics show under `name` how much is in use, and count refusals.
    pub fn new(name: &'static str, total: usize) -> Arc<Self> {
        let state = State { used: 0, accounts: HashMap::new(), turns: VecDeque::new() };
        let refused = counter!("shares_refused_total", "of" => name);
        Arc::new(Self { total, state: Mutex::new(state), used: gauge!(name), refused })
    }

    /// The whole amount, in use or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes `amount` now, or refuses.
    pub fn try_take(self: &Arc<Self>, owner: K, amount: usize) -> Result<Share<K>, Refused> {
        let taken = self.state.lock().take(owner, amount, self.total);
        self.settle(taken.map(|()| Share { shares: self.clone(), owner, amount }))
    }

    /// Takes any free amount, for an owner that stands for many clients, such as a proxy.
    pub fn try_take_for_many(self: &Arc<Self>, owner: K, amount: usize) -> Result<Share<K>, Refused> {
        let mut state = self.state.lock();
        let is_free = amount <= self.total - state.used;
        if is_free {
            state.add(owner, amount);
        }
        drop(state);
        let share = is_free.then(|| Share { shares: self.clone(), owner, amount });
        self.settle(share.ok_or(Refused::AllUsedUp))
    }

    /// Takes `amount` as soon as it is available. Requests of one owner are served in order of arrival.
    pub async fn take(self: &Arc<Self>, owner: K, amount: usize, patience: Duration) -> Result<Share<K>, Refused> {
        let (answer, answered) = oneshot::channel();
        let refused = match self.take_or_wait(owner, Waiter { amount, answer }) {
            Ok(()) => return self.settle(Ok(Share { shares: self.clone(), owner, amount })),
            Err(refused) => refused,
        };
        // A share that arrives too late is dropped unread, and so given back.
        if let Ok(Ok(share)) = timeout(patience, answered).await {
            return Ok(share);
        }
        // The next in line may want less.
        self.serve(&mut self.state.lock(), owner);
        self.settle(Err(refused))
    }

    /// Takes the amount now or joins the owner's line. If that is full, the dropped waiter is answered at once.
    fn take_or_wait(&self, owner: K, waiter: Waiter<K>) -> Result<(), Refused> {
        let mut state = self.state.lock();
        state.take_in_turn(owner, waiter.amount, self.total).inspect_err(|_| state.wait(owner, waiter))
    }

    /// Counts the outcome for the metrics.
    fn settle(&self, taken: Result<Share<K>, Refused>) -> Result<Share<K>, Refused> {
        match &taken {
            Ok(share) => self.used.increment(as_metric(share.amount)),
            Err(_) => self.refused.increment(1),
        }
        taken
    }

    /// Takes an amount back and passes it on to waiters, one turn for each owner.
    fn give_back(self: &Arc<Self>, owner: K, amount: usize) {
        self.used.decrement(as_metric(amount));
        let mut state = self.state.lock();
        state.remove(owner, amount);
        for owner in std::mem::take(&mut state.turns) {
            self.serve(&mut state, owner);
            if state.accounts.get(&owner).is_some_and(|account| !account.waiting.is_empty()) {
                state.turns.push_back(owner);
            }
        }
    }

    /// Serves an owner's waiters until its share is used up.
    fn serve(self: &Arc<Self>, state: &mut State<K>, owner: K) {
        while let Some(waiter) = state.next_waiter(owner) {
            let amount = waiter.amount;
            if state.take(owner, amount, self.total).is_err() {
                state.account(owner).waiting.push_front(waiter);
                return;
            }
            match waiter.answer.send(Share { shares: self.clone(), owner, amount }) {
                Ok(()) => self.used.increment(as_metric(amount)),
                Err(mut unheard) => {
                    // Its drop would take the lock that is held here.
                    unheard.amount = 0;
                    state.remove(owner, amount);
                }
            }
        }
    }
}

impl<K: Owner> State<K> {
    /// The rule: hold at most as much as is left free. An owner that holds nothing may take the last.
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

    /// [`State::take`], but not ahead of the owner's own waiters.
    fn take_in_turn(&mut self, owner: K, amount: usize, total: usize) -> Result<(), Refused> {
        let has_waiting = self.accounts.get_mut(&owner).is_some_and(Account::has_waiting);
        if has_waiting { Err(Refused::ShareUsedUp) } else { self.take(owner, amount, total) }
    }

    fn add(&mut self, owner: K, amount: usize) {
        // A share of zero is never given back, so its account would stay.
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

    /// Puts a waiter in its owner's line, or drops it when the line is full.
    fn wait(&mut self, owner: K, waiter: Waiter<K>) {
        let account = self.account(owner);
        if account.waiting.len() >= MAX_WAITING {
            account.waiting.retain(|waiter| !waiter.answer.is_closed());
        }
        if account.waiting.len() < MAX_WAITING {
            account.waiting.push_back(waiter);
            if !self.turns.contains(&owner) {
                self.turns.push_back(owner);
            }
        }
    }

    /// The first in an owner's line that is still waiting.
    fn next_waiter(&mut self, owner: K) -> Option<Waiter<K>> {
        let account = self.accounts.get_mut(&owner)?;
        if account.has_waiting() {
            return account.waiting.pop_front();
        }
        if account.held == 0 {
            self.accounts.remove(&owner);
        }
        None
    }
}

impl<K: Owner> Account<K> {
    /// Whether anyone is still waiting; drops those at the front that gave up.
    fn has_waiting(&mut self) -> bool {
        while self.waiting.front().is_some_and(|waiter| waiter.answer.is_closed()) {
            self.waiting.pop_front();
        }
        !self.waiting.is_empty()
    }
}

impl<K: Owner> Share<K> {
    /// How much is held.
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes `by` more, as [`Shares::take`] does. A refusal leaves the share as it was.
    pub async fn grow(&mut self, by: usize, patience: Duration) -> Result<(), Refused> {
        let mut more = self.shares.take(self.owner, by, patience).await?;
        self.amount += std::mem::take(&mut more.amount);
        Ok(())
    }

    /// Keeps `amount` and gives the rest back.
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

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^52, and no amount here is that large")]
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
    fn a_greedy_owner_leaves_room_for_one_more() {
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
    fn an_owner_that_holds_nothing_gets_the_last_or_hears_that_all_is_used_up() {
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
    async fn waiters_are_served_in_turn_unless_they_gave_up() {
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
        assert!(shares.state.lock().accounts.is_empty() && shares.state.lock().turns.is_empty());
    }

    #[tokio::test]
    async fn a_share_granted_to_a_waiter_that_is_leaving_is_given_back() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        let mut waits = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut waits).is_pending());
        drop(held);
        drop(waits);
        assert_eq!(shares.state.lock().used, 0);
    }

    #[tokio::test]
    async fn a_waiter_is_refused_when_its_patience_ends() {
        let shares = Shares::new("test", 2);
        let held = shares.try_take(1, 1).expect("free");
        assert_eq!(shares.take(1, 1, Duration::ZERO).await.err(), Some(Refused::ShareUsedUp));
        drop(held);
        assert!(shares.state.lock().accounts.is_empty());
    }

    #[tokio::test]
    async fn a_line_has_a_longest_length() {
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
    async fn a_waiter_that_cannot_be_served_holds_up_nobody_behind_it_for_good() {
        let shares = Shares::new("test", 20);
        let held = shares.try_take(2, 10).expect("free");
        let mut large = Box::pin(shares.take(1, 15, LONG));
        assert!(poll!(&mut large).is_pending());
        let mut small = Box::pin(shares.take(1, 1, LONG));
        assert!(poll!(&mut small).is_pending(), "waits for its turn");
        drop(large);
        assert!(shares.take(1, 15, Duration::ZERO).await.is_err());
        assert!(small.await.is_ok(), "though nothing was given back");
        assert!(shares.take(1, 1, Duration::ZERO).await.is_ok(), "nor is a newcomer");
        drop(held);
        assert!(shares.state.lock().accounts.is_empty() && shares.state.lock().used == 0);
    }

    #[tokio::test]
    async fn a_share_grows_and_shrinks() {
        let shares = Shares::new("test", 100);
        let mut share = shares.try_take(1, 10).expect("free");
        share.grow(40, LONG).await.expect("free");
        assert!(share.grow(1, Duration::ZERO).await.is_err(), "one owner gets half");
        assert_eq!((share.amount(), shares.state.lock().used), (50, 50));
        share.shrink_to(5);
        assert_eq!((share.amount(), shares.state.lock().used), (5, 5));
        drop(share);
        assert_eq!(shares.state.lock().used, 0);
    }

    proptest! {
        #[test]
        fn no_owner_gets_more_than_was_left_free_and_nothing_is_lost(
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
                prop_assert_eq!(shares.state.lock().used, held.iter().map(Share::amount).sum::<usize>());
            }
            drop(held);
            prop_assert!(shares.state.lock().accounts.is_empty());
        }
    }
}
