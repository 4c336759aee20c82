//! The current place in a client's schema.

use crate::domain::pointer_into;

/// A place in the schema, and whether it describes the whole document.
#[derive(Debug, Clone)]
pub(super) struct SchemaPlace {
    pointer: String,
    /// How deep the place is nested, itself included.
    pub(super) level: usize,
    /// Whether the schema here describes the whole document, which has the server's fields.
    pub(super) is_root: bool,
}

impl SchemaPlace {
    /// The whole schema.
    pub(super) fn whole() -> Self {
        Self { pointer: String::new(), level: 1, is_root: true }
    }

    /// The JSON Pointer (RFC 6901).
    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// A member or item of this place.
    pub(super) fn at(&self, segment: &str) -> Self {
        Self { pointer: pointer_into(&self.pointer, segment), ..*self }
    }

    /// An item of the list at this place.
    pub(super) fn item(&self, index: usize) -> Self {
        self.at(&index.to_string())
    }

    /// This place, as a schema for the same value as its parent.
    pub(super) fn same_value(&self) -> Self {
        Self { level: self.level + 1, ..self.clone() }
    }

    /// This place, as a schema for a property or item of its parent's value.
    pub(super) fn inner_value(&self) -> Self {
        Self { is_root: false, ..self.same_value() }
    }
}
