//! Runtime switches of capabilities in the words of the control socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CapabilityStatus;
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

impl CapabilityStatus {
    /// What decides over the mode in force, in words.
    #[must_use]
    pub fn decided_by(&self) -> String {
        if self.flag_value == Some(false) {
            return format!("{}=false in its environment", self.flag);
        }
        match &self.runtime {
            _ if !self.available => "nothing in this version obeys it".to_owned(),
            Some(CapabilityOverride { set_by, until: Some(until), .. }) => {
                format!("set by {set_by} until {until}")
            }
            Some(CapabilityOverride { set_by, .. }) => format!("set by {set_by}"),
            None => "the configuration".to_owned(),
        }
    }
}
