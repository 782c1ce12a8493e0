//! Records of what happens on the request path: taken from the workers, committed together, each answered once it is on
//! disk.
//!
//! Promises: a record that was taken is written even if nobody waits for it, late if the state cannot be written now;
//! while one waits because a write failed, no new action may begin.
//! Bounds: [`PLACES`] actions that have begun and are not on disk yet, [`PLACES_PER_CLIENT`] of one client, so that nobody
//! holds them all with requests that never end; [`BATCH_MAX`] records at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::base::IpKey;
use crate::base::audit::Intent;
use crate::ports::actions::{Actions, NoPlace, Place, Recorded};
use crate::store::{Store, StoreError};
use crate::telemetry::{Level, Log};

/// Actions under way, from before the app is asked until the record is on disk.
pub const PLACES: usize = 1024;
/// Those of one client: an IPv4 address or an IPv6 /64.
pub const PLACES_PER_CLIENT: usize = 64;
/// What the state commits at once.
const BATCH_MAX: usize = 256;
/// Between two attempts to write what could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// The way of actions into the audit log.
pub struct ActionLog {
    store: Store,
    log: Log,
    places: Arc<Semaphore>,
    clients: Arc<Clients>,
    queue: Sender<Waiting>,
    waiting: Mutex<Receiver<Waiting>>,
    /// The last write failed, and what it should have written is not on disk yet.
    behind: AtomicBool,
}

/// A record on its way. Whoever waits hears nothing if it is dropped.
struct Waiting {
    intent: Intent,
    written: oneshot::Sender<()>,
    _place: Taken,
}

impl Waiting {
    /// It is on disk, and its place is free.
    fn tell(self) {
        let _ = self.written.send(()); // nobody may be waiting any more
    }
}

/// How many places each client has; none is in it with none.
#[derive(Default)]
struct Clients(StdMutex<HashMap<IpKey, usize>>);

impl Clients {
    /// One more, unless it has as many as one may have.
    fn raise(&self, client: IpKey) -> bool {
        let mut taken = self.taken();
        let count = taken.entry(client).or_default();
        let may = *count < PLACES_PER_CLIENT;
        *count += usize::from(may);
        may
    }

    fn lower(&self, client: IpKey) {
        let mut taken = self.taken();
        match taken.get_mut(&client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&client)),
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpKey, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place of a client. Free again when it is dropped.
struct Taken {
    _permit: OwnedSemaphorePermit,
    clients: Arc<Clients>,
    client: IpKey,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.clients.lower(self.client);
    }
}

struct Reserved {
    queue: Sender<Waiting>,
    place: Taken,
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
    fn reserve(&self, client: IpKey) -> Result<Box<dyn Place>, NoPlace> {
        if self.behind.load(Ordering::Relaxed) || !self.store.is_writable() {
            return Err(NoPlace::Now("the state cannot be written; `palisade status` says why"));
        }
        let place = self.take(client)?;
        Ok(Box::new(Reserved { queue: self.queue.clone(), place }))
    }
}

impl ActionLog {
    fn take(&self, client: IpKey) -> Result<Taken, NoPlace> {
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| NoPlace::Now("too many actions wait for the app or for their record"))?;
        if !self.clients.raise(client) {
            return Err(NoPlace::Client);
        }
        Ok(Taken { _permit: permit, clients: Arc::clone(&self.clients), client })
    }

    #[must_use]
    pub fn new(store: Store, log: Log) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(PLACES);
        let places = Arc::new(Semaphore::new(PLACES));
        let (waiting, behind) = (Mutex::new(waiting), AtomicBool::new(false));
        let clients = Arc::<Clients>::default();
        Arc::new(Self { store, log, places, clients, queue, waiting, behind })
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
        let is_there = |waiting: &mut Waiting| {
            intents.iter().any(|(_, there)| *there == *waiting.intent.fitting())
        };
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
