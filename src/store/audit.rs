//! `audit.redb`: the chained records, the marks that were signed over them, and where the log begins.
//!
//! Promises: a record is appended behind the one that its writer saw or not at all, so none comes twice; nothing that
//! is there is ever changed, only a whole beginning is cut off, together with the signed mark that stands for it.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::database::{Fault, Reading, StateFile};
use super::engine::Engine;
use super::outbox::row;
use super::place::FilePlace;
use super::schema::AUDIT;
use super::writer::Options;
use super::{Figures, Health, OpenError, Receipt, StoreError};
use crate::ports::Clock;
use crate::telemetry::Log;

const RECORDS: &str = "records";
const CHECKPOINTS: &str = "checkpoints";
const ENDS: &str = "ends";
const HEAD: &str = "head";
const STUB: &str = "stub";

/// The tables of this file.
pub(super) const ALL: [&str; 3] = [RECORDS, CHECKPOINTS, ENDS];

/// SHA-256.
pub type Hash = [u8; 32];

/// The last record of a chain; before the first one, number 0 and zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub seq: u64,
    pub hash: Hash,
}

/// A record as stored: its bytes, and the hash over them and the record before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chained {
    pub hash: Hash,
    pub record: Vec<u8>,
}

/// A signature over a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub seq: u64,
    pub hash: Hash,
    pub at_ms: i64,
    /// Ed25519, the public key.
    pub key: [u8; 32],
    pub signature: Vec<u8>,
}

/// Both ends of the log and its checkpoints, as of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub head: Head,
    /// Stands for the records before the first one, if some were removed.
    pub stub: Option<Mark>,
    pub checkpoints: Vec<Mark>,
}

/// The open audit log. Cheap to clone, like [`super::Store`].
#[derive(Clone)]
pub struct AuditLog(Engine);

/// The log as the file has it now.
pub struct Afresh<'a>(&'a StateFile);

impl Afresh<'_> {
    /// # Errors
    /// As every read.
    pub fn outline(&self) -> Result<Outline, StoreError> {
        self.read(outline)
    }

    /// As [`AuditLog::records`].
    ///
    /// # Errors
    /// As every read.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<(u64, Chained)>, StoreError> {
        self.read(|reading| records(reading, after, limit))
    }

    fn read<T>(&self, look: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.0.read(look).map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Broken(why) => StoreError::Unreadable { why },
        })
    }
}

fn outline(reading: &Reading) -> Result<Outline, Fault> {
    Ok(Outline {
        head: reading.get(ENDS, HEAD)?.unwrap_or_default(),
        stub: reading.get(ENDS, STUB)?,
        checkpoints: reading.all(CHECKPOINTS)?,
    })
}

fn records(reading: &Reading, after: u64, limit: usize) -> Result<Vec<(u64, Chained)>, Fault> {
    let mut found = Vec::new();
    reading.scan(RECORDS, Some(&row(after)), |row, record: Chained| {
        found.push((row.parse().unwrap_or(0), record));
        found.len() < limit
    })?;
    Ok(found)
}

impl AuditLog {
    /// Opens `audit.redb` in `state_dir`, or makes it there.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>, log: Log) -> Result<Self, OpenError> {
        let place = FilePlace::prepare(state_dir, &AUDIT)?;
        Engine::start(Box::new(place), Options::default(), clock, log).map(Self)
    }

    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health()
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }

    /// # Errors
    /// As every read.
    pub fn head(&self) -> Result<Head, StoreError> {
        self.0.read(|reading| Ok(reading.get(ENDS, HEAD)?.unwrap_or_default()))
    }

    /// # Errors
    /// As every read.
    pub fn stub(&self) -> Result<Option<Mark>, StoreError> {
        self.0.read(|reading| reading.get(ENDS, STUB))
    }

    /// # Errors
    /// As every read.
    pub fn outline(&self) -> Result<Outline, StoreError> {
        self.0.read(outline)
    }

    /// Up to `limit` records after the one with the number `after`, with their numbers.
    ///
    /// # Errors
    /// As every read.
    pub fn records(&self, after: u64, limit: usize) -> Result<Vec<(u64, Chained)>, StoreError> {
        self.0.read(|reading| records(reading, after, limit))
    }

    /// Looks at the file itself, with every check and past all that is kept of it in memory. Appending waits meanwhile.
    ///
    /// # Errors
    /// Nobody can look now; inside, what is wrong with the file as a whole.
    pub fn afresh<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Afresh<'_>) -> T + Send + 'static,
    ) -> Result<Result<T, OpenError>, StoreError> {
        self.0.afresh(|file| look(&Afresh(file)))
    }

    /// # Errors
    /// As every read.
    pub fn record(&self, seq: u64) -> Result<Option<Chained>, StoreError> {
        self.0.read(|reading| reading.get(RECORDS, &row(seq)))
    }

    /// Appends records behind `after`; nothing if the log does not end there any more. Answers whether it was done.
    pub fn append(&self, after: Head, records: Vec<(u64, Chained)>) -> Receipt<bool> {
        self.0.write(move |writing| {
            let head: Head = writing.get(ENDS, HEAD)?.unwrap_or_default();
            let Some((last, chained)) = records.last() else { return Ok(true) };
            if head != after {
                return Ok(false);
            }
            for (seq, record) in &records {
                writing.put(RECORDS, &row(*seq), record)?;
            }
            writing.put(ENDS, HEAD, &Head { seq: *last, hash: chained.hash })?;
            Ok(true)
        })
    }

    pub fn put_checkpoint(&self, mark: Mark) -> Receipt<()> {
        self.0.write(move |writing| writing.put(CHECKPOINTS, &row(mark.seq), &mark))
    }

    /// Removes these records and checkpoints, the first ones of the log, and lets `stub` stand for all before its end.
    pub fn cut_off(&self, stub: Mark, seqs: Vec<u64>) -> Receipt<()> {
        self.0.write(move |writing| {
            for seq in &seqs {
                writing.remove(RECORDS, &row(*seq))?;
                writing.remove(CHECKPOINTS, &row(*seq))?;
            }
            writing.put(ENDS, STUB, &stub)
        })
    }

    /// Flips a bit where no checksum of the file sees it, as somebody would who may write the file.
    #[cfg(test)]
    pub fn tamper(&self, seq: u64, change: impl Fn(Chained) -> Option<Chained> + Send + 'static) {
        let receipt = self.0.write(move |writing| match writing.get(RECORDS, &row(seq))? {
            Some(chained) => match change(chained) {
                Some(chained) => writing.put(RECORDS, &row(seq), &chained),
                None => writing.remove(RECORDS, &row(seq)),
            },
            None => Ok(()),
        });
        receipt.wait().expect("written");
    }
}
