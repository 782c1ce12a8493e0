//! State that survives a restart: `core.redb`, its writer thread, and typed repositories over it.
//!
//! Promises: what a [`Receipt`] reports as written is on disk (45); after an I/O error nothing more is written until
//! the file was reopened and checked, and readers keep the last good view (46); no redb type leaves this folder.
//! Refuses: a file that is damaged or belongs to another program; it is never overwritten.
//! Bounds: 256 operations per commit, a bounded queue in front of the writer, 16 MiB of cache.

pub mod certs;
pub mod sealed;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::ports::Clock;
use crate::telemetry::Log;

/// Name of the file inside the state directory.
pub const CORE_FILE: &str = "core.redb";

/// The open state. Cheap to clone; the last clone closes the file after the writer has finished.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens `core.redb` in `state_dir` (made 0700 if it is missing), or makes it there with mode 0600, and starts
    /// the writer thread. Checks that the directory is not readable by others.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub fn open(_state_dir: &Path, _clock: Arc<dyn Clock>, _log: Log) -> Result<Self, OpenError> {
        todo!()
    }

    /// Whether a durable write can be expected to succeed now.
    pub fn health(&self) -> Health {
        todo!()
    }

    /// Commits one row durably, to prove that the state can be written (promise 6).
    pub fn probe(&self) -> Receipt<()> {
        todo!()
    }

    /// Numbers for metrics.
    pub fn figures(&self) -> Figures {
        todo!()
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
    pub commits: u64,
    pub rows: u64,
    pub failures: u64,
    pub file_bytes: u64,
}

/// The outcome of a write, once it is known. Dropping it does not undo the write.
#[must_use = "a write has not happened before its receipt says so"]
pub struct Receipt<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Receipt<T> {
    /// Blocks this thread until the commit; for threads that may wait, never inside a runtime's worker.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn wait(self) -> Result<T, StoreError> {
        todo!()
    }
}

impl<T> Future for Receipt<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// Why the state could not be opened. Each message names the file, the reason and the next step.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Placeholder(String),
}

/// Why nothing was read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The state refuses writes after an I/O error, or is being reopened.
    #[error("the state cannot be written: {why}")]
    Unwritable { why: String },
    /// More writes wait than the queue holds.
    #[error("the state is busy: too many writes are waiting")]
    Busy,
    /// A record that this version cannot read.
    #[error("record {row} of {table} cannot be read: {why}")]
    Record { table: &'static str, row: String, why: String },
    /// The store is closing.
    #[error("the state is closed")]
    Closed,
}
