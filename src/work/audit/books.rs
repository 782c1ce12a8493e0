//! What copying needs of the two files, so that a test can cut it off between any two steps.

use crate::base::audit::Intent;
use crate::store::audit::{AuditLog, Chained, Head, Mark};
use crate::store::{Store, StoreError};

/// The outbox and the log. Every write is durable when it returns, and wholly there or not at all.
pub(super) trait Books: Send + Sync + 'static {
    fn intents(&self, limit: usize) -> Result<Vec<(u64, Intent)>, StoreError>;
    fn forget(&self, seqs: Vec<u64>) -> Result<(), StoreError>;
    fn renumber(&self, seqs: Vec<u64>) -> Result<(), StoreError>;
    fn head(&self) -> Result<Head, StoreError>;
    fn stub(&self) -> Result<Option<Mark>, StoreError>;
    fn record(&self, seq: u64) -> Result<Option<Chained>, StoreError>;
    fn append(&self, after: Head, records: Vec<(u64, Chained)>) -> Result<bool, StoreError>;
}

/// The files of a state.
#[derive(Clone)]
pub(super) struct Files {
    pub store: Store,
    pub log: AuditLog,
}

impl Books for Files {
    fn intents(&self, limit: usize) -> Result<Vec<(u64, Intent)>, StoreError> {
        self.store.intents(limit)
    }

    fn forget(&self, seqs: Vec<u64>) -> Result<(), StoreError> {
        self.store.forget_intents(seqs).wait()
    }

    fn renumber(&self, seqs: Vec<u64>) -> Result<(), StoreError> {
        self.store.renumber_intents(seqs).wait()
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.log.head()
    }

    fn stub(&self) -> Result<Option<Mark>, StoreError> {
        self.log.stub()
    }

    fn record(&self, seq: u64) -> Result<Option<Chained>, StoreError> {
        self.log.record(seq)
    }

    fn append(&self, after: Head, records: Vec<(u64, Chained)>) -> Result<bool, StoreError> {
        self.log.append(after, records).wait()
    }
}
