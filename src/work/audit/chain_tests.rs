//! Promise 50: whatever is done to a log, its verification says so, and names the first wrong record.

use proptest::prelude::*;

use super::*;
use crate::work::audit::sample::intent;
use crate::work::audit::signing::Signer;

type Log = Vec<(u64, Chained)>;

fn signer() -> Signer {
    Signer::new(&[7; 32]).expect("a seed")
}

fn log(records: u64) -> Log {
    append(Head::default(), (1..=records).map(|seq| (seq, intent(seq as i64))).collect())
}

fn head(log: &Log, seq: u64) -> Head {
    let (_, chained) = log.iter().find(|(number, _)| *number == seq).expect("there");
    Head { seq, hash: chained.hash }
}

fn check(log: &Log, marks: Vec<Mark>, last: u64) -> Result<Whole, Broken> {
    follow(Verifier::new(signer().key(), None, marks)?, log, last)
}

fn follow(mut verifier: Verifier, log: &Log, last: u64) -> Result<Whole, Broken> {
    for (seq, chained) in log {
        verifier.record(*seq, &chained.hash, &chained.record)?;
    }
    verifier.finish(last)
}

fn checkpoint(log: &Log, seq: u64) -> Mark {
    signer().sign(Kind::Checkpoint, head(log, seq), 5)
}

#[test]
fn a_log_as_it_was_written_is_whole() {
    let log = log(6);
    let marks = vec![checkpoint(&log, 3), checkpoint(&log, 6)];
    let whole = check(&log, marks.clone(), 6).expect("whole");
    assert_eq!((whole.records, whole.checkpoints, whole.end), (6, 2, head(&log, 6)));
    assert_eq!(whole.signed.as_ref(), marks.last());
    assert_eq!(check(&Log::new(), Vec::new(), 0).expect("whole").records, 0);
}

#[test]
fn a_bit_flipped_in_any_byte_is_found_and_named() {
    let good = log(4);
    for at in 0..good.len() {
        let (seq, chained) = good[at].clone();
        for byte in 0..chained.record.len() + chained.hash.len() {
            for bit in 0..8 {
                let mut log = good.clone();
                let hashed = log[at].1.record.len();
                match byte.checked_sub(hashed) {
                    None => log[at].1.record[byte] ^= 1 << bit,
                    Some(byte) => log[at].1.hash[byte] ^= 1 << bit,
                }
                assert_eq!(check(&log, Vec::new(), 4).expect_err("found").seq, seq);
            }
        }
    }
}

#[test]
fn a_bit_flipped_in_any_byte_of_a_mark_is_found() {
    let log = log(3);
    let rest: Log = log[2..].to_vec();
    for kind in [Kind::Checkpoint, Kind::Stub] {
        let good = signer().sign(kind, head(&log, 2), 5);
        for byte in 0..8 + 32 + 8 + 32 + 64 {
            let mut mark = good.clone();
            match byte {
                0..8 => mark.seq ^= 1 << (8 * byte),
                8..40 => mark.hash[byte - 8] ^= 1,
                40..48 => mark.at_ms ^= 1 << (8 * (byte - 40)),
                48..80 => mark.key[byte - 48] ^= 1,
                _ => mark.signature[byte - 80] ^= 1,
            }
            let found = match kind {
                Kind::Checkpoint => check(&log, vec![mark], 3),
                Kind::Stub => Verifier::new(signer().key(), Some(&mark), Vec::new())
                    .and_then(|verifier| follow(verifier, &rest, 3)),
            };
            assert!(found.is_err(), "{kind:?} {byte}");
        }
        let other = if kind == Kind::Stub { Kind::Checkpoint } else { Kind::Stub };
        assert!(
            is_signed(kind, &good, &signer().key()) && !is_signed(other, &good, &signer().key())
        );
    }
}

#[test]
fn a_removed_doubled_or_moved_record_is_named() {
    let good = log(5);
    for at in 0..4 {
        let mut log = good.clone();
        log.remove(at);
        assert_eq!(check(&log, Vec::new(), 5).expect_err("found").seq, at as u64 + 1);
        let mut log = good.clone();
        log.insert(at, good[at].clone());
        assert_eq!(check(&log, Vec::new(), 5).expect_err("found").seq, at as u64 + 1);
        let mut log = good.clone();
        log.swap(at, at + 1);
        assert_eq!(check(&log, Vec::new(), 5).expect_err("found").seq, at as u64 + 1);
        // Under the number of the other one it is found as well.
        let mut log = good.clone();
        log[at].1 = good[at + 1].1.clone();
        assert_eq!(check(&log, Vec::new(), 5).expect_err("found").seq, at as u64 + 1);
    }
}

#[test]
fn an_end_that_was_cut_off_behind_a_checkpoint_is_found() {
    let good = log(5);
    let marks = vec![checkpoint(&good, 2), checkpoint(&good, 4)];
    for kept in 0..4 {
        let broken = check(&good[..kept].to_vec(), marks.clone(), 0).expect_err("found");
        assert_eq!(broken.seq, kept as u64 + 1, "{broken}");
    }
    assert!(check(&good[..4].to_vec(), marks, 0).is_ok(), "behind it nothing was signed");
    let known = check(&good[..4].to_vec(), Vec::new(), 5).expect_err("found");
    assert_eq!(known.to_string(), "record 5: it is missing");
}

#[test]
fn a_chain_that_was_made_anew_does_not_fit_its_checkpoints() {
    let good = log(3);
    let mut intents: Vec<_> = (1..=3).map(|seq| (seq, intent(seq as i64))).collect();
    intents[0].1.action = "nothing.happened".into();
    let forged = append(Head::default(), intents);
    assert!(check(&forged, Vec::new(), 3).is_ok());
    assert_eq!(check(&forged, vec![checkpoint(&good, 2)], 3).expect_err("found").seq, 2);
    let stranger = Signer::new(&[8; 32]).expect("a seed");
    let own = stranger.sign(Kind::Checkpoint, head(&forged, 2), 5);
    let broken = check(&forged, vec![own], 3).expect_err("found");
    assert_eq!(broken.to_string(), "record 2: its checkpoint was signed with another key");
}

#[test]
fn a_beginning_that_was_removed_on_purpose_is_no_fault() {
    let good = log(5);
    let stub = signer().sign(Kind::Stub, head(&good, 2), 9);
    let old = checkpoint(&good, 2);
    let verifier = Verifier::new(signer().key(), Some(&stub), vec![old]).expect("signed");
    let whole = follow(verifier, &good[2..].to_vec(), 5).expect("whole");
    assert_eq!((whole.start.seq, whole.records), (2, 3));
    let verifier = Verifier::new(signer().key(), Some(&stub), Vec::new()).expect("signed");
    assert_eq!(follow(verifier, &good[3..].to_vec(), 5).expect_err("found").seq, 3);
    assert!(check(&good[2..].to_vec(), Vec::new(), 5).is_err(), "without the stub");
}

proptest! {
    #[test]
    fn any_other_log_under_the_same_checkpoint_is_found(
        records in 2_u64..12,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..14),
    ) {
        let good = log(records);
        let other: Log = order.iter().map(|at| good[at.index(good.len())].clone()).collect();
        let marks = vec![checkpoint(&good, records)];
        prop_assert_eq!(check(&other, marks, records).is_ok(), other == good);
    }
}
