//! Audit intents on their way to the audit log: written in the transaction of their effect, numbered there.
//!
//! Promises: an effect and its intent are on disk together or not at all (50); numbers have no holes and are never
//! given twice, whatever fails. Bounds: [`OUTBOX_MAX`] intents; an effect that needs one more is refused. An intent that
//! is too long for a line of an export is cut.

use tokio::sync::futures::Notified;

use super::database::{Fault, Writing};
use super::{Receipt, Store, StoreError};
use crate::base::audit::Intent;

const OUTBOX: &str = "audit_outbox";
const SEQUENCE: &str = "audit_sequence";
/// The number that the next intent gets.
const NEXT: &str = "next";

/// The tables of this file.
pub(super) const ALL: [&str; 2] = [OUTBOX, SEQUENCE];

/// Intents that wait for an audit log that cannot be written: more than a year of what operators do.
pub const OUTBOX_MAX: u64 = 100_000;

/// Twenty digits, so that the order of rows is that of numbers.
pub(super) fn row(seq: u64) -> String {
    format!("{seq:020}")
}

/// Writes an intent in the transaction of its effect.
pub(super) fn enqueue(writing: &Writing, intent: &Intent) -> Result<(), Fault> {
    if writing.count(OUTBOX)? >= OUTBOX_MAX {
        let why = format!("{OUTBOX_MAX} changes wait for the audit log; see to audit.redb");
        return Err(StoreError::Unwritable { why }.into());
    }
    let seq: u64 = writing.get(SEQUENCE, NEXT)?.unwrap_or(1);
    writing.put(OUTBOX, &row(seq), &*intent.fitting())?;
    writing.put(SEQUENCE, NEXT, &(seq + 1))
}

impl Store {
    /// Writes down a change that has no row of its own.
    pub fn put_intent(&self, intent: Intent) -> Receipt<()> {
        self.write(move |writing| enqueue(writing, &intent))
    }

    /// The first `limit` intents that wait, with their numbers.
    ///
    /// # Errors
    /// As every read.
    pub fn intents(&self, limit: usize) -> Result<Vec<(u64, Intent)>, StoreError> {
        let mut found = Vec::new();
        self.read(|reading| {
            reading.scan(OUTBOX, None, |row, intent: Intent| {
                found.push((row.parse().unwrap_or(0), intent));
                found.len() < limit
            })
        })?;
        Ok(found)
    }

    /// Removes intents that have reached the log.
    pub fn forget_intents(&self, seqs: Vec<u64>) -> Receipt<()> {
        self.write(move |writing| {
            seqs.iter().try_for_each(|seq| writing.remove(OUTBOX, &row(*seq)))
        })
    }

    /// Gives intents whose numbers the log holds for something else new ones: the state is an older copy than the log.
    pub fn renumber_intents(&self, seqs: Vec<u64>) -> Receipt<()> {
        self.write(move |writing| {
            for seq in &seqs {
                if let Some(intent) = writing.get::<Intent>(OUTBOX, &row(*seq))? {
                    writing.remove(OUTBOX, &row(*seq))?;
                    enqueue(writing, &intent)?;
                }
            }
            Ok(())
        })
    }

    /// Makes sure that no number up to `last` is given from now on.
    pub fn skip_numbers(&self, last: u64) -> Receipt<()> {
        self.write(move |writing| {
            let next: u64 = writing.get(SEQUENCE, NEXT)?.unwrap_or(1);
            if next <= last { writing.put(SEQUENCE, NEXT, &(last + 1)) } else { Ok(()) }
        })
    }

    /// The number that the next intent gets, and how many wait.
    ///
    /// # Errors
    /// As every read.
    pub fn outbox(&self) -> Result<(u64, u64), StoreError> {
        self.read(|reading| Ok((reading.get(SEQUENCE, NEXT)?.unwrap_or(1), reading.count(OUTBOX)?)))
    }

    /// Ends after the next commit, or at once if there was one since the last call. For one who waits, not for several.
    pub fn committed(&self) -> Notified<'_> {
        self.0.committed()
    }
}
