//! Records and marks as the API and an export show them, and back.

use super::record::Record;
use crate::base::audit::{By, Intent};
use crate::base::hex;
use crate::ops::api::audit::{AuditMark, AuditRecord};
use crate::store::audit::{Hash, Mark};

/// Lower-case digits.
#[must_use]
pub fn digits(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .map(|n| char::from(hex::digit(n)))
        .collect()
}

/// The 32 bytes of a hash or a key.
#[must_use]
pub fn bytes32(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::read(&mut bytes, digits.as_bytes()).then_some(bytes)
}

/// The same as palisade writes it: there is one way only.
fn exactly(text: &str) -> Option<[u8; 32]> {
    bytes32(text).filter(|bytes| digits(bytes) == text)
}

pub(super) fn shown(record: Record, prev: &Hash, hash: &Hash) -> AuditRecord {
    let Record { seq, intent } = record;
    let Intent { at_ms, by, action, subject, before, after, outcome, why } = intent;
    let By { actor, source, request_id, confirmed } = by;
    AuditRecord {
        seq,
        at_ms,
        actor,
        source,
        action,
        subject,
        before,
        after,
        outcome,
        why,
        request_id,
        confirmed,
        prev: digits(prev),
        hash: digits(hash),
    }
}

/// The record, the hash before it and its own; `None` where a hash is none.
pub(super) fn read(line: AuditRecord) -> Option<(Record, Hash, Hash)> {
    let (prev, hash) = (exactly(&line.prev)?, exactly(&line.hash)?);
    let by = By {
        actor: line.actor,
        source: line.source,
        request_id: line.request_id,
        confirmed: line.confirmed,
    };
    let intent = Intent {
        at_ms: line.at_ms,
        by,
        action: line.action,
        subject: line.subject,
        before: line.before,
        after: line.after,
        outcome: line.outcome,
        why: line.why,
    };
    Some((Record { seq: line.seq, intent }, prev, hash))
}

pub(super) fn mark(mark: &Mark) -> AuditMark {
    AuditMark {
        seq: mark.seq,
        hash: digits(&mark.hash),
        at_ms: mark.at_ms,
        key: digits(&mark.key),
        signature: digits(&mark.signature),
    }
}

pub(super) fn read_mark(line: &AuditMark) -> Option<Mark> {
    let mut signature = vec![0; 64];
    let signed = hex::read(&mut signature, line.signature.as_bytes());
    let signed = signed && digits(&signature) == line.signature;
    let (hash, key) = (exactly(&line.hash)?, exactly(&line.key)?);
    signed.then_some(Mark { seq: line.seq, hash, at_ms: line.at_ms, key, signature })
}
