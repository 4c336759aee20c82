//! Which requests were answered how, for clients that repeat them: one document for each idempotency key, for a day.
//!
//! Nothing in it can be read: keys and bodies are kept as authentication codes, answers encrypted. What the attempts at a
//! request make is kept as the call names it, beside the fields of this file, and means nothing here.

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

/// What identifies a request, or its body: an authentication code.
pub type Code = [u8; 32];

/// The time of one attempt with a key: until another attempt takes the key over, which then has another holder.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// The key's code.
    pub key: Code,
    /// Whose it is.
    pub holder: ObjectId,
}

/// A request that carries a key, as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyDocument<Ids> {
    /// The body's code.
    pub fingerprint: Binary,
    /// The last attempt's.
    pub holder: ObjectId,
    /// What the last attempt makes.
    #[serde(flatten)]
    pub ids: Ids,
    /// How many attempts there were.
    pub attempt: i64,
    /// What the attempts before the last were to make, the oldest first.
    #[serde(default = "Vec::new")]
    pub former: Vec<Ids>,
    /// The answer; absent while there is none.
    #[serde(default)]
    pub answer: Option<Binary>,
}

/// The requests with idempotency keys.
#[derive(Debug, Clone)]
pub struct IdempotencyRepo {
    collection: Collection<Document>,
    /// How long an attempt has, since it last renewed its lease, before another may look what became of it: twice as long as
    /// a change has. One that stalls for longer is fenced as a change is: by the generation of the organization that it read
    /// before it had the key.
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

    /// Takes a key for an attempt, if it is new, or was left by an attempt at the same request that neither renewed its lease
    /// nor was answered. Gives what is stored now; its holder says whether the key was taken. A record whose day is over
    /// counts as none. A new one is kept on the owner's account, with these ids.
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

    /// Records what an attempt makes, and what those before it were to make: they may only be late.
    pub async fn renumber<Ids: Serialize>(&self, hold: &Hold, ids: &Ids, former: &[Ids]) -> Result<(), RepoError> {
        let mut fields = document(ids)?;
        fields.insert("former", former.iter().map(document).collect::<Result<Vec<_>, _>>()?);
        self.update(hold, doc! { "$set": fields }).await
    }

    /// Renews the lease.
    pub async fn renew(&self, hold: &Hold) -> Result<(), RepoError> {
        self.update(hold, vec![doc! { "$set": { "lease_until": self.lease_end() } }]).await
    }

    /// Ends the lease, so that the next attempt need not wait for its end.
    pub async fn give_back(&self, hold: &Hold) -> Result<(), RepoError> {
        let over = doc! { "$subtract": ["$$NOW", 1_i64] };
        self.update(hold, vec![doc! { "$set": { "lease_until": over } }]).await
    }

    /// Keeps the answer.
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
    /// The key's document, while this attempt holds it.
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
