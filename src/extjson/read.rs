//! Parses Extended JSON into BSON.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use bson::raw::{CStr, RawArrayBuf, RawBson, RawDocumentBuf};
use bson::{Bson, Document, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::MAX_DEPTH;
use super::numbers::{SUSPICIOUS_FROM, suspicious_literals};
use crate::domain::documents::REVISION_FIELD;
use crate::domain::{FieldError, Invalid, point_into};

/// The most errors reported per document; fixing them shows the rest.
const MAX_ERRORS: usize = 20;

/// Up to this many names are compared one by one, which is cheaper than a set.
const FEW_NAMES: usize = 16;

/// The first key of every object that represents a value without a JSON form.
#[rustfmt::skip]
const TYPE_KEYS: &[&str] = &[
    "$oid", "$date", "$numberDecimal", "$numberLong", "$numberInt", "$numberDouble", "$binary", "$uuid", "$timestamp",
    "$regularExpression", "$minKey", "$maxKey", "$code", "$scope", "$symbol", "$undefined", "$dbPointer",
];

/// Why a text could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It is not valid JSON; the position says where it stops being so.
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// It is valid JSON, but these places are not acceptable.
    Invalid(Vec<FieldError>),
}

/// A document to be stored, without the fields that the server places itself.
#[derive(Debug, Clone)]
pub struct StoredFields {
    /// Its `_id`, if it has one; of any type.
    pub id: Option<Bson>,
    /// All other fields, in order.
    pub fields: RawDocumentBuf,
}

/// Reads a document to be stored: a JSON object in which no field name begins with `$`, holds a NUL, is repeated, or is
/// the server's own.
pub fn read_stored(text: &[u8]) -> Result<StoredFields, ReadError> {
    let reader = TextReader::new(Names::OfDocuments);
    let fields = reader.read_object(text)?;
    let id = reader.id.into_inner();
    Ok(StoredFields { id, fields })
}

/// Reads a JSON object that may use operator names; the caller must check what they mean.
pub fn read_query(text: &[u8]) -> Result<Document, ReadError> {
    let raw = TextReader::new(Names::Any).read_object(text)?;
    Document::try_from(raw).map_err(|_malformed| ReadError::Syntax { line: 1, column: 1 })
}

/// Reads any value, such as an `_id` in a path.
pub fn read_value(text: &[u8]) -> Result<Bson, ReadError> {
    let raw = TextReader::new(Names::OfValues).read(text)?;
    Bson::try_from(raw).map_err(|_malformed| ReadError::Syntax { line: 1, column: 1 })
}

/// Which field names are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Those of a document to be stored.
    OfDocuments,
    /// The same, for a value in a document.
    OfValues,
    /// Any, including operators.
    Any,
}

/// The state of one reading: its place, and the errors so far.
struct TextReader {
    names: Names,
    /// The JSON Pointer of the current place, and where each of its parts begins.
    pointer: RefCell<String>,
    errors: RefCell<Vec<FieldError>>,
    /// How many numbers so far may have lost digits.
    suspicious: Cell<usize>,
    /// Which of these are integers that do not fit; only known in a second reading.
    lost_digits: Vec<bool>,
    id: RefCell<Option<Bson>>,
    /// Where the text stopped being JSON.
    stopped_at: RefCell<Option<String>>,
}

impl TextReader {
    fn new(names: Names) -> Self {
        Self {
            names,
            pointer: RefCell::default(),
            errors: RefCell::default(),
            suspicious: Cell::default(),
            lost_digits: Vec::new(),
            id: RefCell::default(),
            stopped_at: RefCell::default(),
        }
    }

