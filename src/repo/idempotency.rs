//! Which requests were answered how, for clients that repeat them: one document for each idempotency key, for a day.
//!
//! Nothing in it can be read: keys and bodies are kept as authentication codes, answers encrypted.

use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc, oid::ObjectId};
use mongodb::Collection;
use mongodb::options::ReturnDocument;
use serde::Deserialize;

use super::command::millis;
use super::documents::decode;
use super::error::RepoError;
use super::{Database, exactly_one};

/// The collection of idempotency keys.
pub const IDEMPOTENCY_KEYS: &str = "idempotency_keys";

/// How long an answer is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(24);

/// How many former attempts are remembered that may only be late. So many become known only while MongoDB fails again and
/// again.
const FORMER_MAX: i32 = 200;

/// What identifies a request, or its body: an authentication code.
pub type Code = [u8; 32];

/// A request that carries a key, as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyDocument {
    /// The body's code.
    pub fingerprint: Binary,
    /// Who works on the request, or did.
    pub holder: ObjectId,
    /// What it makes.
    #[serde(flatten)]
    pub makes: Attempted,
    /// Which attempt this is; the first is 1.
    pub attempt: i64,
    /// What former attempts were to make, the oldest first.
    #[serde(default)]
    pub former: Vec<Attempted>,
    /// The answer; absent while there is none.
    #[serde(default)]
    pub answer: Option<Binary>,
}

/// What an attempt makes, or was to make.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Attempted {
    /// The organization.
    pub org_id: ObjectId,
    /// The change.
    pub change_id: ObjectId,
}

/// The requests with idempotency keys.
#[derive(Debug, Clone)]
pub struct IdempotencyRepo {
    collection: Collection<Document>,
    /// How long an attempt has, from the last time that it was renewed, before another may look what became of it: as
    /// long as a change has twice. One that
    /// stalls for longer is fenced as a change is: by the generation of the organization that it read before it had the key.
    pub lease: Duration,
}

impl IdempotencyRepo {
    pub(crate) fn new(database: &Database, lease: Duration) -> Self {
        Self { collection: database.collection(IDEMPOTENCY_KEYS), lease }
    }

    /// When the time of an attempt that begins now is over, as an expression for the database to compute.
    fn lease_end(&self) -> Document {
        doc! { "$add": ["$$NOW", millis(self.lease)] }
    }

    /// Takes a request on, if nobody else works on it and it was not answered; gives what is stored now, which tells by
    /// its holder whether it was taken on. A record whose day is over counts as none. It is kept on the owner's account.
    pub async fn claim(
        &self,
        key: &Code,
        owner: &Code,
        fingerprint: &Code,
        holder: ObjectId,
        first: Attempted,
    ) -> Result<KeyDocument, RepoError> {
        let is_new = doc! { "$not": [{ "$gt": ["$expires_at", "$$NOW"] }] };
        let is_abandoned = doc! { "$and": [
            { "$eq": [{ "$type": "$answer" }, "missing"] },
            { "$lt": ["$lease_until", "$$NOW"] },
            { "$eq": ["$fingerprint", binary(fingerprint)] },
        ] };
        let when_new = |value: Bson, otherwise: Bson| doc! { "$cond": ["$is_new", value, otherwise] };
        let when_taken = |value: Bson, otherwise: &str| {
            doc! { "$cond": [{ "$or": ["$is_new", "$is_abandoned"] }, value, otherwise] }
        };
        let set = doc! {
            "owner": when_new(binary(owner), "$owner".into()),
            "fingerprint": when_new(binary(fingerprint), "$fingerprint".into()),
            "org_id": when_new(first.org_id.into(), "$org_id".into()),
            "change_id": when_new(first.change_id.into(), "$change_id".into()),
            "answer": when_new("$$REMOVE".into(), "$answer".into()),
            "former": when_new("$$REMOVE".into(), "$former".into()),
            "expires_at": when_new(doc! { "$add": ["$$NOW", millis(KEPT_FOR)] }.into(), "$expires_at".into()),
            "attempt": when_new(1_i64.into(), doc! { "$cond": ["$is_abandoned", { "$add": ["$attempt", 1_i64] }, "$attempt"] }.into()),
            "holder": when_taken(holder.into(), "$holder"),
            "lease_until": when_taken(self.lease_end().into(), "$lease_until"),
        };
        let pipeline = vec![
            doc! { "$set": { "is_new": is_new, "is_abandoned": is_abandoned } },
            doc! { "$set": set },
            doc! { "$unset": ["is_new", "is_abandoned"] },
        ];
        let claim = || {
            let claim = self.collection.find_one_and_update(doc! { "_id": binary(key) }, pipeline.clone());
            let claim = claim.upsert(true).return_document(ReturnDocument::After);
            async move { claim.await.map_err(RepoError::from) }
        };
        let stored = match claim().await {
            // Two made it at once; the second finds what the first made.
            Err(RepoError::Duplicate { .. }) => claim().await?,
            stored => stored?,
        };
        match stored {
            Some(stored) => decode(IDEMPOTENCY_KEYS, stored),
            None => Err(RepoError::Refused { summary: "an upsert gave no document".to_owned() }),
        }
    }

