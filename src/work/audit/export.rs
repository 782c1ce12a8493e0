//! An exported log, verified without the daemon: only the file and the public key.
//!
//! Promises: any changed byte is found, since each line must be the one that palisade writes for what it says; an export
//! without its last line is found, since that is a checkpoint. An export that begins late says from where it is whole.
//! Bounds: lines of [`LINE_BYTES_MAX`], one in memory at a time.

use std::io::{BufRead, Read};

use super::chain::{Broken, Verifier, Whole};
use super::line;
use super::record::encode;
use super::signing::{Kind, is_signed};
use crate::base::audit::JSON_BYTES_MAX;
use crate::base::escape_json;
use crate::ops::api::audit::AuditLine;
use crate::store::audit::Head;

/// Longest line. Nothing that is written down gets near it; before there was that bound, a record of 1 MiB took six.
pub const LINE_BYTES_MAX: u64 = 32 * JSON_BYTES_MAX as u64;

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("line {line}: {why}")]
    Line { line: u64, why: &'static str },
    #[error("it cannot be read: {0}")]
    Unread(#[from] std::io::Error),
    #[error("the export ends without its checkpoint: the end is missing")]
    Unsigned,
}

/// Verifies an export with the public key of the state that it came from.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(mut from: impl BufRead, key: [u8; 32]) -> Result<Whole, Fault> {
    let mut verifier: Option<Verifier> = None;
    let mut signed = false;
    let mut bytes = Vec::new();
    for number in 1.. {
        let fault = |why| Fault::Line { line: number, why };
        bytes.clear();
        if from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let text = bytes.strip_suffix(b"\n").ok_or(fault("it has no end"))?;
        let line: AuditLine =
            serde_json::from_slice(text).map_err(|_| fault("it is no line of an export"))?;
        let written = serde_json::to_string(&line).map(|line| escape_json(&line));
        if written.is_ok_and(|written| written.as_bytes() != text) {
            return Err(fault("it is not as it was written"));
        }
        let unread = fault("a hash, a key or a signature is none");
        signed = matches!(line, AuditLine::Checkpoint(_));
        match line {
            AuditLine::Stub(_) if verifier.is_some() => {
                return Err(fault("a stub stands at the beginning only"));
            }
            AuditLine::Stub(mark) => {
                let mark = line::read_mark(&mark).ok_or(unread)?;
                if !is_signed(Kind::Stub, &mark, &key) {
                    return Err(fault("the stub was not signed with this key"));
                }
                verifier = Some(Verifier::behind(key, Head { seq: mark.seq, hash: mark.hash }));
            }
            AuditLine::Record(record) => {
                let (record, prev, hash) = line::read(*record).ok_or(unread)?;
                let start = || {
                    let first = record.seq <= 1;
                    let start = if first {
                        Head::default()
                    } else {
                        Head { seq: record.seq - 1, hash: prev }
                    };
                    Verifier::behind(key, start)
                };
                let verifier = verifier.get_or_insert_with(start);
                if prev != verifier.end().hash && record.seq == verifier.next() {
                    let why = "it does not follow the one before".into();
                    return Err(Broken { seq: record.seq, why }.into());
                }
                verifier.record(record.seq, &hash, &encode(&record))?;
            }
            AuditLine::Checkpoint(mark) => {
                let mark = line::read_mark(&mark).ok_or(unread)?;
                verifier
                    .as_mut()
                    .ok_or(fault("a checkpoint without records"))?
                    .checkpoint(&mark)?;
            }
        }
    }
    match verifier {
        Some(verifier) if signed => Ok(verifier.finish(0)?),
        _ => Err(Fault::Unsigned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audit::{Fact, Facts, Intent, LINES_MAX, TEXT_BYTES_MAX};
    use crate::work::audit::chain::append;
    use crate::work::audit::record::decode;
    use crate::work::audit::sample::intent;
    use crate::work::audit::signing::Signer;

    fn signer() -> Signer {
        Signer::new(&[7; 32]).expect("a seed")
    }

    /// An export of records 1 to `count`, without those up to `removed`.
    fn export(count: u64, removed: u64) -> Vec<u8> {
        export_of((1..=count).map(|n| (n, intent(n as i64))).collect(), removed)
    }

    fn export_of(intents: Vec<(u64, Intent)>, removed: u64) -> Vec<u8> {
        let mut head = Head::default();
        let mut lines = Vec::new();
        for (seq, chained) in append(head, intents) {
            let record = decode(&chained.record).expect("a record");
            if seq > removed {
                lines.push(AuditLine::Record(Box::new(line::shown(
                    record,
                    &head.hash,
                    &chained.hash,
                ))));
            }
            head = Head { seq, hash: chained.hash };
            if seq == removed {
                lines.push(AuditLine::Stub(line::mark(&signer().sign(Kind::Stub, head, 1))));
            }
        }
        lines.push(AuditLine::Checkpoint(line::mark(&signer().sign(Kind::Checkpoint, head, 2))));
        let mut bytes = Vec::new();
        for line in lines {
            let line = serde_json::to_string(&line).expect("JSON");
            bytes.extend(escape_json(&line).as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    fn check(bytes: &[u8]) -> Result<Whole, Fault> {
        verify(bytes, signer().key())
    }

    #[test]
    fn an_export_is_whole_with_and_without_its_beginning() {
        let whole = check(&export(4, 0)).expect("whole");
        assert_eq!(
            (whole.start.seq, whole.end.seq, whole.records, whole.checkpoints),
            (0, 4, 4, 1)
        );
        assert_eq!(check(&export(4, 2)).expect("whole").start.seq, 2);
        let all = export(4, 0);
        let late = all.split_inclusive(|byte| *byte == b'\n').skip(2).collect::<Vec<_>>().concat();
        let whole = check(&late).expect("whole from there on");
        assert_eq!((whole.start.seq, whole.records), (2, 2));
        assert!(verify(&all[..], [1; 32]).is_err(), "another key");
    }

    #[test]
    fn the_longest_record_there_can_be_is_exported_and_verified() {
        let lines = vec!["\u{7f}".repeat(TEXT_BYTES_MAX); LINES_MAX];
        let facts = |count| (0..count).map(|n| (format!("{n:064}"), Fact::Lines(lines.clone())));
        let longest = Intent {
            subject: Some("\u{7f}".repeat(TEXT_BYTES_MAX)),
            why: Some("\u{7f}".repeat(TEXT_BYTES_MAX)),
            before: facts(32).collect(),
            after: facts(33).collect(),
            ..intent(1)
        };
        let line = export_of(vec![(1, longest.fitting().into_owned())], 0);
        assert_eq!(check(&line).expect("whole").records, 1);
        assert!(line.len() < JSON_BYTES_MAX + 2048, "{} bytes", line.len());
        // As long as the state took before.
        let before = Intent { before: Facts::new(), after: facts(10).collect(), ..longest };
        assert_eq!(check(&export_of(vec![(1, before)], 0)).expect("whole").records, 1);
    }

    #[test]
    fn a_bit_flipped_in_any_byte_of_an_export_is_found() {
        let good = export(3, 1);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(check(&bytes).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn an_export_that_was_cut_off_or_filtered_is_found() {
        let good = export(4, 0);
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        for kept in 0..lines.len() {
            assert!(check(&lines[..kept].concat()).is_err(), "{kept} lines");
        }
        let mut gap = lines.clone();
        gap.remove(1);
        assert_eq!(check(&gap.concat()).expect_err("found").to_string(), "record 2: it is missing");
        assert!(check(&good[..good.len() - 1]).is_err());
    }
}
