//! A new data key, and every sealed row sealed anew under it.
//!
//! Promises: whatever stops it, each row is readable under the key that it names, since no key is ever deleted and a
//! row changes whole; rows written meanwhile are safe; a second rotation finishes the first.
//! Bounds: one rotation at a time, pages of 128 rows.

use std::sync::{Arc, PoisonError};

use super::{Current, Keyring, KeyringError, held, wrap};
use crate::base::audit::{By, Intent, action};
use crate::store::sealed::{KeyId, Row, TABLES};

/// Rows that are opened, sealed and written at once. Fewer in unit tests, so that few rows make several pages.
const PAGE: usize = if cfg!(test) { 16 } else { 128 };
/// Walks over all tables. A second one finds what was sealed before the new key and written behind the first.
const PASSES_MAX: usize = 4;

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    pub key: KeyId,
    pub rows: u64,
}

/// One walk over all tables.
#[derive(Default)]
struct Pass {
    /// Rows that opened, whether they were replaced or had just changed.
    opened: usize,
    resealed: usize,
    /// The first row that did not open.
    broken: Option<KeyringError>,
}

impl Keyring {
    /// Makes a new data key on behalf of `by` and seals every row under it. Safe to interrupt anywhere; a second call finishes the first.
    ///
    /// # Errors
    /// The state cannot be written, or a row does not open (the others are sealed anew all the same); what was sealed
    /// before stays readable.
    pub fn rotate(&self, by: &By) -> Result<Rotated, KeyringError> {
        let _alone = held(&self.rotating);
        let key = self.add_key(by)?;
        let mut rows = 0;
        for _ in 0..PASSES_MAX {
            let mut pass = Pass::default();
            for table in TABLES {
                self.reseal_table(table, key, &mut pass)?;
            }
            rows += pass.resealed as u64;
            if pass.opened == 0 {
                return pass.broken.map_or(Ok(Rotated { key, rows }), Err);
            }
        }
        Ok(Rotated { key, rows })
    }

    /// On disk before it seals anything, and with it that somebody wanted it.
    fn add_key(&self, by: &By) -> Result<KeyId, KeyringError> {
        let mut current = held(&self.current);
        let id = current.record.id.checked_add(1).ok_or(KeyringError::NoMoreKeys)?;
        let new = wrap::fresh(id, &self.wrapping, &*self.clock, &*self.entropy)?;
        let at_ms = i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX);
        let intent = Intent::new(at_ms, by.clone(), action::CRYPTO_ROTATE)
            .on("data key")
            .before("key", i64::from(current.record.id))
            .after("key", i64::from(id));
        self.vault.put_keys(vec![new.record.clone()], Some(intent))?;
        let cipher = Arc::new(super::Cipher::new(&new.key));
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(id, Arc::clone(&cipher));
        *current = Current { cipher, record: new.record, used: 0 };
        Ok(id)
    }

    fn reseal_table(
        &self,
        table: &'static str,
        key: KeyId,
        pass: &mut Pass,
    ) -> Result<(), KeyringError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.vault.rows_to_reseal(table, after.as_deref(), key, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.row.clone());
            self.reseal_page(page, pass)?;
        }
    }

    fn reseal_page(&self, page: Vec<Row>, pass: &mut Pass) -> Result<(), KeyringError> {
        let mut anew = Vec::with_capacity(page.len());
        for row in page {
            match self.unseal(row.table, &row.row, &row.sealed) {
                Ok(plaintext) => {
                    let sealed = self.seal(row.table, &row.row, &plaintext)?;
                    anew.push((row, sealed));
                }
                Err(error) => pass.broken = pass.broken.take().or(Some(error)),
            }
        }
        pass.opened += anew.len();
        if !anew.is_empty() {
            pass.resealed += self.vault.reseal(anew)?;
        }
        Ok(())
    }
}
