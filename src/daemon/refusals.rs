//! Calls that were refused for who made them: told in the log, and in the audit log where they would have changed
//! something.
//!
//! Bounds: [`EACH_MINUTE`] of each a minute; what comes beyond is counted in the next that is told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::control::Daemon;
use crate::base::audit::action;
use crate::ops::api::Problem;
use crate::ops::{Asked, Caller};
use crate::telemetry::Level;

const EACH_MINUTE: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// Lets so many a minute through.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    told: u32,
    skipped: u64,
}

impl Throttle {
    /// How many were not let through before this one; `None` if it is not either.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            window.began = Some(now);
            window.told = 0;
        }
        if window.told >= EACH_MINUTE {
            window.skipped += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.skipped))
    }
}

/// One for each place where refusals are told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    log: Throttle,
    audit: Throttle,
}

impl Daemon {
    pub(super) fn tell_of_refusal(&self, caller: &Caller, asked: Asked<'_>, why: &Problem) {
        let now = self.shared.clock.now();
        let reason = why.detail.as_deref().unwrap_or(&why.title);
        if let Some(skipped) = self.refusals.log.admit(now) {
            self.shared.log.event(Level::Warn, "call_refused", |line| {
                line.text("call", asked.name)
                    .text("by", &caller.name())
                    .text("role", caller.role.word())
                    .text("why", reason)
                    .text("request_id", &caller.request_id)
                    .number("skipped", skipped);
            });
        }
        if !asked.changes {
            return;
        }
        let Some(skipped) = self.refusals.audit.admit(now) else { return };
        let intent = self.state.audit.intent(&caller.by(), action::ACCESS_REFUSED);
        let mut intent = intent.on(asked.name).after("path", asked.path).refused(reason);
        if skipped > 0 {
            intent = intent.after("skipped", i64::try_from(skipped).unwrap_or(i64::MAX));
        }
        tokio::task::block_in_place(|| self.state.audit.record(intent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_a_minute_are_told_and_the_rest_is_counted_in_the_next() {
        let throttle = Throttle::default();
        let told = |count: u32| {
            (0..count).filter_map(|_| throttle.admit(Instant::now())).collect::<Vec<u64>>()
        };
        assert_eq!(told(10), [0; 10]);
        assert_eq!(told(25), [0; 0]);
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(told(1), [0; 0]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(told(2), [26, 0]);
    }
}
