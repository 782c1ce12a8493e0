//! The keys that secrets at rest are sealed with: one master key from outside, data keys wrapped by it.
//!
//! Promises: a ciphertext opens only in the table and row it was sealed for, under the key it names (48); every
//! ciphertext can be read at each point of a rotation; encryptions per key are counted ahead and stop far below 2^32.
//! Refuses: a master key that does not open the data keys that are there; nothing is overwritten.
//! Bounds: 2^28 encryptions per data key. Data keys are never deleted: a key outlives the backups that need it.

mod cipher;
mod error;
mod master;
mod rotate;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
mod vault;
mod wrap;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use zeroize::Zeroizing;

use self::cipher::{Cipher, bound_to};
pub use self::error::KeyringError;
pub use self::master::{Fingerprint, Loaded, MasterKey};
pub use self::rotate::Rotated;
use self::vault::Vault;
use self::wrap::Wrapping;
use crate::ports::{Clock, Entropy};
use crate::store::Store;
use crate::store::sealed::{KeyId, Sealed, WrappedKey};

/// Encryptions counted in one write, before the first of them. Fewer in unit tests, so that few rows need many writes.
const BLOCK: u64 = if cfg!(test) { 1 << 7 } else { 1 << 10 };
/// Encryptions under one data key. With random nonces 2^32 is the most that is allowed (NIST SP 800-38D §8.3); the
/// distance also covers counts that went back when an older state was restored.
const ENCRYPTIONS_MAX: u64 = 1 << 28;

/// Seals and opens. Shared by everything that keeps secrets.
pub struct Keyring {
    vault: Box<dyn Vault>,
    wrapping: Wrapping,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: RwLock<BTreeMap<KeyId, Arc<Cipher>>>,
    /// Held while encryptions are counted, through the commit once in [`BLOCK`] times.
    current: Mutex<Current>,
    /// Held through a rotation.
    rotating: Mutex<()>,
    rewrapped: usize,
}

/// The newest data key, which seals.
struct Current {
    cipher: Arc<Cipher>,
    record: WrappedKey,
    /// Never above the record's `used_max`, which is on disk.
    used: u64,
}

impl Keyring {
    /// Reads the data keys, or makes the first one in an empty store. With `previous`, data keys wrapped by it are
    /// wrapped anew by `master`, in one transaction.
    ///
    /// # Errors
    /// The master key is not the one that wrapped the data keys.
    pub fn open(
        store: Store,
        master: MasterKey,
        previous: Option<MasterKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyringError> {
        Self::over(Box::new(store), &master, previous.as_ref(), clock, entropy)
    }

    fn over(
        vault: Box<dyn Vault>,
        master: &MasterKey,
        previous: Option<&MasterKey>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyringError> {
        let wrapping = Wrapping::of(master);
        let records = vault.keys()?;
        let mut unlocked = wrap::unlock(&records, &wrapping, previous.map(Wrapping::of).as_ref())?;
        let rewrapped = wrap::rewrap(&mut unlocked, &wrapping, &*entropy)?;
        let rewrapped_count = rewrapped.len();
        if !rewrapped.is_empty() {
            vault.put_keys(rewrapped, None)?;
        }
        if unlocked.is_empty() {
            let first = wrap::fresh(1, &wrapping, &*clock, &*entropy)?;
            vault.put_keys(vec![first.record.clone()], None)?;
            unlocked.push(first);
        }
        let keys: BTreeMap<KeyId, Arc<Cipher>> =
            unlocked.iter().map(|key| (key.record.id, Arc::new(Cipher::new(&key.key)))).collect();
        // An empty list was filled above.
        let newest = unlocked.into_iter().max_by_key(|key| key.record.id);
        let (Some(newest), Some((_, cipher))) = (newest, keys.last_key_value()) else {
            return Err(KeyringError::NoMoreKeys);
        };
        // What an earlier process counted ahead may all have happened, unless the key is new.
        let used = if records.is_empty() { 0 } else { newest.record.used_max };
        let current = Current { cipher: Arc::clone(cipher), record: newest.record, used };
        Ok(Self {
            vault,
            wrapping,
            clock,
            entropy,
            keys: RwLock::new(keys),
            current: Mutex::new(current),
            rotating: Mutex::new(()),
            rewrapped: rewrapped_count,
        })
    }

    /// Data keys that the previous master key had wrapped and that were wrapped anew: it is not needed any more.
    #[must_use]
    pub const fn rewrapped(&self) -> usize {
        self.rewrapped
    }

    /// Names the master key in use.
    #[must_use]
    pub const fn master(&self) -> Fingerprint {
        self.wrapping.fingerprint()
    }

    /// Seals under the newest data key. May wait for a commit (once in thousands of calls): not for workers, and not
    /// inside an operation of the store.
    ///
    /// # Errors
    /// The key is used up and has to be rotated, or the state cannot be written.
    pub fn seal(
        &self,
        table: &'static str,
        row: &str,
        plaintext: &[u8],
    ) -> Result<Sealed, KeyringError> {
        let (key, cipher) = self.count_one()?;
        let aad = place(table, row, key);
        let sealed = cipher.seal(plaintext, &aad, &*self.entropy);
        let (nonce, ciphertext) = sealed.map_err(KeyringError::NoRandomness)?;
        Ok(Sealed { key, nonce, ciphertext })
    }

    /// # Errors
    /// Another table, row or key, or a flipped bit.
    pub fn unseal(
        &self,
        table: &'static str,
        row: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let cipher = keys.get(&sealed.key).cloned();
        drop(keys);
        cipher
            .and_then(|cipher| {
                let aad = place(table, row, sealed.key);
                cipher.open(sealed.nonce, &sealed.ciphertext, &aad).ok()
            })
            .ok_or_else(|| KeyringError::Unopened { table, row: row.to_owned(), key: sealed.key })
    }

    /// Counts an encryption before it happens. The count on disk is never behind.
    fn count_one(&self) -> Result<(KeyId, Arc<Cipher>), KeyringError> {
        let mut current = held(&self.current);
        if current.used >= current.record.used_max {
            let used_max = current.record.used_max.saturating_add(BLOCK);
            if used_max > ENCRYPTIONS_MAX {
                return Err(KeyringError::UsedUp { key: current.record.id });
            }
            let record = WrappedKey { used_max, ..current.record.clone() };
            self.vault.put_keys(vec![record.clone()], None)?;
            current.record = record;
        }
        current.used += 1;
        Ok((current.record.id, Arc::clone(&current.cipher)))
    }
}

/// What a ciphertext is bound to (promise 48).
fn place(table: &str, row: &str, key: KeyId) -> Vec<u8> {
    bound_to(&[table.as_bytes(), row.as_bytes(), &key.to_be_bytes()])
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
