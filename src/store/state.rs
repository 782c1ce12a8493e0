//! What the writer thread and every handle share: the open file, its health, its figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;

use super::database::StateFile;
use super::schema::Schema;
use super::{Figures, Health};
use crate::ports::Clock;
use crate::telemetry::{Level, Log};

pub(super) struct Shared {
    /// Readers hold it while they read, so that none is left when the file is opened again.
    file: RwLock<Option<StateFile>>,
    schema: &'static Schema,
    health: Mutex<Health>,
    /// The same as `health`, for those who only want to know whether.
    refusing: AtomicBool,
    commits: AtomicU64,
    rows: AtomicU64,
    failures: AtomicU64,
    file_bytes: AtomicU64,
    /// Rung after every commit of queued writes.
    pub commit: Notify,
    pub clock: Arc<dyn Clock>,
    /// Rung when the state can be written again.
    pub recovered: Notify,
    log: Log,
}

impl Shared {
    pub fn new(file: StateFile, schema: &'static Schema, clock: Arc<dyn Clock>, log: Log) -> Self {
        let file_bytes = AtomicU64::new(file.disk().bytes());
        Self {
            file: RwLock::new(Some(file)),
            schema,
            health: Mutex::new(Health::Writable),
            refusing: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            file_bytes,
            commit: Notify::new(),
            clock,
            recovered: Notify::new(),
            log,
        }
    }

    pub fn file(&self) -> RwLockReadGuard<'_, Option<StateFile>> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn file_mut(&self) -> RwLockWriteGuard<'_, Option<StateFile>> {
        self.file.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Option<StateFile> {
        self.file_mut().take()
    }

    pub fn now_s(&self) -> i64 {
        i64::try_from(self.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }

    pub fn refusing(&self) -> bool {
        self.refusing.load(Ordering::Acquire)
    }

    pub fn health(&self) -> Health {
        self.lock_health().clone()
    }

    fn lock_health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn committed(&self, rows: u64, file_bytes: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.file_bytes.store(file_bytes, Ordering::Relaxed);
        self.commit.notify_one();
    }

    /// Says so once, however often an attempt fails after that.
    pub fn unwritable(&self, why: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut health = self.lock_health();
        self.refusing.store(true, Ordering::Release);
        if let Health::Refusing { why: last, .. } = &mut *health {
            *last = why;
            return;
        }
        *health = Health::Refusing { since_s: self.now_s(), why: why.clone() };
        drop(health);
        let (event, next) = self.schema.unwritable;
        self.log.event(Level::Error, event, |line| {
            line.text("why", &why).text("next", next);
        });
    }

    pub fn writable(&self, file_bytes: u64) {
        self.file_bytes.store(file_bytes, Ordering::Relaxed);
        let was = std::mem::replace(&mut *self.lock_health(), Health::Writable);
        self.refusing.store(false, Ordering::Release);
        if let Health::Refusing { since_s, .. } = was {
            let seconds = u64::try_from(self.now_s().saturating_sub(since_s)).unwrap_or(0);
            self.log.event(Level::Info, self.schema.writable, |line| {
                line.number("refused_s", seconds);
            });
            self.recovered.notify_one();
        }
    }

    pub fn figures(&self) -> Figures {
        Figures {
            commits: self.commits.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            file_bytes: self.file_bytes.load(Ordering::Relaxed),
        }
    }
}