    /// How long an owner who has more than so many records must wait until one of them is over; `None` when it has not.
    pub async fn wait_for_room(&self, owner: &Code, most: u32) -> Result<Option<Duration>, RepoError> {
        let is_live = doc! { "$expr": { "$gt": ["$expires_at", "$$NOW"] } };
        let pipeline = [
            doc! { "$match": { "owner": binary(owner) } },
            doc! { "$match": is_live },
            doc! { "$sort": { "expires_at": 1 } },
            doc! { "$limit": i64::from(most) + 1 },
            doc! { "$group": { "_id": null, "count": { "$sum": 1_i64 }, "first": { "$min": "$expires_at" } } },
            doc! { "$match": { "count": { "$gt": i64::from(most) } } },
            doc! { "$project": { "wait": { "$subtract": ["$first", "$$NOW"] } } },
        ];
        let mut found = self.collection.aggregate(pipeline).await.map_err(RepoError::of_read)?;
        if !found.advance().await.map_err(RepoError::of_read)? {
            return Ok(None);
        }
        let wait = found.current().get_i64("wait").ok().and_then(|wait| u64::try_from(wait).ok());
        Ok(Some(Duration::from_millis(wait.unwrap_or_default())))
    }

    /// Sets the identities of what a further attempt makes anew. Those of the former one are kept: it may only be late.
    pub async fn renumber(&self, key: &Code, holder: ObjectId, next: Attempted) -> Result<(), RepoError> {
        let former = [doc! { "org_id": "$org_id", "change_id": "$change_id" }];
        let former = doc! { "$concatArrays": [{ "$ifNull": ["$former", []] }, former.as_slice()] };
        let former = doc! { "$slice": [former, -FORMER_MAX] };
        let set = doc! { "former": former, "org_id": next.org_id, "change_id": next.change_id };
        let renumber = vec![doc! { "$set": set }];
        exactly_one(self.collection.update_one(held(key, holder), renumber).await?.matched_count)
    }

    /// Gives an attempt that goes on more time.
    pub async fn renew(&self, key: &Code, holder: ObjectId) -> Result<(), RepoError> {
        let renew = vec![doc! { "$set": { "lease_until": self.lease_end() } }];
        exactly_one(self.collection.update_one(held(key, holder), renew).await?.matched_count)
    }

    /// Keeps the answer.
    pub async fn answer(&self, key: &Code, holder: ObjectId, answer: Vec<u8>) -> Result<(), RepoError> {
        let answer = Binary { subtype: BinarySubtype::Generic, bytes: answer };
        let set = doc! { "$set": { "answer": answer } };
        exactly_one(self.collection.update_one(held(key, holder), set).await?.matched_count)
    }

    /// Ends an attempt's time.
    pub async fn give_back(&self, key: &Code, holder: ObjectId) -> Result<(), RepoError> {
        self.collection.update_one(held(key, holder), vec![doc! { "$set": given_back() }]).await?;
        Ok(())
    }

    /// Takes a further attempt back that did nothing: what the former ones were to make counts again, because they may only be
    /// late.
    pub async fn withdraw(
        &self,
        key: &Code,
        holder: ObjectId,
        last: Attempted,
        former: &[Attempted],
    ) -> Result<(), RepoError> {
        let former: Vec<Document> =
            former.iter().map(|former| doc! { "org_id": former.org_id, "change_id": former.change_id }).collect();
        let mut set = doc! { "former": former, "org_id": last.org_id, "change_id": last.change_id };
        set.extend(given_back());
        let withdraw = vec![doc! { "$set": set }];
        exactly_one(self.collection.update_one(held(key, holder), withdraw).await?.matched_count)
    }

    /// Forgets a request that did nothing.
    pub async fn forget(&self, key: &Code, holder: ObjectId) -> Result<(), RepoError> {
        exactly_one(self.collection.delete_one(held(key, holder)).await?.deleted_count)
    }
}

fn held(key: &Code, holder: ObjectId) -> Document {
    doc! { "_id": binary(key), "holder": holder }
}

/// The end of an attempt's time.
fn given_back() -> Document {
    doc! { "lease_until": { "$subtract": ["$$NOW", 1_i64] } }
}

fn binary(code: &Code) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: code.to_vec() })
}
