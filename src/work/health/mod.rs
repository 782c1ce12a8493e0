//! Asks upstreams regularly whether they are well, and those that would fall asleep for no other reason.
//!
//! Promises: one state per upstream, whatever names it; a reload that leaves a check as it is neither pauses it nor loses
//! its count; a change is one log line, one event. Refuses: nothing; an upstream that is down is only said to be.
//! Bounds: questions at a time (`worker`), what is read of an answer (`probe`), and how long it may take.

mod core;
mod probe;
mod task;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use self::task::Task;
pub use self::worker::Checks;
use crate::config::settings::{Endpoint, HealthCheck, KeepAwake};
use crate::ports::handshake::Handshake;
use crate::ports::health::Checked;
use crate::ports::names::Name;
use crate::ports::{Clock, Dial, Entropy};
use crate::telemetry::Log;
use crate::telemetry::events::Hub;

/// What it is made of.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub dial: Arc<dyn Dial>,
    pub log: Log,
    pub events: Arc<Hub>,
}

/// One upstream, and how it is reached.
#[derive(Clone)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The name of the site that it belongs to.
    pub site: String,
    /// Its addresses, if its host is a name that somebody has to be asked for.
    pub name: Option<Arc<Name>>,
    /// For an endpoint with TLS.
    pub tls: Option<Arc<Handshake>>,
    /// Who is told.
    pub upstream: Arc<dyn Checked>,
}

/// Something that is to be asked regularly.
pub struct Wanted {
    target: Target,
    task: Task,
}

impl Wanted {
    #[must_use]
    pub fn check(target: Target, check: HealthCheck) -> Self {
        let host = check.host.clone().unwrap_or_else(|| target.site.clone());
        Self { target, task: Task::Check { check, host } }
    }

    /// An app that wakes up may take as long for its answer as for one to a visitor: `limit`.
    #[must_use]
    pub fn awake(target: Target, awake: KeepAwake, limit: Duration) -> Self {
        let host = awake.host.clone().unwrap_or_else(|| target.site.clone());
        Self { target, task: Task::Awake { awake, host, limit } }
    }
}