    fn read(&self, text: &[u8]) -> Result<RawBson, ReadError> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let read = ValueSeed { reader: self, depth: 0 }.deserialize(&mut deserializer);
        let read = read.and_then(|value| deserializer.end().map(|()| value));
        let value = read.map_err(|error| self.stopped(&error))?;
        let errors = self.errors.take();
        if !errors.is_empty() {
            return Err(ReadError::Invalid(errors));
        }
        self.refuse_lost_digits(text)?;
        Ok(value)
    }

    fn read_object(&self, text: &[u8]) -> Result<RawDocumentBuf, ReadError> {
        match self.read(text)? {
            RawBson::Document(document) => Ok(document),
            _ => Err(ReadError::Invalid(vec![Invalid::new("wrong_type", "must be a JSON object").at("")])),
        }
    }

    /// Why reading stopped before the end.
    fn stopped(&self, error: &serde_json::Error) -> ReadError {
        // The parser calls a number out of a double's range a syntax error; to a client it is an invalid value.
        if error.to_string().starts_with("number out of range") {
            let place = self.stopped_at.take().unwrap_or_default();
            return ReadError::Invalid(vec![too_large_a_number().at(place)]);
        }
        ReadError::Syntax { line: error.line(), column: error.column() }
    }

    /// Reads the text again to locate integers that do not fit in 64 bits. Only for a text without other errors, so
    /// that all its numbers were examined.
    fn refuse_lost_digits(&self, text: &[u8]) -> Result<(), ReadError> {
        if self.suspicious.get() == 0 {
            return Ok(());
        }
        let lost_digits = suspicious_literals(text);
        if lost_digits.len() == self.suspicious.get() && !lost_digits.contains(&true) {
            return Ok(());
        }
        let again = Self { lost_digits, ..Self::new(self.names) };
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        // The first reading succeeded, so this one does too.
        let _read = ValueSeed { reader: &again, depth: 0 }.deserialize(&mut deserializer);
        if again.errors.borrow().is_empty() {
            // The two readings disagree on the numbers: better to refuse than to store a wrong one.
            again.refuse(too_large_a_number());
        }
        Err(ReadError::Invalid(again.errors.take()))
    }

    fn refuse(&self, why: Invalid) {
        let pointer = self.pointer.borrow().clone();
        self.refuse_at(pointer, why);
    }

    fn refuse_at(&self, pointer: String, why: Invalid) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            errors.push(why.at(pointer));
        }
    }

    /// Reads one level deeper.
    fn inside<T, E>(&self, part: &str, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let outer = self.enter(part);
        let result = read();
        if result.is_err() {
            // The innermost place comes first.
            self.stopped_at.borrow_mut().get_or_insert_with(|| self.pointer.borrow().clone());
        }
        self.pointer.borrow_mut().truncate(outer);
        result
    }

    /// Records that the member of this name is not acceptable.
    fn refuse_member(&self, name: &str, why: Invalid) {
        let outer = self.enter(name);
        self.refuse(why);
        self.pointer.borrow_mut().truncate(outer);
    }

    /// Goes one level deeper; returns the pointer's previous length.
    fn enter(&self, part: &str) -> usize {
        let mut pointer = self.pointer.borrow_mut();
        let outer = pointer.len();
        point_into(&mut pointer, part);
        outer
    }
}

