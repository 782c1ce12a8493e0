//! What the app said in answers that clients got a page for (`hide_errors`), kept under the ids of their requests.
//!
//! Promises: handing one over never waits and takes no lock; a site that fails without end pushes out what it holds
//! itself, and of others nothing until it holds less than they; secrets in fields are masked before anything is kept.
//! Refuses: to write any of it to a disk or a log: what an app says about its errors may hold secrets of its own.
//! Bounds: [`WAITING_MAX`] on their way, [`KEPT_MAX`] and [`KEPT_BYTES_MAX`] kept, for [`AGE_MAX`] at most; a body and
//! the fields of one as below.

mod mask;
mod ring;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::ports::Clock;
pub use mask::{FIELDS_BYTES_MAX, fields};
use ring::Ring;

/// Kept in all.
pub const KEPT_MAX: usize = 512;
/// Bytes kept in all.
pub const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes kept of a body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Nothing is kept for longer.
pub const AGE_MAX: Duration = Duration::from_hours(24);
/// Handed over and not yet kept.
const WAITING_MAX: usize = 64;
/// Between two looks for what is too old, where nothing else happens.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// One answer of the app that its client did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    pub id: String,
    /// When the request arrived, since 1970.
    pub at: Duration,
    pub site: String,
    pub route: Option<String>,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub status: u16,
    pub upstream: Option<String>,
    /// To the head of the answer.
    pub upstream_us: Option<u64>,
    /// Without those that belong to the connection, and without banners.
    pub fields: Vec<Field>,
    pub body: Vec<u8>,
    pub end: End,
}

/// A field of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// `None`: it was a secret.
    pub value: Option<String>,
}

/// Why a body is no longer than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    /// There was more than [`BODY_BYTES_MAX`].
    Cut,
    /// The app's connection broke before the end.
    Broke,
    /// The rest did not come in time.
    Slow,
    /// So many were being read at once that nobody read this one.
    Crowded,
}

/// The one place of a process where they are kept.
pub struct Originals {
    to: mpsc::Sender<Box<Original>>,
    /// Taken by `run`, and there again should it panic.
    from: tokio::sync::Mutex<mpsc::Receiver<Box<Original>>>,
    ring: Mutex<Ring>,
    lost: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Originals {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let (to, from) = mpsc::channel(WAITING_MAX);
        let (from, ring) = (tokio::sync::Mutex::new(from), Mutex::default());
        Arc::new(Self { to, from, ring, lost: AtomicU64::new(0), clock })
    }

    /// Hands one over. Never waits: what does not fit is counted.
    pub fn hand_over(&self, original: Box<Original>) {
        if self.to.try_send(original).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that did not fit.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Keeps what is handed over, until `stop`.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut from = self.from.lock().await;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                original = from.recv() => match original {
                    Some(original) => self.keep(original),
                    None => return,
                },
                () = tokio::time::sleep(LOOK_EVERY) => drop(self.ring()),
            }
        }
    }

    fn keep(&self, original: Box<Original>) {
        self.ring().put(Arc::from(original), self.clock.now());
    }

    /// The one of this request.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Original>> {
        self.ring().get(id)
    }

    /// All of them, the newest request first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Arc<Original>> {
        let mut all = self.ring().all();
        all.sort_unstable_by(|a, b| b.id.cmp(&a.id));
        all
    }

    /// As they are now: none that is too old.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.forget_old(self.clock.now());
        ring
    }
}

#[cfg(test)]
mod tests;
