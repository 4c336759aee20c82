//! Why a value was refused, in words for the sender.

/// Why a value is not acceptable. Never holds the value itself: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// A stable code for programs: `too_short`, `required`, ….
    pub code: &'static str,
    /// A sentence for people that says what is expected, without the value.
    pub detail: String,
}

impl Invalid {
    /// Creates a refusal from its stable code and its sentence.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// Adds the place of the field.
    pub fn at(self, pointer: impl Into<String>) -> FieldError {
        FieldError { pointer: shortened(pointer.into()), code: self.code, detail: self.detail }
    }

    /// Adds the place of a member of the object at `pointer`.
    pub fn at_member(self, pointer: &str, name: &str) -> FieldError {
        self.at(pointer_into(pointer, name))
    }
}

/// The JSON Pointer (RFC 6901) to `part` of the value at `outer`.
pub(crate) fn pointer_into(outer: &str, part: &str) -> String {
    let mut pointer = outer.to_owned();
    point_into(&mut pointer, part);
    pointer
}

/// Extends a pointer by `part`, in place.
pub(crate) fn point_into(pointer: &mut String, part: &str) {
    pointer.push('/');
    if part.contains(['~', '/']) {
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(part);
    }
}

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// A stable code for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub detail: String,
}

impl FieldError {
    /// Prefixes the error's place with `pointer`.
    pub fn inside(self, pointer: &str) -> Self {
        Self { pointer: shortened(format!("{pointer}{}", self.pointer)), ..self }
    }
}

/// The longest pointer, in bytes: clients choose the names in it, and there can be many errors.
const POINTER_MAX_BYTES: usize = 1_000;

/// Truncates a pointer that is too long, and marks its end.
fn shortened(mut pointer: String) -> String {
    if pointer.len() > POINTER_MAX_BYTES {
        pointer.truncate(pointer.floor_char_boundary(POINTER_MAX_BYTES));
        pointer.push('…');
        pointer.shrink_to_fit();
    }
    pointer
}
