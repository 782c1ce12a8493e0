//! Removing what is kept no longer: the beginning of the log, up to the first record that is young enough.
//!
//! Promises: what is removed was verified just before, so that a break is never signed away; a signed stub stands for it.
//! The newest record always stays. Bounds: [`PAGE`] records in one commit.

use std::sync::atomic::Ordering;

use super::chain::Verifier;
use super::record::decode;
use super::signing::Kind;
use super::{Audit, held, words};
use crate::store::audit::Head;
use crate::telemetry::Level;

/// Records that are looked at, and removed, at once.
const PAGE: usize = 500;

impl Audit {
    /// Removes all that is too old. The caller holds the turn.
    pub(super) fn remove_old(&self) -> Result<(), String> {
        while self.remove_page()? {}
        Ok(())
    }

    /// Returns whether there may be more.
    fn remove_page(&self) -> Result<bool, String> {
        let log = &self.files.log;
        let (head, stub) = (log.head().map_err(words)?, log.stub().map_err(words)?);
        let start = stub.map_or_else(Head::default, |stub| Head { seq: stub.seq, hash: stub.hash });
        let oldest_ms = self.now_ms().saturating_sub(self.keep_ms.load(Ordering::Relaxed));
        let first = log.records(start.seq, 1).map_err(words)?;
        let old = |record: &[u8]| decode(record).is_ok_and(|r| r.intent.at_ms < oldest_ms);
        if !first.iter().any(|(seq, chained)| *seq < head.seq && old(&chained.record)) {
            return Ok(false);
        }
        let signer = self.signer()?;
        let mut verifier = Verifier::behind(signer.key(), start);
        let mut seqs = Vec::new();
        for (seq, chained) in log.records(start.seq, PAGE).map_err(words)? {
            if seq >= head.seq || !old(&chained.record) {
                break;
            }
            if let Err(broken) = verifier.record(seq, &chained.hash, &chained.record) {
                return Err(self.found_broken(broken));
            }
            seqs.push(seq);
        }
        let (more, stub) = (seqs.len() == PAGE, verifier.end());
        let mark = signer.sign(Kind::Stub, stub, self.now_ms());
        log.cut_off(mark, seqs).wait().map_err(words)?;
        self.events.event(Level::Info, "audit_cut_off", |line| {
            line.number("up_to", stub.seq);
        });
        Ok(more)
    }

    /// Says so once, until a verification finds something else.
    pub(super) fn found_broken(&self, broken: super::Broken) -> String {
        let text = broken.to_string();
        let mut last = held(&self.broken);
        if last.as_ref() != Some(&broken) {
            self.events.event(Level::Error, "audit_broken", |line| {
                line.number("seq", broken.seq).text("why", &broken.why).text(
                    "next",
                    "keep a copy of the state directory, and compare with an export from elsewhere",
                );
            });
            *last = Some(broken);
        }
        text
    }
}
