//! The answers to past requests, for clients that repeat them: one document per idempotency key, kept for a day.
//!
//! The documents reveal nothing: keys and bodies are stored as authentication codes, answers are encrypted. The ids
//! that attempts use are stored beside this file's fields, under the caller's names, and mean nothing here.

use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc, oid::ObjectId, serialize_to_document};
use mongodb::Collection;
use mongodb::options::{ReturnDocument, UpdateModifications};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::command::millis;
use super::error::RepoError;
use super::records::decode;
use super::{Database, exactly_one};

/// The collection of idempotency keys.
pub const IDEMPOTENCY_KEYS: &str = "idempotency_keys";

/// How long an answer is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_hours(24);

/// The authentication code of a key or a body.
pub type Code = [u8; 32];

/// One attempt's hold on a key. It ends when another attempt takes the key with a holder of its own.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// The key's code.
    pub key: Code,
    /// The attempt that holds it.
    pub holder: ObjectId,
}

/// A request with an idempotency key, as stored.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyDocument<Ids> {
    /// The body's code.
    pub fingerprint: Binary,
    /// The holder of the last attempt.
    pub holder: ObjectId,
    /// The ids of what the last attempt creates.
    #[serde(flatten)]
    pub ids: Ids,
    /// The number of attempts so far.
    pub attempt: i64,
    /// The ids of what earlier attempts were to create, oldest first.
    #[serde(default = "Vec::new")]
    pub former: Vec<Ids>,
    /// The answer, once there is one.
    #[serde(default)]
    pub answer: Option<Binary>,
}

/// The requests with idempotency keys.
#[derive(Debug, Clone)]
pub struct IdempotencyRepo {
    collection: Collection<Document>,
    /// How long after its last renewal an attempt is safe from others: twice a change's lease. One that stalls longer
    /// is fenced like a change, by the organization's generation, read before it got the key.
    pub lease: Duration,
}

impl IdempotencyRepo {
    pub(crate) fn new(database: &Database, lease: Duration) -> Self {
        Self { collection: database.collection(IDEMPOTENCY_KEYS), lease }
    }

    /// The end of a lease that begins now, as an expression that the database evaluates.
    fn lease_end(&self) -> Document {
        doc! { "$add": ["$$NOW", millis(self.lease)] }
    }

    /// Takes a key for an attempt if the key is new, or if an earlier attempt at the same request neither renewed its
    /// lease nor got an answer. Returns what is stored now; its holder tells whether the key was taken. A record older
    /// than a day counts as absent. A new record counts towards the owner's limit and stores these ids.
    pub async fn claim<Ids: Serialize + DeserializeOwned>(
        &self,
        hold: &Hold,
        owner: &Code,
        fingerprint: &Code,
        ids: &Ids,
    ) -> Result<KeyDocument<Ids>, RepoError> {
        let is_abandoned = doc! { "$and": [
            { "$eq": [{ "$type": "$answer" }, "missing"] },
            { "$lt": ["$lease_until", "$$NOW"] },
            { "$eq": ["$fingerprint", binary(fingerprint)] },
        ] };
        let taken = doc! { "holder": hold.holder, "lease_until": self.lease_end() };
        let own = doc! {
            "_id": binary(&hold.key), "owner": binary(owner), "fingerprint": binary(fingerprint), "attempt": 1_i64,
            "expires_at": { "$add": ["$$NOW", millis(KEPT_FOR)] },
        };
        let new = doc! { "$mergeObjects": [{ "$literal": document(ids)? }, own, &taken] };
        let next = doc! { "$mergeObjects": ["$$ROOT", { "attempt": { "$add": ["$attempt", 1_i64] } }, &taken] };
        let stored = doc! { "$switch": {
            "branches": [
                { "case": { "$not": [{ "$gt": ["$expires_at", "$$NOW"] }] }, "then": new },
                { "case": is_abandoned, "then": next },
            ],
            "default": "$$ROOT",
        } };
        let claim = || async {
            let pipeline = vec![doc! { "$replaceWith": &stored }];
            let claim = self.collection.find_one_and_update(doc! { "_id": binary(&hold.key) }, pipeline);
            claim.upsert(true).return_document(ReturnDocument::After).await.map_err(RepoError::from)
        };
        let stored = match claim().await {
            // Two attempts created it at once; the second finds the first one's record.
            Err(RepoError::Duplicate { .. }) => claim().await?,
            stored => stored?,
        };
        match stored {
            Some(stored) => decode(IDEMPOTENCY_KEYS, stored),
            None => Err(RepoError::Refused { summary: "an upsert gave no document".to_owned() }),
        }
    }

