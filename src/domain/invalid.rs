//! Why a value was refused, in words for the person who sent it.

/// Why one value is not acceptable. Never holds the value itself: it may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Stable, for programs: `too_short`, `required`, ….
    pub code: &'static str,
    /// For people: what is expected, as a sentence without its subject's value.
    pub detail: String,
}

impl Invalid {
    /// A refusal with its stable code and its sentence.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The same refusal, with the place of the field it is about.
    pub fn at(self, pointer: impl Into<String>) -> FieldError {
        FieldError { pointer: shortened(pointer.into()), code: self.code, detail: self.detail }
    }

    /// The same refusal, about a member of the object at `pointer`.
    pub fn at_member(self, pointer: &str, name: &str) -> FieldError {
        self.at(pointer_into(pointer, name))
    }
}

/// A JSON Pointer (RFC 6901) to a part of what is at `outer`.
pub(crate) fn pointer_into(outer: &str, part: &str) -> String {
    let mut pointer = outer.to_owned();
    point_into(&mut pointer, part);
    pointer
}

/// The same, in its place.
pub(crate) fn point_into(pointer: &mut String, part: &str) {
    pointer.push('/');
    if part.contains(['~', '/']) {
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(part);
    }
}

/// One broken field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where: a JSON Pointer (RFC 6901) into the body, or `?name` for a query parameter.
    pub pointer: String,
    /// Stable, for programs.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl FieldError {
    /// The same error, seen from further out: its place is inside of `pointer`.
    pub fn inside(self, pointer: &str) -> Self {
        Self { pointer: shortened(format!("{pointer}{}", self.pointer)), ..self }
    }
}

/// The longest pointer, in bytes: a client chooses the names in it, and there can be many errors.
const POINTER_MAX_BYTES: usize = 1_000;

/// A pointer that is not too long; one that was says so at its end.
fn shortened(mut pointer: String) -> String {
    if pointer.len() > POINTER_MAX_BYTES {
        pointer.truncate(pointer.floor_char_boundary(POINTER_MAX_BYTES));
        pointer.push('…');
        pointer.shrink_to_fit();
    }
    pointer
}
