//! The guards an operator can switch as a whole, and the three positions of the switch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of guards with one switch in `[capability]` and one emergency flag in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    SecurityHeaders,
    RateLimit,
    WebhookVerify,
    AbuseGuards,
    Queue,
}

impl Capability {
    /// Every capability, in the order in which documents and screens list them.
    pub const ALL: [Self; 5] = [
        Self::SecurityHeaders,
        Self::RateLimit,
        Self::WebhookVerify,
        Self::AbuseGuards,
        Self::Queue,
    ];

    /// The key in `[capability]`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::SecurityHeaders => "security_headers",
            Self::RateLimit => "rate_limit",
            Self::WebhookVerify => "webhook_verify",
            Self::AbuseGuards => "abuse_guards",
            Self::Queue => "queue",
        }
    }

    /// The emergency flag: `false` in the environment switches the capability off, whatever the file says.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::SecurityHeaders => "SECURITY_HEADERS_ENABLED",
            Self::RateLimit => "RATELIMIT_ENABLED",
            Self::WebhookVerify => "WEBHOOK_VERIFY_ALL",
            Self::AbuseGuards => "ABUSE_GUARDS_ENABLED",
            Self::Queue => "NEW_QUEUE_ENABLED",
        }
    }

    /// What the switch belongs to, in words.
    #[must_use]
    pub const fn guards(self) -> &'static str {
        match self {
            Self::SecurityHeaders => "security headers on every response",
            Self::RateLimit => "rate limits",
            Self::WebhookVerify => "the verification of webhooks",
            Self::AbuseGuards => "guards against abuse",
            Self::Queue => "the queue",
        }
    }

    /// The capability with this key.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.key() == key)
    }

    /// Whether this version has guards that obey the switch.
    #[must_use]
    pub const fn is_available(self) -> bool {
        matches!(self, Self::SecurityHeaders)
    }

    /// Position in [`Capability::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What a capability does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing is looked at.
    Off,
    /// Findings are counted and logged; nothing is changed or refused.
    Observe,
    /// Findings are acted upon.
    #[default]
    Enforce,
}

impl Mode {
    /// Every mode, weakest first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Observe, Self::Enforce];

    /// The word in configuration files and on screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// What somebody has set while palisade runs, for one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub mode: Mode,
    /// Whoever it was, in the words of screens.
    pub set_by: String,
    /// Unix seconds
    pub set_at_s: i64,
    /// From then on the configuration counts again; Unix seconds.
    pub until_s: Option<i64>,
}

impl Override {
    /// Whether its time is over.
    #[must_use]
    pub fn has_lapsed(&self, now_s: i64) -> bool {
        self.until_s.is_some_and(|until_s| until_s <= now_s)
    }
}

impl std::fmt::Display for Override {
    /// `set by alice until 2026-11-21T20:17:46Z`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "set by {}", self.set_by)?;
        match self.until_s {
            Some(until_s) => write!(f, " until {}", super::timestamp::rfc3339(until_s)),
            None => Ok(()),
        }
    }
}