/// Reads the value at a place.
#[derive(Clone, Copy)]
struct ValueSeed<'r> {
    reader: &'r TextReader,
    /// How many objects and arrays enclose it.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = RawBson;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawBson, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = RawBson;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<RawBson, E> {
        Ok(RawBson::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawBson, E> {
        Ok(RawBson::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawBson, E> {
        Ok(i32::try_from(value).map_or(RawBson::Int64(value), RawBson::Int32))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<RawBson, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            #[expect(clippy::cast_precision_loss, reason = "the lost integer is found later and refused")]
            Err(_too_large) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawBson, E> {
        if value.abs() >= SUSPICIOUS_FROM {
            let number = self.reader.suspicious.get();
            self.reader.suspicious.set(number + 1);
            if self.reader.lost_digits.get(number) == Some(&true) {
                self.reader.refuse(too_large_a_number());
            }
        }
        Ok(RawBson::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawBson, E> {
        Ok(RawBson::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawBson, E> {
        Ok(RawBson::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<RawBson, A::Error> {
        if self.depth >= MAX_DEPTH {
            self.reader.refuse(too_deep());
            while values.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(RawBson::Null);
        }
        let (mut array, mut index) = (RawArrayBuf::new(), itoa::Buffer::new());
        for position in 0_usize.. {
            let inner = ValueSeed { depth: self.depth + 1, ..self };
            let read = self.reader.inside(index.format(position), || values.next_element_seed(inner))?;
            let Some(value) = read else { break };
            array.push(value);
        }
        Ok(RawBson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<RawBson, A::Error> {
        if self.depth >= MAX_DEPTH {
            self.reader.refuse(too_deep());
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(RawBson::Null);
        }
        let (mut document, mut names) = (RawDocumentBuf::new(), SeenNames::default());
        while let Some(name) = members.next_key::<Name<'de>>()?.map(|name| name.0) {
            if names.is_empty() && TYPE_KEYS.contains(&name.as_ref()) {
                return self.typed_value(&name, members);
            }
            let why = self.refusal_of(&name).or_else(|| (!names.add(name.clone())).then(repeated));
            if let Some(why) = why {
                self.reader.refuse_member(&name, why);
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let inner = ValueSeed { depth: self.depth + 1, ..self };
            let value = self.reader.inside(&name, || members.next_value_seed(inner))?;
            self.keep(&mut document, &name, value).map_err(A::Error::custom)?;
        }
        Ok(RawBson::Document(document))
    }
}

impl ValueSeed<'_> {
    /// Whether this object is a whole document to be stored.
    fn is_document(self) -> bool {
        self.depth == 0 && self.reader.names == Names::OfDocuments
    }

    /// Why a field may not have this name here.
    fn refusal_of(self, name: &str) -> Option<Invalid> {
        if name.contains('\0') {
            return Some(Invalid::new("invalid_characters", "a field's name must not contain a NUL character"));
        }
        if self.reader.names == Names::Any {
            return None;
        }
        if name.starts_with('$') {
            let why =
                "a field's name must not begin with '$'; only the types of Extended JSON, such as {\"$oid\": …}, do";
            return Some(Invalid::new("reserved_field", why));
        }
        let is_own = self.is_document() && name == REVISION_FIELD;
        is_own
            .then(|| Invalid::new("reserved_field", "is the server's own; leave it out and use If-Match with the ETag"))
    }

    fn keep(self, document: &mut RawDocumentBuf, name: &str, value: RawBson) -> bson::error::Result<()> {
        if self.is_document() && name == "_id" {
            self.reader.id.replace(Some(value.try_into()?));
            return Ok(());
        }
        if self.is_document() && value == (RawBson::Timestamp(Timestamp { time: 0, increment: 0 })) {
            let why = "MongoDB puts the present time in the place of an empty timestamp; leave it out or give another";
            self.reader.refuse_member(name, Invalid::new("invalid_value", why));
        }
        let name: &CStr = name.try_into()?;
        document.append(name, value);
        Ok(())
    }

    /// The value of an object such as `{"$oid": "…"}`, whose first key was read.
    fn typed_value<'de, A: MapAccess<'de>>(self, first: &str, mut members: A) -> Result<RawBson, A::Error> {
        let mut object = Map::new();
        object.insert(first.to_owned(), members.next_value()?);
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if object.insert(name.clone(), value).is_some() {
                self.reader.refuse_member(&name, repeated());
            }
        }
        let value = Bson::try_from(object).ok().filter(is_one_value);
        if let Some(value) = value.and_then(|value| RawBson::try_from(value).ok()) {
            return Ok(value);
        }
        let detail = format!("is not a valid {first} of Extended JSON");
        self.reader.refuse(Invalid::new("invalid_extended_json", detail));
        Ok(RawBson::Null)
    }
}

/// Whether an object of Extended JSON became a scalar, not a document or a value that holds one: the names and numbers
/// in there would not have been checked.
fn is_one_value(value: &Bson) -> bool {
    !matches!(value, Bson::Document(_) | Bson::JavaScriptCodeWithScope(_))
}

fn too_large_a_number() -> Invalid {
    let why = "is a number that 64 bits cannot hold; send it as {\"$numberDecimal\": \"…\"} or as a string";
    Invalid::new("number_out_of_range", why)
}

fn too_deep() -> Invalid {
    Invalid::new("too_deep", format!("more than {MAX_DEPTH} objects and arrays stand inside each other"))
}

fn repeated() -> Invalid {
    Invalid::new("repeated", "must be given once")
}

/// A name, borrowed from the text where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

/// The names in one object so far.
#[derive(Default)]
struct SeenNames<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> SeenNames<'de> {
    fn is_empty(&self) -> bool {
        self.few.is_empty()
    }

    /// Adds a name; returns whether it is new.
    fn add(&mut self, name: Cow<'de, str>) -> bool {
        if self.few.len() < FEW_NAMES {
            let is_new = !self.few.contains(&name);
            if is_new {
                self.few.push(name);
            }
            return is_new;
        }
        !self.few.contains(&name) && self.many.insert(name)
    }
}
