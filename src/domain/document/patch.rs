//! JSON Merge Patch (RFC 7396) on BSON.

use bson::{Bson, Document};

/// What a patch changes: null removes a member, an object is merged, everything else replaces.
///
/// A value of Extended JSON, such as `{"$date": …}`, is a value and no object.
#[derive(Debug, Clone, PartialEq)]
pub struct MergePatch(Document);

impl MergePatch {
    /// The patch that these members are.
    #[must_use]
    pub fn new(members: Document) -> Self {
        Self(members)
    }

    /// Changes a document.
    pub fn apply(&self, target: &mut Document) {
        merge(target, &self.0);
    }
}

fn merge(target: &mut Document, patch: &Document) {
    for (name, value) in patch {
        match value {
            Bson::Null => {
                target.remove(name);
            }
            Bson::Document(inner) => {
                if let Ok(present) = target.get_document_mut(name) {
                    merge(present, inner);
                } else {
                    let mut fresh = Document::new();
                    merge(&mut fresh, inner);
                    target.insert(name, fresh);
                }
            }
            value => {
                target.insert(name, value.clone());
            }
        }
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
