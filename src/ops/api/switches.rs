//! Runtime switches of capabilities in the words of the control socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Mode;

/// `POST /v1/capabilities/{name}` answers the `CapabilityStatus` that it comes to. `GET /v1/capabilities` lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetCapability {
    /// Absent: as configured again.
    pub mode: Option<Mode>,
    /// Seconds until the configuration counts again; absent is until somebody says otherwise.
    #[serde(default)]
    pub for_s: Option<u64>,
}

/// What was set while running. Counts more than the file, and less than an emergency flag that says `false`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityOverride {
    pub mode: Mode,
    pub set_by: String,
    /// RFC 3339, UTC
    pub set_at: String,
    /// When it ends, if it does; RFC 3339, UTC.
    pub until: Option<String>,
    /// Seconds until then.
    pub left_s: Option<i64>,
}
