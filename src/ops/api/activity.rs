//! What the app reports about its own users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::audit::{Facts, Outcome};

/// `POST /v1/activity` on the app's socket. Becomes a record of the audit log with `app.` in front of its action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// Such as `order.refund`: lower-case words of letters, digits and `_`, joined by dots; at most 64 bytes.
    pub action: String,
    #[serde(default)]
    pub subject: Option<String>,
    /// Whose doing it is, in the app's words.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub before: Facts,
    #[serde(default)]
    pub after: Facts,
    /// `done` where it is absent.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub why: Option<String>,
}

/// The answer: it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    pub request_id: String,
}
