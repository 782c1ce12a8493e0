//! AES-256-GCM with random nonces, and what a ciphertext is bound to.
//!
//! Promises: nothing is encrypted without naming its table, its row and its key (promise 48).

use std::io;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use zeroize::Zeroizing;

use super::master::KEY_BYTES;
use crate::ports::Entropy;

/// 96 bits: what GCM takes without hashing (NIST SP 800-38D §8.2).
pub(super) type NonceBytes = [u8; 12];

/// One key, ready for use. The schedule of the key is wiped when it is dropped.
pub(super) struct Cipher(Aes256Gcm);

/// Nothing more can be said: telling why would tell an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unopened;

impl Cipher {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// # Errors
    /// The system has no randomness, or `plaintext` is longer than 64 GiB.
    pub fn seal(
        &self,
        plaintext: &[u8],
        aad: &[u8],
        entropy: &dyn Entropy,
    ) -> io::Result<(NonceBytes, Vec<u8>)> {
        let mut nonce = NonceBytes::default();
        entropy.fill(&mut nonce)?;
        let payload = Payload { msg: plaintext, aad };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload);
        let ciphertext = sealed.map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        Ok((nonce, ciphertext))
    }

    pub fn open(
        &self,
        nonce: NonceBytes,
        ciphertext: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let payload = Payload { msg: ciphertext, aad };
        self.0.decrypt(&Nonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| Unopened)
    }
}

/// The associated data of a ciphertext. Each part has its length in front, so that no two lists of parts read alike.
pub(super) fn bound_to(parts: &[&[u8]]) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in parts {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_parts_are_never_bound_alike(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) {
            let bytes = |parts: &[Vec<u8>]| bound_to(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
        }
    }
}
