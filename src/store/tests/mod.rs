//! The store as its users see it, on disks that do as told.

mod crash;
mod faults;
mod held;
mod memory;
mod moved;
mod refusals;
mod repositories;

use std::sync::Arc;
use std::time::Duration;

use super::database::StateFile;
use super::writer::QUEUE_MAX;
use super::*;
use crate::ports::fake::FakeClock;

const NOW_S: u64 = 1_795_292_266;

fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(Duration::from_secs(NOW_S)))
}

/// A log in `dir`, for events that a test looks for.
fn log(dir: &Path) -> Log {
    Log::open(Some(&dir.join("test.log")), clock()).expect("a log").0
}

/// A state directory that goes when the test ends.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &Path) -> Result<Store, OpenError> {
    Store::open(&dir.join("state"), clock(), log(dir))
}
