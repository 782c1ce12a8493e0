//! What is asked of one upstream, why, and how far that is.

use std::time::Duration;

use tokio::time::Instant;

use super::Target;
use super::core::{self, Counter};
use super::probe::{Failure, Question};
use crate::config::settings::{Endpoint, HealthCheck, KeepAwake};

/// What an answer is for. Two that are equal are the same task, also after a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    Check { check: HealthCheck, host: String },
    Awake { awake: KeepAwake, host: String, limit: Duration },
}

impl Task {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Check { .. } => Kind::Check,
            Self::Awake { .. } => Kind::Awake,
        }
    }

    pub const fn every(&self) -> Duration {
        match self {
            Self::Check { check, .. } => check.every,
            Self::Awake { awake, .. } => awake.every,
        }
    }

    pub fn question(&self) -> Question {
        match self {
            Self::Check { check, host } => {
                Question { path: check.path.clone(), host: host.clone(), limit: check.timeout }
            }
            Self::Awake { awake, host, limit } => {
                Question { path: awake.path.clone(), host: host.clone(), limit: *limit }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Check,
    Awake,
}

pub type Key = (Endpoint, Kind);

/// One task and how far it is.
pub struct Entry {
    pub target: Target,
    pub task: Task,
    pub counter: Counter,
    /// Failures in a row.
    pub failures: u32,
    /// What [`Checked::answered`] said last, and since when it has been quiet; only for pings.
    pub answered: (u64, Option<Instant>),
    /// `None` while it is being asked.
    pub due: Option<Instant>,
    /// Tells this task from one before it with the same key.
    pub number: u64,
}

impl Entry {
    /// An app that answers visitors stays awake without a ping: looked at [`core::LOOKS`] times in each pause.
    pub fn put_off(&mut self, now: Instant) {
        let (Task::Awake { awake, .. }, (before, Some(since))) = (&self.task, self.answered) else {
            return;
        };
        // A ping that failed is repeated, whatever visitors were told.
        if self.failures > 0 || self.due.is_none_or(|due| due > now) {
            return;
        }
        let look = awake.every / core::LOOKS;
        let answered = self.target.upstream.answered();
        // It may have been as long ago as the last look.
        let since = if answered == before { since } else { now.checked_sub(look).unwrap_or(now) };
        self.answered = (answered, Some(since));
        let until = since + awake.every;
        if now < until {
            self.due = Some(until.min(now + look));
        }
    }
}

impl Task {
    /// Why an answer is not what was hoped for.
    pub fn fault(&self, status: Result<u16, Failure>) -> Option<String> {
        let status = match status {
            Ok(status) => status,
            Err(failure) => return Some(failure.to_string()),
        };
        let good = match self {
            Self::Check { check, .. } => (check.status.0..=check.status.1).contains(&status),
            // An app that refuses is awake; a server error may come from whoever wakes it.
            Self::Awake { .. } => status < 500,
        };
        (!good).then(|| format!("answered {status}"))
    }
}
