//! The keys that secrets at rest are sealed with: one master key from outside, data keys wrapped by it.
//!
//! Promises: a ciphertext opens only in the table and row it was sealed for, under the key it names (48); every
//! ciphertext can be read at each point of a rotation; encryptions per key are counted ahead and stop far below 2^32.
//! Refuses: a master key that does not open the data keys that are there; nothing is overwritten.

use std::sync::Arc;

use crate::ports::{Clock, Entropy};
use crate::store::sealed::{KeyId, Sealed};
use crate::store::{Store, StoreError};

/// 32 bytes, and where they came from, for messages. Zeroed when dropped.
pub struct MasterKey {}

/// Seals and opens. Shared by everything that keeps secrets.
pub struct Keyring {}

impl Keyring {
    /// Reads the data keys, or makes the first one in an empty store. With `previous`, data keys wrapped by it are
    /// wrapped anew by `master`, in one transaction.
    ///
    /// # Errors
    /// The master key is not the one that wrapped the data keys.
    pub fn open(
        _store: Store,
        _master: MasterKey,
        _previous: Option<MasterKey>,
        _clock: Arc<dyn Clock>,
        _entropy: Arc<dyn Entropy>,
    ) -> Result<Self, KeyringError> {
        todo!()
    }

    /// Seals under the newest data key. May wait for a commit (once in thousands of calls): not for workers, and not
    /// inside an operation of the store.
    ///
    /// # Errors
    /// The key is used up and has to be rotated, or the state cannot be written.
    pub fn seal(
        &self,
        _table: &'static str,
        _row: &str,
        _plaintext: &[u8],
    ) -> Result<Sealed, KeyringError> {
        todo!()
    }

    /// # Errors
    /// Another table, row or key, or a flipped bit.
    pub fn unseal(
        &self,
        _table: &'static str,
        _row: &str,
        _sealed: &Sealed,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyringError> {
        todo!()
    }

    /// Makes a new data key and seals every row under it. Safe to interrupt anywhere; a second call finishes the first.
    ///
    /// # Errors
    /// The state cannot be written; what was sealed before stays readable.
    pub fn rotate(&self) -> Result<Rotated, KeyringError> {
        todo!()
    }
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    pub key: KeyId,
    pub rows: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the sealed value in row {row} of {table} does not open with key {key}")]
    Unopened { table: &'static str, row: String, key: KeyId },
}
