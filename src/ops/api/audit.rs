//! The audit log in the words of the control socket, and the lines of an export.
//!
//! Hashes, keys and signatures are lower-case hex. Times are Unix milliseconds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::audit::{Actor, Facts, Outcome, Source};

/// Most records in one answer.
pub const RECORDS_MAX: usize = 1000;

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// From 1, without gaps.
    pub seq: u64,
    pub at_ms: i64,
    pub actor: Actor,
    pub source: Source,
    /// Such as `config.reload`.
    pub action: String,
    /// What was changed.
    pub subject: Option<String>,
    pub before: Facts,
    pub after: Facts,
    pub outcome: Outcome,
    /// Why it was refused.
    pub why: Option<String>,
    pub request_id: Option<String>,
    /// Name of the second factor that confirmed it, if one did.
    pub confirmed: Option<String>,
    /// Hash of the record before; zeros before the first.
    pub prev: String,
    pub hash: String,
}

/// A signed place in the log: Ed25519 over a label, the number, the hash and the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditMark {
    pub seq: u64,
    pub hash: String,
    pub at_ms: i64,
    /// The public key.
    pub key: String,
    pub signature: String,
}

/// What to ask `GET /v1/audit` for; what is absent lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    /// Records behind this number.
    pub after: u64,
    /// Records before this number, the newest first; a number beyond the last one begins at the end. Absent: the
    /// oldest first.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most [`RECORDS_MAX`], which is also the default.
    pub limit: Option<usize>,
    /// `config.reload`, or `config` for all of these.
    pub action: Option<String>,
    /// A user's name or number, a token's, a client's address, or `system`.
    pub actor: Option<String>,
    pub subject: Option<String>,
    pub since_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// Stands anywhere in it, in upper or lower case.
    pub text: Option<String>,
}

impl AuditQuery {
    /// The newest records before this number, the newest first; `u64::MAX` begins at the end.
    #[must_use]
    pub fn newest(before: u64, limit: usize) -> Self {
        Self { before: Some(before), limit: Some(limit), ..Self::default() }
    }
}

/// `GET /v1/audit?after=&before=&limit=&action=&actor=&subject=&since_ms=&until_ms=&text=` answers this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditPage {
    #[serde(rename = "items")]
    pub records: Vec<AuditRecord>,
    /// `after` of the next page, or its `before` where the newest come first; absent when all was looked at. A page may
    /// be empty and not the last.
    pub next: Option<u64>,
    /// Number of the last record there is.
    pub last: u64,
    /// Stands for the records that are kept no longer.
    pub stub: Option<AuditMark>,
}

/// `POST /v1/audit/verify` answers this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdict {
    /// What is wrong; absent when the log is whole.
    pub broken: Option<AuditBroken>,
    /// Number of the first record that was looked at.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// Records that hold together; 0 when the log is broken.
    pub records: u64,
    pub checkpoints: u64,
    /// The last checkpoint.
    pub signed: Option<AuditMark>,
    /// The public key of this state's signatures.
    pub key: String,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditBroken {
    pub seq: u64,
    pub why: String,
}

/// A line of an export. The last one is a checkpoint. `GET /v1/audit/checkpoint` answers an [`AuditMark`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AuditLine {
    Stub(AuditMark),
    Record(Box<AuditRecord>),
    Checkpoint(AuditMark),
}
