//! The mechanism of idempotency keys: a call that makes numbered things stands for all calls that use it.

use std::cell::Cell;
use std::time::Duration;

use bson::{DateTime, Document, doc};
use mongodb::Collection;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tenantry::repo::{Databases, Repos};
use tenantry::service::idempotency::{
    Answer, AnswerSealer, Former, IdempotencyService, KeyError, Refusal, Repeatable, RequestKey,
};
use tenantry::timings::Timings;

use crate::support::mongo;
use crate::support::server::{SECRET, empty_database};

/// What an attempt makes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Thing {
    number: i32,
}

/// Why a thing was not made.
#[derive(Debug)]
enum NotMade {
    Refused,
    NobodyKnows,
    Key(KeyError),
}

impl From<KeyError> for NotMade {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl Refusal for NotMade {
    fn is_undecided(&self) -> bool {
        matches!(self, Self::NobodyKnows)
    }
}

type Made = Result<Answer, NotMade>;
type Recalled = Result<Former<Answer>, NotMade>;

fn made(number: i32) -> Answer {
    Answer { status: 201, body: format!("thing {number}"), is_unchanged: false, is_replay: false }
}

/// The thing in an answer, and whether it is a repetition.
fn told(made: &Made) -> (&str, bool) {
    let answer = made.as_ref().expect("an answer");
    (&answer.body, answer.is_replay)
}

fn is_in_progress(made: &Made) -> bool {
    matches!(made, Err(NotMade::Key(KeyError::InProgress)))
}

/// Many clients that send one request with the same key.
struct Clients {
    service: IdempotencyService,
    keys: Collection<Document>,
}

impl Clients {
    /// Clients of a server whose attempts have this lease.
    async fn new(lease: Duration) -> Self {
        let database = empty_database(mongo::shared().await).await;
        let repos = Repos::new(&Databases::both(&database), Timings { lease: lease / 2, ..Timings::default() });
        let sealer = AnswerSealer::new(&SecretString::from(SECRET)).expect("keys");
        let keys = database.collection("idempotency_keys");
        Self { service: IdempotencyService::new(&repos, sealer), keys }
    }

    async fn patient() -> Self {
        Self::new(Duration::from_mins(1)).await
    }

    async fn send(
        &self,
        number: i32,
        patience: Duration,
        if_known: impl Fn() -> Result<(), NotMade>,
        recall: impl AsyncFn(Thing) -> Recalled,
        carry_out: impl AsyncFnOnce(Thing) -> Made,
    ) -> Made {
        let key = RequestKey { key: Some("key".to_owned()), patience };
        let request = Repeatable {
            call: "make_thing",
            sender: "somebody",
            account: ("kind", b"owner"),
            content: b"a thing, please",
            ids: Thing { number },
            if_known,
            recall: |thing| recall(thing),
            carry_out: |thing| carry_out(thing),
        };
        self.service.run(key, request).await
    }

    /// An attempt at this thing whose outcome is unknown.
    async fn lose(&self, number: i32) {
        let lost =
            self.send(number, Duration::ZERO, || Ok(()), never_recalled, async |_| Err(NotMade::NobodyKnows)).await;
        assert!(matches!(lost, Err(NotMade::NobodyKnows)));
    }

