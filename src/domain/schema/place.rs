//! Where in a client's schema the translation is.

use crate::domain::pointer_into;

/// A place in the schema, and whether what is said there is said of the whole document.
#[derive(Debug, Clone)]
pub(super) struct SchemaPlace {
    pointer: String,
    /// How many schemas lie around this place, itself counted.
    pub(super) level: usize,
    /// Whether the schema here applies to the whole document, which has the server's fields.
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

    /// A member or an item of what is here.
    pub(super) fn at(&self, segment: &str) -> Self {
        Self { pointer: pointer_into(&self.pointer, segment), ..*self }
    }

    /// An item of the list that is here.
    pub(super) fn item(&self, index: usize) -> Self {
        self.at(&index.to_string())
    }

    /// This place, seen as a schema for the same value as the schema around it.
    pub(super) fn same_value(&self) -> Self {
        Self { level: self.level + 1, ..self.clone() }
    }

    /// This place, seen as a schema for a property or an item of the value that the schema around it is about.
    pub(super) fn inner_value(&self) -> Self {
        Self { is_root: false, ..self.same_value() }
    }
}
