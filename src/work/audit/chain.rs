//! The chain: each record's hash covers its bytes and the hash before it. Pure.
//!
//! Promises: of a log that was written here, any flipped bit, any record removed, doubled or moved, and an end that was
//! cut off behind a checkpoint is found, and the first wrong number named. One pass, and memory for the checkpoints only.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::record::{self, Record, encode};
use super::signing::{Kind, is_signed};
use crate::base::audit::Intent;
use crate::store::audit::{Chained, Hash, Head, Mark};

const LABEL: &[u8] = b"palisade audit record 1\n";

/// The hash of a record behind another one.
#[must_use]
pub fn link(before: &Hash, record: &[u8]) -> Hash {
    let mut digest = Sha256::new();
    digest.update(LABEL);
    digest.update(before);
    digest.update(record);
    digest.finalize().into()
}

/// Intents as records behind `head`, each with its number.
#[must_use]
pub fn append(head: Head, intents: Vec<(u64, Intent)>) -> Vec<(u64, Chained)> {
    let mut before = head.hash;
    let chained = intents.into_iter().map(|(seq, intent)| {
        let record = encode(&Record { seq, intent });
        before = link(&before, &record);
        (seq, Chained { hash: before, record })
    });
    chained.collect()
}

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {why}")]
pub struct Broken {
    pub seq: u64,
    pub why: String,
}

fn broken(seq: u64, why: impl Into<String>) -> Broken {
    Broken { seq, why: why.into() }
}

/// What a log that holds together comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Before the first record that is there.
    pub start: Head,
    pub end: Head,
    pub records: u64,
    pub checkpoints: u64,
    /// The last signed place.
    pub signed: Option<Mark>,
}

/// Follows a chain.
pub struct Verifier {
    key: [u8; 32],
    start: Head,
    at: Head,
    records: u64,
    checkpoints: u64,
    signed: Option<Mark>,
    ahead: BTreeMap<u64, Mark>,
}

impl Verifier {
    /// From the beginning of a log that is whole or begins behind `stub`.
    ///
    /// # Errors
    /// The stub was not signed with `key`.
    pub fn new(key: [u8; 32], stub: Option<&Mark>, checkpoints: Vec<Mark>) -> Result<Self, Broken> {
        let start = stub.map_or_else(Head::default, |stub| Head { seq: stub.seq, hash: stub.hash });
        if let Some(stub) = stub
            && !is_signed(Kind::Stub, stub, &key)
        {
            return Err(broken(
                stub.seq,
                unsigned("what stands for the records up to here", stub, &key),
            ));
        }
        let mut verifier = Self::behind(key, start);
        verifier.ahead = checkpoints.into_iter().map(|mark| (mark.seq, mark)).collect();
        // One for the last record that was removed may have been made when it was the last of all.
        verifier.ahead = verifier.ahead.split_off(&(start.seq + 1));
        Ok(verifier)
    }

    /// From any place, whose hash is taken for right.
    #[must_use]
    pub const fn behind(key: [u8; 32], start: Head) -> Self {
        let ahead = BTreeMap::new();
        Self { key, start, at: start, records: 0, checkpoints: 0, signed: None, ahead }
    }

    /// The next record.
    ///
    /// # Errors
    /// It does not follow, or is not what it was.
    pub fn record(&mut self, seq: u64, hash: &Hash, record: &[u8]) -> Result<(), Broken> {
        let expected = self.at.seq + 1;
        if seq > expected {
            let last = seq - 1;
            return Err(broken(expected, missing(expected, last)));
        }
        if seq < expected {
            return Err(broken(seq, "it stands twice, or behind one that came later"));
        }
        if record::number(record) != Some(seq) || link(&self.at.hash, record) != *hash {
            return Err(broken(
                seq,
                "it is not what was written, or does not follow the one before",
            ));
        }
        self.at = Head { seq, hash: *hash };
        self.records += 1;
        self.ahead.remove(&seq).map_or(Ok(()), |mark| self.checkpoint(&mark))
    }

    /// A checkpoint for the record that came last.
    ///
    /// # Errors
    /// It was signed for another place or with another key.
    pub fn checkpoint(&mut self, mark: &Mark) -> Result<(), Broken> {
        if !is_signed(Kind::Checkpoint, mark, &self.key) {
            return Err(broken(mark.seq, unsigned("its checkpoint", mark, &self.key)));
        }
        if mark.seq > self.at.seq {
            return Err(broken(self.at.seq + 1, missing(self.at.seq + 1, mark.seq)));
        }
        if (mark.seq, mark.hash) != (self.at.seq, self.at.hash) {
            return Err(broken(
                mark.seq,
                "a checkpoint was signed for another record in its place",
            ));
        }
        self.checkpoints += 1;
        self.signed = Some(mark.clone());
        Ok(())
    }

    /// The number that comes next.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.at.seq + 1
    }

    /// The record that came last.
    #[must_use]
    pub const fn end(&self) -> Head {
        self.at
    }

    /// The end. `last` is the number of the last record that is known to have been written.
    ///
    /// # Errors
    /// Records are missing at the end.
    pub fn finish(mut self, last: u64) -> Result<Whole, Broken> {
        if let Some((_, mark)) = self.ahead.pop_first() {
            self.checkpoint(&mark)?;
        }
        if last > self.at.seq {
            return Err(broken(self.at.seq + 1, missing(self.at.seq + 1, last)));
        }
        let Self { start, at: end, records, checkpoints, signed, .. } = self;
        Ok(Whole { start, end, records, checkpoints, signed })
    }
}

fn missing(first: u64, last: u64) -> String {
    if first == last {
        "it is missing".into()
    } else {
        format!("it is missing, with all up to {last}")
    }
}

fn unsigned(what: &str, mark: &Mark, key: &[u8; 32]) -> String {
    if mark.key == *key {
        format!("{what} was changed: the signature does not fit")
    } else {
        format!("{what} was signed with another key")
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
