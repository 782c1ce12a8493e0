//! `[audit]` as used.

use std::time::Duration;

/// How the audit log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Older records are removed.
    pub keep: Duration,
}
