//! What all workers together know of each upstream, and who uses it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most uses that one upstream is shown with.
pub const USES_MAX: usize = 20;

/// `GET /v1/upstreams` lists these, by name: each endpoint once, whoever uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamStatus {
    /// As the configuration names it.
    pub upstream: String,
    pub state: UpstreamState,
    /// Why it is out, in words; absent while it is not.
    pub why: Option<String>,
    /// What went wrong last, even where all is well again.
    pub last_failure: Option<UpstreamFailure>,
    /// RFC 3339, UTC: since when it is out; while it is not, when its breaker last closed. Absent where it never was out.
    pub since: Option<String>,
    /// Milliseconds until a request may find out whether it is back, where it is left alone; 0: the next one does.
    pub probe_in_ms: Option<u64>,
    /// `http/1.1` or `h2`
    pub protocol: String,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// At most 20, by site and then in the order of its routes.
    pub used_by: Vec<UpstreamUse>,
    /// How many uses there are.
    pub used_by_total: usize,
    /// Requests that it may have at once; absent for any number.
    pub requests_max: Option<u64>,
    /// Requests and open WebSockets there now.
    pub in_flight: u64,
    /// Requests that wait for a place there.
    pub waiting: u64,
    pub tallies: UpstreamTallies,
}

/// How an upstream is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// Its last word was an answer, or its health checks say so.
    Up,
    /// It has several requests and has answered none for a second; others are asked before it.
    Stalled,
    /// It has failed requests in a row and is left alone.
    Failing,
    /// The same, and a request is under way that finds out whether it is back.
    Probing,
    /// Its health checks fail.
    Down,
    /// It was not asked yet, or has failed a request and not been asked since.
    Unknown,
}

impl UpstreamState {
    /// Whether requests go elsewhere because of it.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::Failing | Self::Probing | Self::Down)
    }

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Stalled => "stalled",
            Self::Failing => "failing",
            Self::Probing => "probing",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamFailure {
    /// RFC 3339, UTC
    pub at: String,
    pub text: String,
}

/// A site or a route that sends requests to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamUse {
    pub site: String,
    /// Absent: the site itself.
    pub route: Option<String>,
    /// Its share, relative to the weights of the others there.
    pub weight: u32,
}

/// What was counted of an upstream since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamTallies {
    /// Times that it was left alone from then on.
    pub opened: u64,
    /// Requests that it failed and that another upstream was asked.
    pub retries: u64,
    /// Requests that it failed and that might have been sent again, had `retry` not been spent.
    pub spared: u64,
    /// Requests that were refused because of its `requests_max`.
    pub busy: u64,
}
