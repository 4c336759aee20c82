//! The current place in a nested value, kept on the stack and only written out for a refusal.

use crate::domain::pointer_into;

/// A place in a nested value: the key or index that leads to it, and its parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct FilterPlace<'a> {
    step: Option<(&'a FilterPlace<'a>, Step<'a>)>,
    depth: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> FilterPlace<'a> {
    /// The whole value.
    pub(super) const ROOT: Self = Self { step: None, depth: 0 };

    /// The place of a field.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        self.below(Step::Key(key))
    }

    /// The place of an element.
    pub(super) fn index(&'a self, index: usize) -> Self {
        self.below(Step::Index(index))
    }

    /// How many objects and arrays enclose it.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The place as a JSON Pointer (RFC 6901); empty for the whole value.
    pub(super) fn pointer(&self) -> String {
        let Some((parent, step)) = self.step else {
            return String::new();
        };
        match step {
            Step::Key(key) => pointer_into(&parent.pointer(), key),
            Step::Index(index) => pointer_into(&parent.pointer(), &index.to_string()),
        }
    }

    /// The path of the field here, without operators and element positions: fields with different paths hold different
    /// texts of a document.
    pub(super) fn path(&self) -> String {
        let Some((parent, step)) = self.step else {
            return String::new();
        };
        let mut path = parent.path();
        if let Step::Key(key) = step
            && !key.starts_with('$')
        {
            for segment in key.split('.').filter(|segment| !segment.bytes().all(|byte| byte.is_ascii_digit())) {
                path.push('.');
                path.push_str(segment);
            }
        }
        path
    }

    fn below(&'a self, step: Step<'a>) -> Self {
        Self { step: Some((self, step)), depth: self.depth + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_as_a_json_pointer() {
        assert_eq!(FilterPlace::ROOT.pointer(), "");
        let first = FilterPlace::ROOT.key("$or");
        let second = first.index(3);
        let third = second.key("a/b~c");
        assert_eq!(third.pointer(), "/$or/3/a~1b~0c");
        assert_eq!(third.depth(), 3);
    }

    #[test]
    fn a_field_has_one_path_however_it_is_asked_for() {
        let direct = FilterPlace::ROOT.key("a.b");
        let (list, at) = (FilterPlace::ROOT.key("$or"), 0);
        let (clause, field) = (list.index(at), "a.0");
        let (element, matched) = (clause.key(field), "$elemMatch");
        let (inner, name) = (element.key(matched), "12.b");
        assert_eq!(direct.path(), ".a.b");
        assert_eq!(inner.key(name).key("$regex").path(), direct.path());
        assert_ne!(FilterPlace::ROOT.key("a.bc").path(), direct.path());
    }
}
