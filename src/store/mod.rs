//! State that survives a restart: `core.redb`, its writer thread, and typed repositories over it.
//!
//! Promises: what a [`Receipt`] reports as written is on disk, in the file at its path (45); after an I/O error nothing more is written until
//! the file was reopened and checked, and readers see the last commit on disk (46); no redb type leaves this folder.
//! Refuses: a file that is damaged or belongs to another program; it is never overwritten.
//! Bounds: 256 operations per commit, 4096 in the queue in front of the writer, 16 MiB of cache.

pub mod certs;
pub mod codec;
mod database;
mod disk;
mod error;
mod header;
mod health;
pub mod local_ca;
mod place;
mod receipt;
pub mod sealed;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use error::{OpenError, StoreError};
pub use receipt::Receipt;

use crate::ports::Clock;
use crate::telemetry::Log;
use database::{Core, Fault, Reading, Writing};
use place::{FilePlace, Place};
use state::Shared;
use writer::{Message, Operation, Options, PAUSE_MIN, QUEUE_MAX, Writer};

/// Name of the file inside the state directory.
pub const CORE_FILE: &str = "core.redb";

/// The open state. Cheap to clone; the last clone waits for the writer to finish what was queued, and closes the file.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    queue: Option<SyncSender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    place: Arc<dyn Place>,
}

impl Store {
    /// Opens `core.redb` in `state_dir` (made 0700 if it is missing), or makes it there with mode 0600, and starts
    /// the writer thread. Checks that others may not enter the directory, and every checksum of the file.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>, log: Log) -> Result<Self, OpenError> {
        let place = FilePlace::prepare(state_dir)?;
        Self::start(Box::new(place), Options::default(), clock, log)
    }

    fn start(
        place: Box<dyn Place>,
        options: Options,
        clock: Arc<dyn Clock>,
        log: Log,
    ) -> Result<Self, OpenError> {
        let place: Arc<dyn Place> = Arc::from(place);
        let core = Core::open(&*place, false)?;
        let shared = Arc::new(Shared::new(core, clock, log));
        let (sender, queue) = sync_channel(QUEUE_MAX);
        let writer = Writer {
            shared: Arc::clone(&shared),
            queue,
            place: Arc::clone(&place),
            options,
            touched: false,
            retry_at: None,
            next_pause: PAUSE_MIN,
            weight: 0,
            #[cfg(test)]
            held: None,
        };
        let thread = std::thread::Builder::new()
            .name("state".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { source })?;
        let writer = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { shared, queue: Some(sender), writer, place }) })
    }

    /// Whether a durable write can be expected to succeed now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    /// Ends when the state can be written again after it could not, or at once if that was so since the last call. For
    /// one who waits, not for several.
    pub async fn recovered(&self) {
        self.inner.shared.recovered.notified().await;
    }

    /// Commits one row durably, to prove that the state can be written (promise 6).
    pub fn probe(&self) -> Receipt<()> {
        let at_s = self.inner.shared.now_s();
        self.write(move |writing| writing.probe(at_s))
    }

    /// Looks whether the file still is where it was, so that health says so before the next write does. A `stat`.
    pub fn look(&self) {
        if !self.inner.shared.refusing() && self.inner.place.in_place().is_err() {
            drop(self.probe());
        }
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.shared.figures()
    }

    /// Looks at the last commit.
    fn read<T>(&self, look: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, StoreError> {
        let outcome = match self.inner.shared.core().as_ref() {
            Some(core) => core.read(look),
            None => Err(Fault::Broken("the file is not open".into())),
        };
        outcome.map_err(|fault| match fault {
            Fault::Refused(error) => error,
            Fault::Broken(why) => {
                // A disk that fails under a read fails the next write too: let the writer find out and open it again.
                drop(self.probe());
                StoreError::Unreadable { why }
            }
        })
    }

    /// Queues a change. It may run more than once, and must depend on nothing but what it finds.
    fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&Writing) -> Result<T, Fault> + Send + 'static,
    ) -> Receipt<T> {
        if let Health::Refusing { why, .. } = self.refusing() {
            return Receipt::refused(StoreError::Unwritable { why });
        }
        let (answer, receipt) = Receipt::pair();
        let Some(queue) = &self.inner.queue else { return Receipt::refused(StoreError::Closed) };
        match queue.try_send(Message::Do(Box::new(Operation { change, value: None, answer }))) {
            Ok(()) => receipt,
            Err(TrySendError::Full(_)) => Receipt::refused(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Receipt::refused(StoreError::Closed),
        }
    }

    fn refusing(&self) -> Health {
        if self.inner.shared.refusing() { self.health() } else { Health::Writable }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.queue.take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.thread().id() != std::thread::current().id()
        {
            let _ = writer.join(); // a panic of the writer was reported by the panic hook
        }
    }
}

/// Whether the state can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Writable,
    /// Since when (Unix seconds), and the sentence for the operator.
    Refusing {
        since_s: i64,
        why: String,
    },
}

/// What metrics show of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits of queued writes; each may hold up to 256 of them.
    pub commits: u64,
    /// Rows written or removed by them.
    pub rows: u64,
    /// Commits and attempts to recover that failed.
    pub failures: u64,
    /// Length of the file.
    pub file_bytes: u64,
}
