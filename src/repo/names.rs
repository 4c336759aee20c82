//! An organization's names: its current one, old ones it answers to, and those cooling down. All are in `names`, whose
//! unique index reserves them.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};

use super::command::millis;
use super::error::RepoError;
use super::orgs::OrgRepo;
use crate::domain::{OrgId, Slug, Title};

/// A day in milliseconds, MongoDB's unit.
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

impl OrgRepo {
    /// Frees a name that was only kept or cooling down, once its time is over.
    pub async fn free_expired(&self, slug: &Slug) -> Result<(), RepoError> {
        let list = |field: &str| doc! { "$ifNull": [field, []] };
        let is_over = doc! { "$and": [
            { "$eq": ["$$this.slug", { "$literal": slug.as_str() }] },
            { "$lte": ["$$this.until", "$$NOW"] },
        ] };
        let reserved = doc! { "$concatArrays": [list("$old_names"), list("$cooling")] };
        let over = doc! { "$filter": { "input": reserved, "cond": is_over } };
        let filter = doc! { "names": slug.as_str(), "$expr": { "$gt": [{ "$size": over }, 0] } };
        let tidy = doc! { "$set": { "old_names": unless_empty(live("$old_names")), "cooling": unless_empty(live("$cooling")) } };
        self.collection.update_one(filter, vec![tidy, claimed()]).await?;
        Ok(())
    }

    /// Releases an old name early. False when the organization does not have it.
    pub async fn give_up_old_name(&self, id: OrgId, slug: &Slug) -> Result<bool, RepoError> {
        let filter = doc! { "_id": id.0, "old_names.slug": slug.as_str() };
        let given_up = doc! { "$set": { "old_names": unless_empty(without(live("$old_names"), slug)) } };
        Ok(self.collection.update_one(filter, vec![given_up, claimed()]).await?.matched_count == 1)
    }

    /// Counts calls that used an organization's old name.
    pub async fn count_uses(&self, id: OrgId, slug: &Slug, uses: i64, last: DateTime) -> Result<(), RepoError> {
        let filter = doc! { "_id": id.0, "old_names.slug": slug.as_str() };
        let count = doc! { "$inc": { "old_names.$.uses": uses }, "$max": { "old_names.$.last_used_at": last } };
        self.collection.update_one(filter, count).await?;
        Ok(())
    }
}

/// A stage that derives `names` from the document: current, claimed by a change, kept, and cooling down.
pub(super) fn claimed() -> Document {
    let list = |field: &str| doc! { "$ifNull": [field, []] };
    let claim = doc! { "$cond": [{ "$gt": ["$change.to.slug", Bson::Null] }, ["$change.to.slug"], []] };
    let (old, cooling) = (slugs(&list("$old_names").into()), slugs(&list("$cooling").into()));
    doc! { "$set": { "names": { "$setUnion": [["$slug"], claim, old, cooling] } } }
}

/// The list, or no field when it is empty.
pub(super) fn unless_empty(list: impl Into<Bson>) -> Document {
    let value = doc! { "$cond": [{ "$eq": [{ "$size": "$$list" }, 0] }, "$$REMOVE", "$$list"] };
    doc! { "$let": { "vars": { "list": list.into() }, "in": value } }
}

/// The slugs in a list.
pub(super) fn slugs(list: &Bson) -> Document {
    doc! { "$map": { "input": list, "in": "$$this.slug" } }
}

/// The entries of a list that have not expired.
pub(super) fn live(field: &str) -> Document {
    let cond = doc! { "$gt": ["$$this.until", "$$NOW"] };
    doc! { "$filter": { "input": { "$ifNull": [field, []] }, "cond": cond } }
}

/// A list without this slug's entry.
pub(super) fn without(list: impl Into<Bson>, slug: &Slug) -> Document {
    let cond = doc! { "$ne": ["$$this.slug", { "$literal": slug.as_str() }] };
    doc! { "$filter": { "input": list.into(), "cond": cond } }
}

/// The old names after a rename that keeps the old one.
pub(super) fn kept(from: &Title, to: &Slug, days: u16) -> Document {
    let literal = |text: &str| doc! { "$literal": text };
    let entry = doc! {
        "organization_name": literal(&from.name),
        "slug": literal(from.slug.as_str()),
        "since": { "$ifNull": ["$name_since", "$created_at"] },
        "given_up_at": "$$NOW",
        "until": { "$add": ["$$NOW", i64::from(days) * DAY_MS] },
        "uses": 0_i64,
        "last_used_at": Bson::Null,
    };
    let others = without(without(live("$old_names"), to), &from.slug);
    doc! { "$concatArrays": [others, [entry]] }
}

/// The names that cool down after a change of which a command may still be on its way: this one too, for so long.
pub(super) fn cooled(time: Duration, slug: &Slug) -> Document {
    let may_arrive = doc! { "$or": [{ "$gt": ["$change.fence", 1_i64] }, { "$eq": ["$change.is_uncertain", true] }] };
    let entry = doc! { "slug": { "$literal": slug.as_str() }, "until": { "$add": ["$$NOW", millis(time)] } };
    doc! { "$concatArrays": [live("$cooling"), { "$cond": [may_arrive, [entry], []] }] }
}
