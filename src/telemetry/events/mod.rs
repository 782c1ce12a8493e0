//! What happens, for whoever watches: requests as they end, lines of the log, changes of state.
//!
//! Promises: one atomic load for a request while nobody watches; a worker never waits for a watcher; what does not
//! fit is dropped, oldest first, and the watcher is told how much. Filters and sampling are decided on the worker,
//! before anything is copied.
//! Refuses: more than [`SUBSCRIBERS_MAX`] subscribers, and texts longer than [`TEXT_BYTES_MAX`], which are cut.
//! Bounds: [`hub::LANE_MAX`] requests per worker and [`hub::SIDE_MAX`] other events between two looks, which are 100 ms
//! apart; [`subscription::BUFFER_MAX`] events per subscriber; about 500 requests a second shown to each.

pub mod hub;
mod sampling;
pub mod subscription;

use std::borrow::Cow;
use std::time::Duration;

use super::access::Entry;
pub use hub::{Hub, Refused};
pub use subscription::{Item, Subscription, Taken};

/// Subscribers at a time.
pub const SUBSCRIBERS_MAX: usize = 16;
/// Paths, reasons and notes are cut here.
pub const TEXT_BYTES_MAX: usize = 1024;

/// One request, when it has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub id: String,
    /// When it arrived, since 1970.
    pub at: Duration,
    pub site: Option<String>,
    pub route: Option<String>,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub protocol: &'static str,
    pub status: u16,
    pub duration_us: u64,
    pub response_bytes: u64,
    pub client_ip: String,
    pub upstream: Option<String>,
    pub upstream_us: Option<u64>,
    pub denied: Option<String>,
    pub why: Option<String>,
    pub aborted: Option<String>,
    pub steps: Vec<Step>,
}

/// One step of a request's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    pub outcome: Outcome,
    /// What it found, for people.
    pub note: Cow<'static, str>,
}

/// What a step did with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Refused,
    Answered,
    Skipped,
}

impl Outcome {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Skipped => "skipped",
        }
    }
}

/// Something about the daemon changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// When, since 1970.
    pub at: Duration,
    pub what: &'static str,
    pub subject: Option<String>,
    pub text: String,
}

/// What one subscriber wants to see. Everything below `kinds` is about requests and must hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub kinds: Kinds,
    pub site: Option<String>,
    pub route: Option<String>,
    /// As the log writes the address.
    pub ip: Option<String>,
    pub status: Option<StatusWanted>,
    pub path_prefix: Option<String>,
    pub denied: Option<String>,
    pub slower_us: Option<u64>,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    pub requests: bool,
    pub log: bool,
    pub state: bool,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { requests: true, log: true, state: true }
    }
}

/// `404`, or `4xx` as `Class(4)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusWanted {
    Exactly(u16),
    Class(u16),
}

impl Wanted {
    /// Whether a request is to be shown.
    #[must_use]
    pub fn takes(&self, entry: &Entry<'_>) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.kinds.requests
            && self.status.is_none_or(|wanted| match wanted {
                StatusWanted::Exactly(status) => entry.status_code == status,
                StatusWanted::Class(class) => entry.status_code / 100 == class,
            })
            && self.slower_us.is_none_or(|limit| entry.latency_us > limit)
            && is(&self.site, entry.site)
            && is(&self.route, entry.route)
            && is(&self.ip, Some(entry.client_ip))
            && is(&self.denied, entry.denied)
            && self.path_prefix.as_ref().is_none_or(|prefix| entry.path.starts_with(&**prefix))
    }
}

impl Seen {
    /// The record of a request that ended as `entry` says.
    #[must_use]
    pub fn new(entry: &Entry<'_>, steps: Vec<Step>) -> Self {
        let short = |text: Option<&str>| text.map(cut);
        Self {
            id: String::from_utf8_lossy(entry.request_id).into_owned(),
            at: entry.unix.saturating_sub(Duration::from_micros(entry.latency_us)),
            site: short(entry.site),
            route: short(entry.route),
            method: cut(entry.method),
            path: cut(entry.path),
            protocol: entry.protocol,
            status: entry.status_code,
            duration_us: entry.latency_us,
            response_bytes: entry.response_bytes,
            client_ip: cut(entry.client_ip),
            upstream: short(entry.upstream),
            upstream_us: entry.upstream_us,
            denied: short(entry.denied),
            why: short(entry.why),
            aborted: short(entry.aborted),
            steps,
        }
    }

    fn ended(&self) -> Duration {
        self.at.saturating_add(Duration::from_micros(self.duration_us))
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of a text, which then ends in `…`.
#[must_use]
pub fn cut(text: &str) -> String {
    crate::base::cut(text, TEXT_BYTES_MAX)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
