//! The audit log: who changed what, when and from where, chained and signed, so that nobody can change it unseen.
//!
//! Promises: an effect with a row in the state and its intent commit together, others are written down before they are
//! reported as done; each reaches the log exactly once (50); any change of the log is found by a verification.
//! Refuses: secrets; an intent says what can be shown to every operator.
//! Bounds: 100,000 intents that wait for a log that cannot be written, [`LATE_MAX`] for a state that cannot;
//! a checkpoint every [`RECORDS_PER_CHECKPOINT`] records and every hour in which there was one.

pub mod actions;
mod books;
pub mod chain;
mod copier;
pub mod export;
mod keep;
pub mod line;
pub mod look;
pub mod record;
#[cfg(test)]
mod sample;
pub mod settings;
pub mod signing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

use self::books::Files;
use self::chain::Broken;
use self::signing::{Kind, SEED_BYTES, Signer};
use crate::base::audit::{By, Intent};
use crate::keyring::Keyring;
use crate::ports::{Clock, Entropy};
use crate::store::audit::{AuditLog, Head, Mark};
use crate::store::sealed::AUDIT_KEYS;
use crate::store::{Health, Store, StoreError};
use crate::telemetry::{Level, Log};

/// Records between two checkpoints at most.
pub const RECORDS_PER_CHECKPOINT: u64 = 1000;
const CHECKPOINT_MS: i64 = 3_600_000;
/// Changes that wait in memory for a state that cannot be written.
pub const LATE_MAX: usize = 1000;
/// More than this in the outbox needs somebody.
const OUTBOX_LARGE: u64 = 1000;
/// Between looks at the log, for checkpoints, for what is too old, and after a failure.
const LOOK: Duration = Duration::from_secs(30);
/// Row of the key in the state.
const KEY_ROW: &str = "ed25519";

/// What the audit log is built from.
pub struct Parts {
    pub store: Store,
    pub log: AuditLog,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub events: Log,
    /// How long records are kept.
    pub keep: Duration,
}

/// The audit log of a daemon.
pub struct Audit {
    files: Files,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    events: Log,
    keep_ms: AtomicI64,
    signer: Mutex<Option<Arc<Signer>>>,
    /// Held by whoever moves, removes or follows records. Holds the last checkpoint.
    turn: Mutex<Option<Mark>>,
    late: Mutex<VecDeque<Intent>>,
    /// What the last verification found.
    broken: Mutex<Option<Broken>>,
}

/// Numbers for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub records: u64,
    /// Changes that are not in the log yet.
    pub outbox: u64,
}

impl Audit {
    /// Takes the two files in hand.
    ///
    /// # Errors
    /// One of them cannot be read, or the state is behind the log and cannot be written.
    pub fn open(parts: Parts) -> Result<Arc<Self>, StoreError> {
        let Parts { store, log, keyring, clock, entropy, events, keep } = parts;
        let outline = log.outline()?;
        let (next, _) = store.outbox()?;
        if next <= outline.head.seq {
            // The state is an older copy than the log.
            store.skip_numbers(outline.head.seq).wait()?;
        }
        let last = outline.checkpoints.into_iter().last();
        Ok(Arc::new(Self {
            files: Files { store, log },
            keyring,
            clock,
            entropy,
            events,
            keep_ms: AtomicI64::new(millis(keep)),
            signer: Mutex::default(),
            turn: Mutex::new(last),
            late: Mutex::default(),
            broken: Mutex::default(),
        }))
    }

    /// How long records are kept from now on.
    pub fn configure(&self, keep: Duration) {
        self.keep_ms.store(millis(keep), Ordering::Relaxed);
    }

    /// Something happens now, on behalf of `by`.
    #[must_use]
    pub fn intent(&self, by: &By, action: &str) -> Intent {
        Intent::new(self.now_ms(), by.clone(), action)
    }

    /// Writes down a change without a row of its own, and returns when it is on disk; while the state cannot be written
    /// it is kept in memory and written later. Blocks: not inside a task, unless that may wait.
    pub fn record(&self, intent: Intent) {
        let mut late = held(&self.late);
        if late.len() >= LATE_MAX {
            drop(late);
            self.not_written(
                &intent,
                "too many changes wait for the state already",
                "this one is lost",
            );
            return;
        }
        late.push_back(intent);
        self.write_late(&mut late);
    }