    /// How long an owner over this limit must wait until one of its records expires; `None` within the limit.
    pub async fn wait_for_room(&self, owner: &Code, most: u32) -> Result<Option<Duration>, RepoError> {
        let wait = doc! { "$subtract": ["$expires_at", "$$NOW"] };
        let pipeline = [
            doc! { "$match": { "owner": binary(owner), "$expr": { "$gt": ["$expires_at", "$$NOW"] } } },
            doc! { "$sort": { "expires_at": 1 } },
            doc! { "$limit": i64::from(most) + 1 },
            doc! { "$group": { "_id": null, "count": { "$sum": 1_i64 }, "wait": { "$min": wait } } },
            doc! { "$match": { "count": { "$gt": i64::from(most) } } },
        ];
        let mut found = self.collection.aggregate(pipeline).await.map_err(RepoError::of_read)?;
        if !found.advance().await.map_err(RepoError::of_read)? {
            return Ok(None);
        }
        let wait = found.current().get_i64("wait").ok().and_then(|wait| u64::try_from(wait).ok());
        Ok(Some(Duration::from_millis(wait.unwrap_or_default())))
    }

    /// Records the ids of what this attempt creates, and those of earlier attempts, which may still arrive late.
    pub async fn renumber<Ids: Serialize>(&self, hold: &Hold, ids: &Ids, former: &[Ids]) -> Result<(), RepoError> {
        let mut fields = document(ids)?;
        fields.insert("former", former.iter().map(document).collect::<Result<Vec<_>, _>>()?);
        self.update(hold, doc! { "$set": fields }).await
    }

    /// Renews the lease.
    pub async fn renew(&self, hold: &Hold) -> Result<(), RepoError> {
        self.update(hold, vec![doc! { "$set": { "lease_until": self.lease_end() } }]).await
    }

    /// Ends the lease early, so that the next attempt need not wait for it.
    pub async fn give_back(&self, hold: &Hold) -> Result<(), RepoError> {
        let over = doc! { "$subtract": ["$$NOW", 1_i64] };
        self.update(hold, vec![doc! { "$set": { "lease_until": over } }]).await
    }

    /// Stores the answer.
    pub async fn answer(&self, hold: &Hold, answer: Vec<u8>) -> Result<(), RepoError> {
        let answer = Binary { subtype: BinarySubtype::Generic, bytes: answer };
        self.update(hold, doc! { "$set": { "answer": answer } }).await
    }

    /// Forgets a request that did nothing.
    pub async fn forget(&self, hold: &Hold) -> Result<(), RepoError> {
        exactly_one(self.collection.delete_one(hold.filter()).await?.deleted_count)
    }

    async fn update(&self, hold: &Hold, update: impl Into<UpdateModifications>) -> Result<(), RepoError> {
        exactly_one(self.collection.update_one(hold.filter(), update).await?.matched_count)
    }
}

impl Hold {
    /// Matches the key's document while this attempt holds it.
    fn filter(&self) -> Document {
        doc! { "_id": binary(&self.key), "holder": self.holder }
    }
}

fn document(ids: &impl Serialize) -> Result<Document, RepoError> {
    serialize_to_document(ids).map_err(|error| mongodb::error::Error::from(error).into())
}

fn binary(code: &Code) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: code.to_vec() })
}
