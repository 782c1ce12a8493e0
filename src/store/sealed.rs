//! Rows that hold secrets: bytes that only a key of the keyring opens.
//!
//! Every secret lives in one of the tables of [`TABLES`] and nowhere else, so that a rotation can walk over all of
//! them without knowing what they are for.

use serde::{Deserialize, Serialize};

use super::{Receipt, Store, StoreError, outbox};
use crate::base::audit::Intent;

/// Account keys of ACME accounts, by directory URL.
pub const ACCOUNT_KEYS: &str = "sealed_account_keys";
/// Private keys of orders that have not ended, by site name.
pub const ORDER_KEYS: &str = "sealed_order_keys";
/// Private keys of stored certificates, by site name.
pub const CERTIFICATE_KEYS: &str = "sealed_certificate_keys";
/// The private key that audit checkpoints are signed with.
pub const AUDIT_KEYS: &str = "sealed_audit_keys";

/// The private key of the local CA.
pub const LOCAL_CA_KEYS: &str = "sealed_local_ca_keys";
/// Secrets of second factors, by name.
pub const TOTP_KEYS: &str = "sealed_totp_keys";

/// All tables that hold sealed rows.
pub const TABLES: [&str; 6] =
    [ACCOUNT_KEYS, ORDER_KEYS, CERTIFICATE_KEYS, LOCAL_CA_KEYS, AUDIT_KEYS, TOTP_KEYS];

/// Data keys, by number.
const WRAPPED_KEYS: &str = "wrapped_keys";

/// The tables of this file.
pub(super) const ALL: [&str; 7] = [
    ACCOUNT_KEYS,
    ORDER_KEYS,
    CERTIFICATE_KEYS,
    LOCAL_CA_KEYS,
    AUDIT_KEYS,
    TOTP_KEYS,
    WRAPPED_KEYS,
];

/// Number of a data key; 1 is the first.
pub type KeyId = u32;

/// A ciphertext of AES-256-GCM. The table, the row and the key id are its associated data (promise 48).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub key: KeyId,
    pub nonce: [u8; 12],
    pub ciphertext: Vec<u8>,
}

/// A data key as stored: wrapped by the master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    pub id: KeyId,
    /// Which master key wraps it: the first 8 bytes of a keyed hash, never of the key itself.
    pub master: [u8; 8],
    pub nonce: [u8; 12],
    pub ciphertext: Vec<u8>,
    pub created_at_s: i64,
    /// Encryptions that may have happened: counted ahead in blocks.
    pub used_max: u64,
}

/// One sealed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub table: &'static str,
    pub row: String,
    pub sealed: Sealed,
}

impl Store {
    /// All data keys, by id.
    ///
    /// # Errors
    /// As every read.
    pub fn wrapped_keys(&self) -> Result<Vec<WrappedKey>, StoreError> {
        self.read(|reading| reading.all(WRAPPED_KEYS))
    }

    /// Adds or replaces data keys, all in one transaction, with what the audit log is to say of it.
    pub fn put_wrapped_keys(&self, keys: Vec<WrappedKey>, intent: Option<Intent>) -> Receipt<()> {
        self.write(move |writing| {
            for key in &keys {
                // Ten digits, so that the order of rows is that of numbers.
                writing.put(WRAPPED_KEYS, &format!("{:010}", key.id), key)?;
            }
            intent.iter().try_for_each(|intent| outbox::enqueue(writing, intent))
        })
    }

    /// Keeps the key of the audit log; the one that is there stays. Answers the one that is kept.
    pub fn keep_audit_key(&self, row: &'static str, key: Sealed) -> Receipt<Sealed> {
        self.write(move |writing| {
            if let Some(kept) = writing.get::<Sealed>(AUDIT_KEYS, row)? {
                return Ok(kept);
            }
            writing.put(AUDIT_KEYS, row, &key)?;
            Ok(key.clone())
        })
    }

    /// Up to `limit` rows of `table` after `after` that are sealed under another key than `current`, in order.
    ///
    /// # Errors
    /// As every read.
    pub fn rows_to_reseal(
        &self,
        table: &'static str,
        after: Option<&str>,
        current: KeyId,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        known(table)?;
        let mut rows = Vec::new();
        self.read(|reading| {
            reading.scan(table, after, |row, sealed: Sealed| {
                if sealed.key != current && rows.len() < limit {
                    rows.push(Row { table, row: row.to_owned(), sealed });
                }
                rows.len() < limit
            })
        })?;
        Ok(rows)
    }

    /// Replaces each row whose ciphertext still is the one given; returns how many were. One transaction.
    pub fn reseal(&self, rows: Vec<(Row, Sealed)>) -> Receipt<usize> {
        if let Some(error) = rows.iter().find_map(|(row, _)| known(row.table).err()) {
            return Receipt::refused(error);
        }
        self.write(move |writing| {
            let mut replaced = 0;
            for (Row { table, row, sealed }, new) in &rows {
                if writing.get::<Sealed>(table, row)?.as_ref() == Some(sealed) {
                    writing.put(table, row, new)?;
                    replaced += 1;
                }
            }
            Ok(replaced)
        })
    }

    /// One sealed row.
    ///
    /// # Errors
    /// As every read.
    pub fn sealed(&self, table: &'static str, row: &str) -> Result<Option<Sealed>, StoreError> {
        known(table)?;
        self.read(|reading| reading.get(table, row))
    }
}

/// A rotation walks over [`TABLES`] only: a secret anywhere else would be lost with its key.
fn known(table: &'static str) -> Result<(), StoreError> {
    if TABLES.contains(&table) {
        return Ok(());
    }
    let why = "the table holds no sealed rows".to_owned();
    Err(StoreError::Record { table, row: String::new(), why })
}
