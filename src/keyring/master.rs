//! The master key: from outside, or made at the first start.
//!
//! Promises: no message carries the key or a part of it; a key that others could read later is never written.
//! Refuses: anything but 64 hexadecimal digits, two places that disagree, and making a new key while the state holds
//! data keys that only the old one opens.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::KeyringError;
use super::cipher::Cipher;
use crate::base::{Secret, hex};
use crate::ports::Entropy;
use crate::store::Store;
use crate::sys;

/// Bytes of a key: AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// What is derived from a master key (RFC 5869 §3.2): one label for each purpose, so that neither tells the other.
const WRAPPING: &[u8] = b"palisade 1 wrap data keys";
const FINGERPRINT: &[u8] = b"palisade 1 master fingerprint";

/// First 8 bytes of a keyed hash that names a master key without telling anything about it.
pub type Fingerprint = [u8; 8];

/// 32 bytes, and where they came from, for messages. Zeroed when dropped.
pub struct MasterKey {
    key: Zeroizing<[u8; KEY_BYTES]>,
    place: String,
}

/// The master key to use, and the file it was just written to if this is the first start.
#[derive(Debug)]
pub struct Loaded {
    pub key: MasterKey,
    /// To be told to the operator: without a copy of this file elsewhere, nothing sealed can be read once it is gone.
    pub generated: Option<PathBuf>,
}

impl MasterKey {
    /// The key that was given; if there are several places they must agree. Without any, makes one in `file`, unless
    /// data keys are there already: then the key has been lost on the way.
    ///
    /// # Errors
    /// The place at fault and what to do; nothing was changed.
    pub fn load(
        given: &[Secret],
        file: &Path,
        store: &Store,
        entropy: &dyn Entropy,
    ) -> Result<Loaded, KeyringError> {
        let sealed = !store.wrapped_keys()?.is_empty();
        sys::files::sweep(file); // it would hold a key, or a part of one
        Self::choose(given, file, sealed, entropy)
    }

    pub(super) fn choose(
        given: &[Secret],
        path: &Path,
        sealed: bool,
        entropy: &dyn Entropy,
    ) -> Result<Loaded, KeyringError> {
        let Some((first, others)) = given.split_first() else {
            if sealed {
                return Err(KeyringError::MasterMissing { path: path.to_owned() });
            }
            return Self::generate(path, entropy);
        };
        let parse = |secret| {
            Self::parse(secret).map_err(|error| if sealed { error.of_sealed() } else { error })
        };
        let key = parse(first)?;
        for other in others {
            if parse(other)?.key != key.key {
                let (one, other) = (first.place.clone(), other.place.clone());
                return Err(KeyringError::MastersDiffer { one, other });
            }
        }
        Ok(Loaded { key, generated: None })
    }

    /// 64 hexadecimal digits, with white space around them if need be.
    ///
    /// # Errors
    /// The place and the length, never the content.
    pub fn parse(secret: &Secret) -> Result<Self, KeyringError> {
        let digits = secret.bytes.trim_ascii();
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if !hex::read(&mut *key, digits) {
            let place = secret.place.clone();
            return Err(KeyringError::MasterMalformed { place, length: digits.len() });
        }
        Ok(Self { key, place: secret.place.clone() })
    }

    /// [`MasterKey::parse`] for a key that secrets are sealed with: another one cannot stand in for it.
    ///
    /// # Errors
    /// As there.
    pub fn parse_kept(secret: &Secret) -> Result<Self, KeyringError> {
        Self::parse(secret).map_err(KeyringError::of_sealed)
    }

    fn generate(path: &Path, entropy: &dyn Entropy) -> Result<Loaded, KeyringError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *key).map_err(KeyringError::NoRandomness)?;
        let mut text = Zeroizing::new([b'\n'; 2 * KEY_BYTES + 1]);
        hex::write(&mut *text, &*key);
        let unwritten = |source: io::Error| KeyringError::Unwritten { path: path.into(), source };
        sys::files::write_new(path, &*text, 0o600).map_err(unwritten)?;
        let key = Self { key, place: path.display().to_string() };
        Ok(Loaded { key, generated: Some(path.to_owned()) })
    }

    /// Names this key in records and messages.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        self.derive(FINGERPRINT, &mut fingerprint);
        fingerprint
    }

    /// Whether this is the key with that fingerprint.
    ///
    /// # Errors
    /// Another key, which the next start would refuse.
    pub fn check(&self, in_use: Fingerprint) -> Result<(), KeyringError> {
        let given = self.fingerprint();
        if given == in_use {
            return Ok(());
        }
        Err(KeyringError::MasterReplaced { place: self.place.clone(), given, in_use })
    }

    /// Where it was found.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What wraps data keys.
    pub(super) fn wrapping(&self) -> Cipher {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        self.derive(WRAPPING, &mut *key);
        Cipher::new(&key)
    }

    fn derive(&self, label: &[u8], out: &mut [u8]) {
        // The key is uniform, so that no salt is needed (RFC 5869 §3.1).
        let derived = Hkdf::<Sha256>::new(None, &*self.key).expand(label, out);
        debug_assert!(derived.is_ok(), "only more than 255 hashes of output are refused");
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, from {})", shown(self.fingerprint()), self.place)
    }
}

/// A fingerprint in messages: 16 hexadecimal digits.
pub(super) fn shown(fingerprint: Fingerprint) -> String {
    let mut text = [0; 16];
    hex::write(&mut text, &fingerprint);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
#[path = "master_tests.rs"]
mod tests;
