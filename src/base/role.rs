//! What somebody may do, and to which part of the daemon.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whoever is in this group may connect to the control socket, and is admin unless the configuration says otherwise.
pub const CONTROL_GROUP: &str = "palisade";
/// Whoever is in this group may connect to the app's socket, and speaks as the app unless the configuration says otherwise.
pub const APP_GROUP: &str = "palisade-app";

/// What an operator may do; each includes the ones before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks, changes nothing.
    Viewer,
    /// Runs the daemon: reloads, renews, checks.
    Operator,
    /// Everything: keys, tokens, switches.
    Admin,
}

impl Role {
    /// Weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A group of calls that a token may be limited to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What runs, and readiness.
    Status,
    Config,
    Certificates,
    /// Events, history and what a request would meet.
    Live,
    Audit,
    Capabilities,
    /// Keys, tokens and second factors.
    Access,
    /// What the app reports.
    Activity,
}

impl Scope {
    /// In the order of documents and screens.
    pub const ALL: [Self; 8] = [
        Self::Status,
        Self::Config,
        Self::Certificates,
        Self::Live,
        Self::Audit,
        Self::Capabilities,
        Self::Access,
        Self::Activity,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Config => "config",
            Self::Certificates => "certificates",
            Self::Live => "live",
            Self::Audit => "audit",
            Self::Capabilities => "capabilities",
            Self::Access => "access",
            Self::Activity => "activity",
        }
    }
}
