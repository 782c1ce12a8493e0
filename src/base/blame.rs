//! Whose fault an error is, and whether trying again can help. Both are total: every error answers.

use http::StatusCode;

/// Who caused it; chooses the class of the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request itself: 4xx.
    Client,
    /// The app behind palisade: 502 or 504.
    Upstream,
    /// palisade: 500 or 503.
    Us,
}

impl Blame {
    /// The word in log lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Us => "palisade",
        }
    }

    /// Blame that a status code expresses.
    #[must_use]
    pub fn of(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            400..=499 => Some(Self::Client),
            502 | 504 => Some(Self::Upstream),
            500..=599 => Some(Self::Us),
            _ => None,
        }
    }
}

/// Whether the same request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// At once, on another connection: nothing reached the upstream.
    Now,
    /// After a pause.
    Later,
    /// It would fail the same way, or might be done twice.
    Never,
}
