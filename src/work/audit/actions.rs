//! Records of what happens on the request path: taken from the workers, committed together, each answered once it is on
//! disk.
//!
//! Promises: a record that was taken is written even if nobody waits for it, late if the state cannot be written now;
//! while one waits because a write failed, no new action may begin.
//! Bounds: [`PLACES`] actions that have begun and are not on disk yet, [`BATCH_MAX`] records at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::base::audit::Intent;
use crate::ports::actions::{Actions, Place, Recorded};
use crate::store::{Store, StoreError};
use crate::telemetry::{Level, Log};

/// Actions under way, from before the app is asked until the record is on disk.
pub const PLACES: usize = 1024;
/// What the state commits at once.
const BATCH_MAX: usize = 256;
/// Between two attempts to write what could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// The way of actions into the audit log.
pub struct ActionLog {
    store: Store,
    log: Log,
    places: Arc<Semaphore>,
    queue: Sender<Waiting>,
    waiting: Mutex<Receiver<Waiting>>,
    /// The last write failed, and what it should have written is not on disk yet.
    behind: AtomicBool,
}

/// A record on its way. Whoever waits hears nothing if it is dropped.
struct Waiting {
    intent: Intent,
    written: oneshot::Sender<()>,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    /// It is on disk, and its place is free.
    fn tell(self) {
        let _ = self.written.send(()); // nobody may be waiting any more
    }
}

struct Reserved {
    queue: Sender<Waiting>,
    place: OwnedSemaphorePermit,
}

impl Place for Reserved {
    fn record(self: Box<Self>, intent: Intent) -> Recorded {
        let (written, recorded) = oneshot::channel();
        // There is room: the queue has as many places as there are.
        let _ = self.queue.try_send(Waiting { intent, written, _place: self.place });
        recorded
    }
}

impl Actions for ActionLog {
    fn reserve(&self) -> Result<Box<dyn Place>, &'static str> {
        if self.behind.load(Ordering::Relaxed) || !self.store.is_writable() {
            return Err("the state cannot be written; `palisade status` says why");
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Ok(Box::new(Reserved { queue: self.queue.clone(), place })),
            Err(_) => Err("too many actions wait for the app or for their record"),
        }
    }
}

impl ActionLog {
    #[must_use]
    pub fn new(store: Store, log: Log) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(PLACES);
        let places = Arc::new(Semaphore::new(PLACES));
        let (waiting, behind) = (Mutex::new(waiting), AtomicBool::new(false));
        Arc::new(Self { store, log, places, queue, waiting, behind })
    }

    /// Writes until `stop`, and then what waits.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut waiting = self.waiting.lock().await;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = waiting.recv_many(&mut batch, BATCH_MAX) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            while !self.write(&mut batch).await {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    _ = stop.wait_for(|stop| *stop) => break,
                }
            }
        }
        while let Ok(more) = waiting.try_recv() {
            batch.push(more);
        }
        if !self.write(&mut batch).await {
            for lost in batch {
                self.not_written(
                    &lost.intent,
                    "palisade stops while the state cannot be written",
                    "this one is lost",
                );
            }
        }
    }

    /// Writes the records in one commit if it can be; those that were not written stay. Whether none did.
    async fn write(&self, batch: &mut Vec<Waiting>) -> bool {
        if self.behind.load(Ordering::Relaxed) && !self.forget_written(batch) {
            return false;
        }
        let put = |waiting: &Waiting| self.store.put_intent(waiting.intent.clone());
        let receipts: Vec<_> = batch.iter().map(put).collect();
        let mut failed: Option<StoreError> = None;
        let mut left = Vec::new();
        for (waiting, receipt) in batch.drain(..).zip(receipts) {
            match receipt.await {
                Ok(()) => waiting.tell(),
                Err(error) => {
                    failed = Some(error);
                    left.push(waiting);
                }
            }
        }
        *batch = left;
        let (Some(error), Some(first)) = (failed, batch.first()) else {
            self.behind.store(false, Ordering::Relaxed);
            return true;
        };
        if !self.behind.swap(true, Ordering::Relaxed) {
            let next =
                "it and those behind it are kept in memory and written as soon as the state can be";
            self.not_written(&first.intent, &error.to_string(), next);
        }
        false
    }

    /// After a failure the disk may hold what it was said not to have taken: that is not written twice. Whether that is
    /// known.
    fn forget_written(&self, batch: &mut Vec<Waiting>) -> bool {
        if !self.store.is_writable() {
            return false;
        }
        let Ok(intents) = tokio::task::block_in_place(|| self.store.intents(usize::MAX)) else {
            return false;
        };
        let is_there =
            |waiting: &mut Waiting| intents.iter().any(|(_, there)| *there == waiting.intent);
        for waiting in batch.extract_if(.., is_there) {
            waiting.tell();
        }
        true
    }

    fn not_written(&self, intent: &Intent, why: &str, next: &str) {
        self.log.event(Level::Error, "audit_not_written", |line| {
            line.text("action", &intent.action).text("why", why).text("next", next);
        });
    }
}

#[cfg(test)]
#[path = "actions_tests.rs"]
mod tests;