    fn write_late(&self, late: &mut VecDeque<Intent>) {
        while let Some(intent) = late.front() {
            if let Err(error) = self.files.store.put_intent(intent.clone()).wait() {
                let next = "it is kept in memory and written as soon as the state can be";
                self.not_written(intent, &error.to_string(), next);
                return;
            }
            late.pop_front();
        }
    }

    fn not_written(&self, intent: &Intent, why: &str, next: &str) {
        self.events.event(Level::Error, "audit_not_written", |line| {
            line.text("action", &intent.action).text("why", why).text("next", next);
        });
    }

    /// Copies, signs and removes until `stop`; what waits then is copied.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::task::block_in_place(|| self.tend());
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.files.store.committed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        tokio::task::block_in_place(|| self.tend());
    }

    /// One look. What fails is said by the file that it fails on, and tried again. Blocks.
    pub fn tend(&self) {
        let mut late = held(&self.late);
        if !late.is_empty() && self.files.store.health() == Health::Writable {
            self.write_late(&mut late);
        }
        drop(late);
        let mut turn = held(&self.turn);
        if copier::copy(&self.files).is_err() {
            return;
        }
        let _ = self.sign_if_due(&mut turn).and_then(|()| self.remove_old());
    }

    fn sign_if_due(&self, last: &mut Option<Mark>) -> Result<(), String> {
        let head = self.files.log.head().map_err(words)?;
        let (seq, at_ms) = last.as_ref().map_or((0, i64::MIN), |mark| (mark.seq, mark.at_ms));
        // A clock that was set back must not end the signing.
        let long_ago =
            self.now_ms().saturating_sub(at_ms).unsigned_abs() >= CHECKPOINT_MS.unsigned_abs();
        if head.seq > seq && (long_ago || head.seq - seq >= RECORDS_PER_CHECKPOINT) {
            self.sign(head, last)?;
        }
        Ok(())
    }

    fn sign(&self, head: Head, last: &mut Option<Mark>) -> Result<Mark, String> {
        let mark = self.signer()?.sign(Kind::Checkpoint, head, self.now_ms());
        self.files.log.put_checkpoint(mark.clone()).wait().map_err(words)?;
        *last = Some(mark.clone());
        Ok(mark)
    }

    /// The key, from the state; made when there is none.
    fn signer(&self) -> Result<Arc<Signer>, String> {
        let mut signer = held(&self.signer);
        if let Some(signer) = signer.as_ref() {
            return Ok(Arc::clone(signer));
        }
        let store = &self.files.store;
        let sealed = match store.sealed(AUDIT_KEYS, KEY_ROW).map_err(words)? {
            Some(sealed) => sealed,
            None => {
                let mut seed = Zeroizing::new([0; SEED_BYTES]);
                self.entropy.fill(&mut *seed).map_err(|error| error.to_string())?;
                let sealed = self.keyring.seal(AUDIT_KEYS, KEY_ROW, &*seed);
                let sealed = sealed.map_err(|error| error.to_string())?;
                store.keep_audit_key(KEY_ROW, sealed).wait().map_err(words)?
            }
        };
        let seed = self.keyring.unseal(AUDIT_KEYS, KEY_ROW, &sealed).map_err(|e| e.to_string())?;
        let made = Arc::new(Signer::new(&seed).ok_or("the key of the audit log is none")?);
        *signer = Some(Arc::clone(&made));
        Ok(made)
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        let records = self.files.log.head().map_or(0, |head| head.seq);
        let waiting = self.files.store.outbox().map_or(0, |(_, waiting)| waiting);
        // Whoever holds it may wait for a disk; a status never does.
        let late = self.late.try_lock().map_or(0, |late| late.len());
        Figures { records, outbox: waiting + late as u64 }
    }

    /// What needs somebody, a sentence each; true for what is worse than late.
    #[must_use]
    pub fn attention(&self) -> Vec<(bool, String)> {
        let mut found = Vec::new();
        let outbox = self.figures().outbox;
        if let Health::Refusing { why, .. } = self.files.log.health() {
            let text = format!("the audit log cannot be written, {outbox} changes wait: {why}");
            found.push((false, text));
        } else if outbox > OUTBOX_LARGE {
            found.push((false, format!("{outbox} changes wait to be copied into the audit log")));
        }
        if let Some(broken) = &*held(&self.broken) {
            let text = format!("the audit log is broken at {broken} (palisade audit verify)");
            found.push((true, text));
        }
        found
    }

    fn now_ms(&self) -> i64 {
        millis(self.clock.unix())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn words(error: StoreError) -> String {
    error.to_string()
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
