//! Second factors: what may be shown of each, and in another table its sealed secret.
//!
//! Promises: both are written and removed in one transaction, with what the audit log is to say of it; of each factor
//! steps are only ever used upwards, whatever the clock does (57). Bounds: [`FACTORS_MAX`].

use serde::{Deserialize, Serialize};

use super::database::{Fault, Writing};
use super::sealed::{Sealed, TOTP_KEYS};
use super::{Receipt, Store, StoreError, outbox};
use crate::base::audit::Intent;

const FACTORS: &str = "totp_factors";
/// The tables of this file.
pub(super) const ALL: [&str; 1] = [FACTORS];

/// Devices of a handful of operators.
pub const FACTORS_MAX: u64 = 20;

/// A second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// Its row.
    pub name: String,
    pub created_at_s: i64,
    /// Name of whoever enrolled it.
    pub created_by: String,
    /// The last step whose code was used.
    pub last_step: u64,
    pub last_used_at_s: i64,
}

/// What came of adding a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    Done,
    /// There is one of this name.
    Taken,
    Full,
    /// There is one by now, and none was to be there.
    NotFirst,
}

/// What came of using a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    Done,
    /// This step, or a later one, was used before.
    Before,
    Gone,
}

impl Store {
    /// How many there are, those that cannot be read included.
    ///
    /// # Errors
    /// As every read.
    pub fn factor_count(&self) -> Result<u64, StoreError> {
        self.read(|reading| reading.count(FACTORS))
    }

    /// All factors by name, and the refusals of records that cannot be read.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn readable_factors(&self) -> Result<(Vec<Factor>, Vec<StoreError>), StoreError> {
        self.read(|reading| reading.readable(FACTORS))
    }

    /// Adds a factor; with `first` only where none is.
    pub fn add_factor(
        &self,
        factor: Factor,
        secret: Sealed,
        first: bool,
        intent: Intent,
    ) -> Receipt<Added> {
        self.write(move |writing| {
            let count = writing.count(FACTORS)?;
            if first && count > 0 {
                return Ok(Added::NotFirst);
            }
            if count >= FACTORS_MAX {
                return Ok(Added::Full);
            }
            if writing.get::<Factor>(FACTORS, &factor.name)?.is_some() {
                return Ok(Added::Taken);
            }
            outbox::enqueue(writing, &intent)?;
            writing.put(FACTORS, &factor.name, &factor)?;
            writing.put(TOTP_KEYS, &factor.name, &secret)?;
            Ok(Added::Done)
        })
    }

    /// Uses a step up, if none as late was used before; with what the audit log is to say, if anything.
    pub fn use_step(
        &self,
        name: &str,
        step: u64,
        at_s: i64,
        intent: Option<Intent>,
    ) -> Receipt<Used> {
        let row = name.to_owned();
        self.write(move |writing| {
            let Some(factor) = writing.get::<Factor>(FACTORS, &row)? else {
                return Ok(Used::Gone);
            };
            if step <= factor.last_step {
                return Ok(Used::Before);
            }
            intent.iter().try_for_each(|intent| outbox::enqueue(writing, intent))?;
            let used = Factor { last_step: step, last_used_at_s: at_s, ..factor };
            writing.put(FACTORS, &row, &used)?;
            Ok(Used::Done)
        })
    }

    /// Removes a factor, also one that cannot be read; false if there is none of the name.
    pub fn remove_factor(&self, name: &str, intent: Intent) -> Receipt<bool> {
        let row = name.to_owned();
        self.write(move |writing| {
            if !is_there(writing, &row)? {
                return Ok(false);
            }
            outbox::enqueue(writing, &intent)?;
            writing.remove(FACTORS, &row)?;
            writing.remove(TOTP_KEYS, &row)?;
            Ok(true)
        })
    }
}

fn is_there(writing: &Writing, row: &str) -> Result<bool, Fault> {
    match writing.get::<Factor>(FACTORS, row) {
        Ok(found) => Ok(found.is_some()),
        Err(Fault::Refused(StoreError::Record { .. })) => Ok(true),
        Err(fault) => Err(fault),
    }
}
