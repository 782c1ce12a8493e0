//! What operators have set while palisade runs, by the key of the capability.
//!
//! Promises: a switch and what the audit log is to say of it are written in one transaction, and several changes
//! together or not at all. Rows of capabilities that this version does not know stay.

use serde::{Deserialize, Serialize};

use super::{Receipt, Store, StoreError, outbox};
use crate::base::Mode;
use crate::base::audit::Intent;

const SWITCHES: &str = "switches";

/// The tables of this file.
pub(super) const ALL: [&str; 1] = [SWITCHES];

/// A runtime switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Key of the capability.
    pub name: String,
    pub mode: Mode,
    /// In the words of screens.
    pub set_by: String,
    pub set_at_s: i64,
    /// `None`: until somebody takes it back.
    pub until_s: Option<i64>,
}

/// A switch that is set or taken back, and what the audit log is to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchChange {
    /// Key of the capability.
    pub name: String,
    /// `None`: taken back.
    pub to: Option<Switch>,
    pub intent: Intent,
}

impl Store {
    /// All switches, with the refusals of records that cannot be read beside those that can.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn readable_switches(&self) -> Result<(Vec<Switch>, Vec<StoreError>), StoreError> {
        self.read(|reading| reading.readable(SWITCHES))
    }

    /// Makes these changes in their order, all of them or none.
    pub fn change_switches(&self, changes: Vec<SwitchChange>) -> Receipt<()> {
        self.write(move |writing| {
            for SwitchChange { name, to, intent } in &changes {
                outbox::enqueue(writing, intent)?;
                match to {
                    Some(switch) => writing.put(SWITCHES, name, switch)?,
                    None => writing.remove(SWITCHES, name)?,
                }
            }
            Ok(())
        })
    }
}
