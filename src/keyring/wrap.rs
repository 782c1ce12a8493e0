//! Data keys: made, wrapped by the master key, unwrapped at the start.
//!
//! Promises: either every data key opens or nothing is used and nothing is written.

use zeroize::Zeroizing;

use super::cipher::{Cipher, bound_to};
use super::master::{Fingerprint, KEY_BYTES, MasterKey};
use super::{BLOCK, KeyringError};
use crate::ports::{Clock, Entropy};
use crate::store::sealed::{KeyId, WrappedKey};

/// The table that a wrapped key is bound to.
const TABLE: &[u8] = b"data_keys";

/// What a master key is used for once it is read: the key itself is not kept.
pub(super) struct Wrapping {
    cipher: Cipher,
    fingerprint: Fingerprint,
    place: String,
}

/// A data key in the clear, and its record.
pub(super) struct Unlocked {
    pub key: Zeroizing<[u8; KEY_BYTES]>,
    pub record: WrappedKey,
}

impl Wrapping {
    pub fn of(master: &MasterKey) -> Self {
        Self {
            cipher: master.wrapping(),
            fingerprint: master.fingerprint(),
            place: master.place().to_owned(),
        }
    }

    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn bound(&self, id: KeyId) -> Vec<u8> {
        bound_to(&[TABLE, &id.to_be_bytes(), &self.fingerprint])
    }

    /// The same record around the same key, wrapped by this master key.
    fn wrap(
        &self,
        key: &[u8; KEY_BYTES],
        record: WrappedKey,
        entropy: &dyn Entropy,
    ) -> Result<WrappedKey, KeyringError> {
        let sealed = self.cipher.seal(key, &self.bound(record.id), entropy);
        let (nonce, ciphertext) = sealed.map_err(KeyringError::NoRandomness)?;
        Ok(WrappedKey { master: self.fingerprint, nonce, ciphertext, ..record })
    }

    fn unwrap(&self, record: &WrappedKey) -> Result<Unlocked, KeyringError> {
        let opened = self.cipher.open(record.nonce, &record.ciphertext, &self.bound(record.id));
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        match opened {
            Ok(bytes) if bytes.len() == KEY_BYTES => key.copy_from_slice(&bytes),
            _ => {
                let place = self.place.clone();
                return Err(KeyringError::KeyDamaged { place, key: record.id });
            }
        }
        Ok(Unlocked { key, record: record.clone() })
    }
}

/// Opens every data key.
pub(super) fn unlock(
    records: &[WrappedKey],
    master: &Wrapping,
    previous: Option<&Wrapping>,
) -> Result<Vec<Unlocked>, KeyringError> {
    let open = |record: &WrappedKey| {
        let mut known = std::iter::once(master).chain(previous);
        match known.find(|wrapping| wrapping.fingerprint == record.master) {
            Some(wrapping) => wrapping.unwrap(record),
            None => {
                let same = records.iter().filter(|other| other.master == record.master);
                Err(KeyringError::WrongMaster {
                    place: master.place.clone(),
                    given: master.fingerprint,
                    keys: same.map(|other| other.id).collect(),
                    wanted: record.master,
                })
            }
        }
    };
    // The newest first: if several do not open, the one in use is named.
    records.iter().rev().map(open).collect()
}

/// Wraps by `master` what another one had wrapped; returns the records that have changed.
pub(super) fn rewrap(
    keys: &mut [Unlocked],
    master: &Wrapping,
    entropy: &dyn Entropy,
) -> Result<Vec<WrappedKey>, KeyringError> {
    let mut changed = Vec::new();
    for key in keys.iter_mut().filter(|key| key.record.master != master.fingerprint) {
        key.record = master.wrap(&key.key, key.record.clone(), entropy)?;
        changed.push(key.record.clone());
    }
    Ok(changed)
}

/// A new data key, its first block of encryptions counted.
pub(super) fn fresh(
    id: KeyId,
    master: &Wrapping,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Unlocked, KeyringError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    entropy.fill(&mut *key).map_err(KeyringError::NoRandomness)?;
    let bare = WrappedKey {
        id,
        master: Fingerprint::default(),
        nonce: [0; 12],
        ciphertext: Vec::new(),
        created_at_s: i64::try_from(clock.unix().as_secs()).unwrap_or(i64::MAX),
        used_max: BLOCK,
    };
    let record = master.wrap(&key, bare, entropy)?;
    Ok(Unlocked { key, record })
}
