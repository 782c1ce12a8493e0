//! The local CA: its root, and in another table its sealed key.
//!
//! Promises: root and key are written in one transaction, and only where none is: the first that is written stays.

use serde::{Deserialize, Serialize};

use super::sealed::{LOCAL_CA_KEYS, Sealed};
use super::{Receipt, Store, StoreError};

const ROOTS: &str = "local_ca_roots";
/// The tables of this file.
pub(super) const ALL: [&str; 1] = [ROOTS];

/// There is one CA per state; this is its row in both tables.
pub const LOCAL_CA_ROW: &str = "local-ca";

/// The root certificate of the local CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRoot {
    /// DER.
    pub certificate: Vec<u8>,
    pub stored_at_s: i64,
}

impl Store {
    /// The root and its sealed key.
    ///
    /// # Errors
    /// As every read; one of the two is missing.
    pub fn local_ca(&self) -> Result<Option<(LocalRoot, Sealed)>, StoreError> {
        self.read(|reading| {
            let root = reading.get(ROOTS, LOCAL_CA_ROW)?;
            let key = reading.get(LOCAL_CA_KEYS, LOCAL_CA_ROW)?;
            Ok(both(root, key)?)
        })
    }

    /// Stores a CA unless one is there; returns the one that is there now.
    pub fn add_local_ca(&self, root: LocalRoot, key: Sealed) -> Receipt<(LocalRoot, Sealed)> {
        self.write(move |writing| {
            let there = writing.get(ROOTS, LOCAL_CA_ROW)?;
            let sealed = writing.get(LOCAL_CA_KEYS, LOCAL_CA_ROW)?;
            if let Some(first) = both(there, sealed)? {
                return Ok(first);
            }
            writing.put(ROOTS, LOCAL_CA_ROW, &root)?;
            writing.put(LOCAL_CA_KEYS, LOCAL_CA_ROW, &key)?;
            Ok((root.clone(), key.clone()))
        })
    }
}

/// They are written together: one alone is damage, and nothing may be written over it.
fn both(
    root: Option<LocalRoot>,
    key: Option<Sealed>,
) -> Result<Option<(LocalRoot, Sealed)>, StoreError> {
    let lacks = |table, why: &str| {
        Err(StoreError::Record { table, row: LOCAL_CA_ROW.to_owned(), why: why.to_owned() })
    };
    match (root, key) {
        (Some(root), Some(key)) => Ok(Some((root, key))),
        (None, None) => Ok(None),
        (Some(_), None) => lacks(LOCAL_CA_KEYS, "it is missing, and its root is there"),
        (None, Some(_)) => lacks(ROOTS, "it is missing, and its key is there"),
    }
}
