//! What the keyring needs of the store, so that a test can cut it off between any two steps.

use crate::base::audit::Intent;
use crate::store::sealed::{KeyId, Row, Sealed, WrappedKey};
use crate::store::{Store, StoreError};

/// Data keys and sealed rows. Every write is durable when it returns, and wholly there or not at all.
pub(super) trait Vault: Send + Sync + 'static {
    fn keys(&self) -> Result<Vec<WrappedKey>, StoreError>;
    fn put_keys(&self, keys: Vec<WrappedKey>, intent: Option<Intent>) -> Result<(), StoreError>;
    fn rows_to_reseal(
        &self,
        table: &'static str,
        after: Option<&str>,
        current: KeyId,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;
    fn reseal(&self, rows: Vec<(Row, Sealed)>) -> Result<usize, StoreError>;
}

impl Vault for Store {
    fn keys(&self) -> Result<Vec<WrappedKey>, StoreError> {
        self.wrapped_keys()
    }

    fn put_keys(&self, keys: Vec<WrappedKey>, intent: Option<Intent>) -> Result<(), StoreError> {
        self.put_wrapped_keys(keys, intent).wait()
    }

    fn rows_to_reseal(
        &self,
        table: &'static str,
        after: Option<&str>,
        current: KeyId,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        Self::rows_to_reseal(self, table, after, current, limit)
    }

    fn reseal(&self, rows: Vec<(Row, Sealed)>) -> Result<usize, StoreError> {
        Self::reseal(self, rows).wait()
    }
}
