//! Encrypts what others keep for this server: AES-256-GCM, under keys that every server with the same secret derives from
//! it (HKDF, one key for each purpose).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use secrecy::{ExposeSecret, SecretString};

/// How many bytes of what is sealed are its nonce.
const NONCE_BYTES: usize = 12;

/// How many bytes a key has.
const KEY_BYTES: usize = 32;

/// The length of a key, as the key derivation asks for it.
struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// A key that is no other purpose's key.
pub(super) fn derive_key(secret: &SecretString, purpose: &[u8]) -> Result<[u8; KEY_BYTES], Unspecified> {
    let mut key = [0; KEY_BYTES];
    let derived = Salt::new(HKDF_SHA256, &[]).extract(secret.expose_secret().as_bytes());
    derived.expand(&[purpose], KeyBytes)?.fill(&mut key)?;
    Ok(key)
}

/// Seals and opens.
#[derive(Clone)]
pub(super) struct Sealer {
    key: Arc<RandomizedNonceKey>,
}

impl Sealer {
    /// A sealer for one purpose.
    pub(super) fn new(secret: &SecretString, purpose: &[u8]) -> Result<Self, Unspecified> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &derive_key(secret, purpose)?)?;
        Ok(Self { key: Arc::new(key) })
    }

    /// Seals something that opens only together with `bound_to`. `None` when the library fails.
    pub(super) fn seal(&self, bound_to: &[u8], mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.key.seal_in_place_append_tag(Aad::from(bound_to), &mut text).ok()?;
        Some([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens what was sealed so; `None` when it was not, or was altered.
    pub(super) fn open(&self, bound_to: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.key.open_in_place(nonce, Aad::from(bound_to), text).ok().map(|text| text.to_vec())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(hidden)")
    }
}