    async fn stored(&self) -> Document {
        self.keys.find_one(doc! {}).await.expect("MongoDB").expect("a key")
    }
}

async fn never_recalled(thing: Thing) -> Recalled {
    panic!("recalled {thing:?}")
}

async fn never_made(thing: Thing) -> Made {
    panic!("made {thing:?}")
}

#[tokio::test]
async fn what_became_of_an_attempt_that_nobody_knows_of_is_asked_once_and_then_kept() {
    let clients = Clients::patient().await;
    clients.lose(1).await;
    let (looks, guesses) = (Cell::new(0), Cell::new(0));
    let recall = async |thing: Thing| {
        assert_eq!(thing, Thing { number: 1 });
        looks.update(|looks| looks + 1);
        Ok(if looks.get() < 3 { Former::Running } else { Former::Done(made(1)) })
    };
    let if_known = || {
        guesses.update(|guesses| guesses + 1);
        Ok(())
    };
    let again = clients.send(2, Duration::from_mins(1), if_known, recall, never_made).await;
    assert_eq!((told(&again), looks.get(), guesses.get()), (("thing 1", true), 3, 1));
    let again = clients.send(3, Duration::ZERO, || Ok(()), never_recalled, never_made).await;
    assert_eq!(told(&again), ("thing 1", true));
}

#[tokio::test]
async fn an_attempt_that_goes_on_is_waited_for_no_longer_than_there_is_patience() {
    let clients = Clients::patient().await;
    clients.lose(1).await;
    let again = clients.send(2, Duration::ZERO, || Ok(()), async |_| Ok(Former::Running), never_made).await;
    assert!(is_in_progress(&again), "{again:?}");
    // A client that waited, or that is refused, does not keep the key either.
    let refused = clients.send(3, Duration::ZERO, || Err(NotMade::Refused), never_recalled, never_made).await;
    assert!(matches!(refused, Err(NotMade::Refused)), "{refused:?}");
    let again = clients.send(4, Duration::ZERO, || Ok(()), async |_| Ok(Former::Done(made(1))), never_made).await;
    assert_eq!(told(&again), ("thing 1", true));
}

#[tokio::test]
async fn a_repetition_that_is_refused_asks_what_the_attempts_before_it_did_meanwhile() {
    let clients = Clients::patient().await;
    clients.lose(1).await;
    // Refused on its own account: its attempt is withdrawn, and the key still waits for the first.
    let nothing = async |_: Thing| Ok(Former::Nothing);
    for number in [2, 3] {
        let refused = clients.send(number, Duration::ZERO, || Ok(()), nothing, async |_| Err(NotMade::Refused)).await;
        assert!(matches!(refused, Err(NotMade::Refused)), "{refused:?}");
        let stored = clients.stored().await;
        assert_eq!((stored.get_i32("number").ok(), stored.get_array("former").map(Vec::len).ok()), (Some(1), Some(0)));
    }
    // Refused because the first attempt woke up, and is still running, or is over.
    let late = Cell::new(false);
    let refused = async |_: Thing| {
        late.set(true);
        Err(NotMade::Refused)
    };
    let goes_on = async |_: Thing| Ok(if late.get() { Former::Running } else { Former::Nothing });
    let again = clients.send(4, Duration::ZERO, || Ok(()), goes_on, refused).await;
    assert!(is_in_progress(&again), "{again:?}");
    late.set(false);
    let is_over =
        async |thing: Thing| Ok(if late.get() && thing.number == 1 { Former::Done(made(1)) } else { Former::Nothing });
    let again = clients.send(5, Duration::ZERO, || Ok(()), is_over, refused).await;
    assert_eq!(told(&again), ("thing 1", true));
}

#[tokio::test]
async fn an_attempt_keeps_its_key_for_as_long_as_it_works() {
    let clients = Clients::new(Duration::from_millis(600)).await;
    let work = async |Thing { number }| {
        // Three times its lease.
        let patience = Duration::from_millis(1_800);
        let again = clients.send(2, patience, || Ok(()), never_recalled, never_made).await;
        assert!(is_in_progress(&again), "{again:?}");
        Ok(made(number))
    };
    let first = clients.send(1, Duration::ZERO, || Ok(()), never_recalled, work).await;
    assert_eq!(told(&first), ("thing 1", false));
    let again = clients.send(3, Duration::ZERO, || Ok(()), never_recalled, never_made).await;
    assert_eq!(told(&again), ("thing 1", true));
}

#[tokio::test]
async fn an_attempt_that_was_overtaken_has_no_say_in_what_is_kept() {
    for is_refused in [true, false] {
        let clients = Clients::patient().await;
        let stall = async |Thing { number }| {
            let over = doc! { "$set": { "lease_until": DateTime::from_millis(1_000) } };
            assert_eq!(clients.keys.update_one(doc! {}, over).await.expect("MongoDB").modified_count, 1);
            let make = async |Thing { number }| Ok(made(number));
            let again = clients.send(2, Duration::ZERO, || Ok(()), async |_| Ok(Former::Nothing), make).await;
            assert_eq!(told(&again), ("thing 2", false));
            if is_refused { Err(NotMade::Refused) } else { Ok(made(number)) }
        };
        let first = clients.send(1, Duration::ZERO, || Ok(()), never_recalled, stall).await;
        assert_eq!(is_in_progress(&first), is_refused, "{first:?}");
        let again = clients.send(3, Duration::ZERO, || Ok(()), never_recalled, never_made).await;
        assert_eq!(told(&again), ("thing 2", true));
    }
}
