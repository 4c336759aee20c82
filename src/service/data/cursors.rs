//! Page cursors that clients hold. They contain document values and appear in URLs, so they are encrypted, and bound to
//! one organization and query.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::{Bson, Document, doc};
use secrecy::SecretString;

use crate::domain::OrgId;
use crate::service::sealer::Sealer;

/// The longest cursor, in characters; it must fit in a URL with the rest of the query.
const MAX_CHARS: usize = 3_000;

/// Separates this key from keys derived for other purposes.
const KEY_INFO: &[u8] = b"tenantry document cursor v1";

/// Creates and opens cursors.
#[derive(Debug, Clone)]
pub struct CursorSealer {
    sealer: Sealer,
}

impl CursorSealer {
    /// A sealer whose cursors any server with this secret can open.
    pub fn new(secret: &SecretString) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self { sealer: Sealer::new(secret, KEY_INFO)? })
    }

    /// Seals these values for one organization and purpose; `None` when the cursor would be too long.
    pub fn seal(&self, org: OrgId, purpose: &[u8], values: &[Bson]) -> Option<String> {
        let sealed = self.sealer.seal(&bound_to(org, purpose), doc! { "v": values }.to_vec().ok()?)?;
        let text = URL_SAFE_NO_PAD.encode(sealed);
        (text.len() <= MAX_CHARS).then_some(text)
    }

    /// Opens a cursor; `None` when it belongs to another organization or purpose, or was altered.
    pub fn open(&self, org: OrgId, purpose: &[u8], cursor: &str) -> Option<Vec<Bson>> {
        let opened = self.sealer.open(&bound_to(org, purpose), URL_SAFE_NO_PAD.decode(cursor).ok()?)?;
        let mut document = Document::from_reader(&*opened).ok()?;
        match document.remove("v")? {
            Bson::Array(values) => Some(values),
            _ => None,
        }
    }
}

fn bound_to(org: OrgId, purpose: &[u8]) -> Vec<u8> {
    [org.0.bytes().as_slice(), purpose].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(secret: &str) -> CursorSealer {
        CursorSealer::new(&secret.into()).expect("a key")
    }

    #[test]
    fn a_cursor_opens_for_what_it_was_made_for_and_for_nothing_else() {
        let (sealer, org) = (sealer("one secret"), OrgId::generate());
        let values = vec![Bson::from("a name"), Bson::Int32(7)];
        let cursor = sealer.seal(org, b"by name", &values).expect("short");
        assert_eq!(sealer.open(org, b"by name", &cursor), Some(values.clone()));
        assert_eq!(sealer.open(OrgId::generate(), b"by name", &cursor), None);
        assert_eq!(sealer.open(org, b"by date", &cursor), None);
        assert_eq!(self::sealer("another secret").open(org, b"by name", &cursor), None);
        assert_ne!(sealer.seal(org, b"by name", &values), Some(cursor), "nothing can be read from it");
    }

    #[test]
    fn a_value_that_no_url_can_carry_has_no_cursor() {
        assert_eq!(sealer("s").seal(OrgId::generate(), b"", &["x".repeat(MAX_CHARS).into()]), None);
    }

    proptest! {
        #[test]
        fn an_altered_cursor_does_not_open(place in any::<prop::sample::Index>(), flip in 1_u8..) {
            let (sealer, org) = (sealer("one secret"), OrgId::generate());
            let cursor = sealer.seal(org, b"", &[Bson::Int32(1)]).expect("short");
            let mut bytes = URL_SAFE_NO_PAD.decode(&cursor).expect("base64");
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            prop_assert_eq!(sealer.open(org, b"", &URL_SAFE_NO_PAD.encode(bytes)), None);
            prop_assert_eq!(sealer.open(org, b"", &cursor[..place]), None);
        }

        #[test]
        fn whatever_is_sent_is_refused(text in any::<String>()) {
            prop_assert_eq!(sealer("s").open(OrgId::generate(), b"", &text), None);
        }
    }
}
