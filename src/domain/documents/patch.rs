//! JSON Merge Patch (RFC 7396) on BSON.

use bson::{Bson, Document};

/// A patch: null removes a member, an object is merged, everything else replaces.
///
/// Extended JSON such as `{"$date": …}` is a value, not an object.
#[derive(Debug, Clone, PartialEq)]
pub struct MergePatch(Document);

impl MergePatch {
    /// The patch with these members.
    pub fn new(members: Document) -> Self {
        Self(members)
    }

    /// Applies the patch to a document.
    pub fn apply(&self, target: &mut Document) {
        merge(target, &self.0);
    }
}

/// Keeps the order of members and appends new ones. Builds a new document, because each removal would move all members
/// that follow.
fn merge(target: &mut Document, patch: &Document) {
    let mut merged = Document::new();
    for (name, present) in std::mem::take(target) {
        let value = match patch.get(&name) {
            None => Some(present),
            Some(value) => patched(Some(present), value),
        };
        merged.extend(value.map(|value| (name, value)));
    }
    for (name, value) in patch {
        if !merged.contains_key(name) {
            merged.extend(patched(None, value).map(|value| (name.clone(), value)));
        }
    }
    *target = merged;
}

/// The new value of a member; `None` removes it.
fn patched(present: Option<Bson>, patch: &Bson) -> Option<Bson> {
    match (present, patch) {
        (_, Bson::Null) => None,
        (Some(Bson::Document(mut present)), Bson::Document(patch)) => {
            merge(&mut present, patch);
            Some(present.into())
        }
        (_, Bson::Document(patch)) => {
            let mut fresh = Document::new();
            merge(&mut fresh, patch);
            Some(fresh.into())
        }
        (_, value) => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    /// The examples of RFC 7396, appendix A, that are about objects.
    #[test]
    fn the_examples_of_the_rfc_come_out_as_they_say() {
        let cases = [
            (doc! { "a": "b" }, doc! { "a": "c" }, doc! { "a": "c" }),
            (doc! { "a": "b" }, doc! { "b": "c" }, doc! { "a": "b", "b": "c" }),
            (doc! { "a": "b" }, doc! { "a": null }, doc! {}),
            (doc! { "a": "b", "b": "c" }, doc! { "a": null }, doc! { "b": "c" }),
            (doc! { "a": ["b"] }, doc! { "a": "c" }, doc! { "a": "c" }),
            (doc! { "a": "c" }, doc! { "a": ["b"] }, doc! { "a": ["b"] }),
            (doc! { "a": { "b": "c" } }, doc! { "a": { "b": "d", "c": null } }, doc! { "a": { "b": "d" } }),
            (doc! { "a": [{ "b": "c" }] }, doc! { "a": [1] }, doc! { "a": [1] }),
            (doc! { "e": null }, doc! { "a": 1 }, doc! { "e": null, "a": 1 }),
            (doc! {}, doc! { "a": { "bb": { "ccc": null } } }, doc! { "a": { "bb": {} } }),
        ];
        for (mut target, patch, expected) in cases {
            MergePatch::new(patch.clone()).apply(&mut target);
            assert_eq!(target, expected, "{patch}");
        }
    }

    #[test]
    fn members_keep_their_places() {
        let mut target = doc! { "a": 1, "b": 2, "c": 3 };
        MergePatch::new(doc! { "a": null, "b": 9, "d": 4 }).apply(&mut target);
        assert_eq!(target.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    }
}
