//! State that survives a restart: files of redb, each with its writer thread, and typed repositories over them.
//!
//! Promises: what a [`Receipt`] reports as written is on disk, in the file at its path (45); after an I/O error nothing more is written until
//! the file was reopened and checked, and readers see the last commit on disk (46); no redb type leaves this folder.
//! Refuses: a file that is damaged or belongs to another program; it is never overwritten.
//! Bounds, per file: 256 operations per commit, 4096 in the queue in front of the writer, 16 MiB of cache.

pub mod audit;
pub mod certs;
pub mod codec;
mod database;
mod disk;
mod engine;
mod error;
mod header;
mod health;
pub mod local_ca;
pub mod outbox;
mod place;
mod receipt;
mod schema;
pub mod sealed;
mod state;
pub mod switches;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod totp;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use error::{OpenError, StoreError};
pub use receipt::Receipt;

use crate::ports::Clock;
use crate::telemetry::Log;
use database::{Fault, Reading, Writing};
use engine::Engine;
use place::{FilePlace, Place};
use schema::CORE;
use writer::Options;

/// Name of its file inside the state directory.
pub const CORE_FILE: &str = CORE.file;

/// The open state, `core.redb`. Cheap to clone; the last clone waits for what was queued, and closes the file.
#[derive(Clone)]
pub struct Store(Engine);

impl Store {
    /// Opens `core.redb` in `state_dir` (made 0700 if it is missing), or makes it there with mode 0600, and starts
    /// the writer thread. Checks that others may not enter the directory, and every checksum of the file.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>, log: Log) -> Result<Self, OpenError> {
        let place = FilePlace::prepare(state_dir, &CORE)?;
        Self::start(Box::new(place), Options::default(), clock, log)
    }

    fn start(
        place: Box<dyn Place>,
        options: Options,
        clock: Arc<dyn Clock>,
        log: Log,
    ) -> Result<Self, OpenError> {
        Engine::start(place, options, clock, log).map(Self)
    }

    /// Whether a durable write can be expected to succeed now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// As [`Self::health`], for those who only want to know whether. One atomic load.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.is_writable()
    }

    /// Ends when the state can be written again after it could not, or at once if that was so since the last call. For
    /// one who waits, not for several.
    pub async fn recovered(&self) {
        self.0.recovered().await;
    }

    /// Commits one row durably, to prove that the state can be written (promise 6).
    pub fn probe(&self) -> Receipt<()> {
        self.0.probe()
    }

    /// Looks whether the file still is where it was, so that health says so before the next write does. A `stat`.
    pub fn look(&self) {
        self.0.look();
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.figures()
    }

    fn read<T>(&self, look: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.0.read(look)
    }

    fn write<T: Send + 'static>(
        &self,
        change: impl FnMut(&Writing) -> Result<T, Fault> + Send + 'static,
    ) -> Receipt<T> {
        self.0.write(change)
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
