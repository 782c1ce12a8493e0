//! One open file: its writer thread, and reads and writes on it. What the handles of the files have in common.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::futures::Notified;

use super::database::{Fault, Reading, StateFile, Writing};
use super::place::Place;
use super::state::Shared;
use super::writer::{Message, Operation, Options, PAUSE_MIN, QUEUE_MAX, Writer};
use super::{Figures, Health, OpenError, Receipt, StoreError};
use crate::ports::Clock;
use crate::telemetry::Log;

/// An open file. Cheap to clone; the last clone waits for the writer to finish what was queued, and closes the file.
#[derive(Clone)]
pub(super) struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    queue: Option<SyncSender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    place: Arc<dyn Place>,
}

impl Engine {
    /// Opens the file at `place` with every check and starts its writer thread.
    pub fn start(
        place: Box<dyn Place>,
        options: Options,
        clock: Arc<dyn Clock>,
        log: Log,
    ) -> Result<Self, OpenError> {
        let place: Arc<dyn Place> = Arc::from(place);
        let schema = place.schema();
        let file = StateFile::open(&*place, false)?;
        let shared = Arc::new(Shared::new(file, schema, clock, log));
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
            held: None,
        };
        let thread = std::thread::Builder::new()
            .name(schema.thread.into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { source })?;
        let writer = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { shared, queue: Some(sender), writer, place }) })
    }

    /// Whether a durable write can be expected to succeed now.
    pub fn health(&self) -> Health {
        self.inner.shared.health()
    }

    pub fn is_writable(&self) -> bool {
        !self.inner.shared.refusing()
    }

    /// Commits one row durably, to prove that the state can be written (promise 6).
    pub fn probe(&self) -> Receipt<()> {
        let at_s = self.inner.shared.now_s();
        self.write(move |writing| writing.probe(at_s))
    }

    /// Looks whether the file still is where it was. A `stat`.
    pub fn look(&self) {
        if !self.inner.shared.refusing() && self.inner.place.in_place().is_err() {
            drop(self.probe());
        }
    }

    /// Numbers for metrics.
    pub fn figures(&self) -> Figures {
        self.inner.shared.figures()
    }

    /// Ends when the file can be written again after it could not.
    pub fn recovered(&self) -> Notified<'_> {
        self.inner.shared.recovered.notified()
    }

    /// Ends after the next commit of queued writes; for one who waits.
    pub fn committed(&self) -> Notified<'_> {
        self.inner.shared.commit.notified()
    }

    /// Looks at the last commit.
    pub fn read<T>(
        &self,
        look: impl FnOnce(&Reading) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let outcome = match self.inner.shared.file().as_ref() {
            Some(file) => file.read(look),
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

    /// Looks at the file itself, with every check and past all that is kept of it in memory. Writes wait meanwhile.
    pub fn afresh<T: Send + 'static>(
        &self,
        look: impl FnOnce(&StateFile) -> T + Send + 'static,
    ) -> Result<Result<T, OpenError>, StoreError> {
        let (answer, shown) = sync_channel(1);
        let look = move |file: Result<StateFile, OpenError>| {
            let _ = answer.send(file.map(|file| look(&file))); // nobody may be waiting any more
        };
        let queue = self.inner.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.try_send(Message::Show(Box::new(look))).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        shown.recv().map_err(|_| StoreError::Closed)
    }

    /// Queues a change. It may run more than once, and must depend on nothing but what it finds.
    pub fn write<T: Send + 'static>(
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

    #[cfg(test)]
    pub fn queue(&self) -> &SyncSender<Message> {
        self.inner.queue.as_ref().expect("open")
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
