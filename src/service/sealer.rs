//! Encrypts what others keep for this server, with AES-256-GCM. All servers with the same secret derive the same keys from
//! it (HKDF, one key per purpose).

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use secrecy::{ExposeSecret, SecretString};

/// The nonce comes first in a sealed text.
const NONCE_BYTES: usize = 12;

/// The length of a key of AES-256.
const KEY_BYTES: usize = 32;

/// Derives the key for one purpose.
pub(super) fn derive_key(secret: &SecretString, purpose: &[u8]) -> Result<[u8; KEY_BYTES], Unspecified> {
    let mut key = [0; KEY_BYTES];
    let derived = Salt::new(HKDF_SHA256, &[]).extract(secret.expose_secret().as_bytes());
    derived.expand(&[purpose], &AES_256_GCM)?.fill(&mut key)?;
    Ok(key)
}

/// Seals and opens.
#[derive(Clone)]
pub(super) struct Sealer {
    key: Arc<RandomizedNonceKey>,
}

impl Sealer {
    pub(super) fn new(secret: &SecretString, purpose: &[u8]) -> Result<Self, Unspecified> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &derive_key(secret, purpose)?)?;
        Ok(Self { key: Arc::new(key) })
    }

    /// Seals a text so that it opens only with the same `bound_to`. `None` when the library fails.
    pub(super) fn seal(&self, bound_to: &[u8], mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.key.seal_in_place_append_tag(Aad::from(bound_to), &mut text).ok()?;
        Some([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens a sealed text. `None` when it was altered, or sealed with another key or `bound_to`.
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
