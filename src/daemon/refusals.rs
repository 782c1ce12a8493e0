//! Calls that were refused for who made them: told in the log, and in the audit log where they would have changed
//! something.
//!
//! Bounds: [`EACH_MINUTE`] of each caller a minute and [`ALL_EACH_MINUTE`] of all, so that nobody's hide another's;
//! what comes beyond is counted in the caller's next that is told. [`CALLERS_MAX`] callers are told apart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::control::Daemon;
use crate::base::audit::action;
use crate::ops::api::Problem;
use crate::ops::{Asked, Caller};
use crate::telemetry::Level;

const EACH_MINUTE: u32 = 10;
const ALL_EACH_MINUTE: u32 = 100;
const CALLERS_MAX: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);

/// Lets so many a minute through.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Callers>);

#[derive(Debug, Default)]
struct Callers {
    each: HashMap<String, Window>,
    all: Window,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    told: u32,
    skipped: u64,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE)
    }

    /// Whether less than so many were told in it.
    fn has_room(&mut self, now: Instant, most: u32) -> bool {
        if self.is_over(now) {
            self.began = Some(now);
            self.told = 0;
        }
        self.told < most
    }
}

impl Throttle {
    /// How many of this caller were not let through before this one; `None` if it is not either.
    fn admit(&self, caller: &str, now: Instant) -> Option<u64> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Callers { each, all } = &mut *callers;
        if each.len() >= CALLERS_MAX && !each.contains_key(caller) {
            each.retain(|_, window| !window.is_over(now));
        }
        let room = all.has_room(now, ALL_EACH_MINUTE);
        if each.len() >= CALLERS_MAX && !each.contains_key(caller) {
            all.skipped += 1;
            return None;
        }
        let own = each.entry(caller.to_owned()).or_default();
        if !own.has_room(now, EACH_MINUTE) || !room {
            own.skipped += 1;
            return None;
        }
        own.told += 1;
        all.told += 1;
        Some(std::mem::take(&mut own.skipped) + std::mem::take(&mut all.skipped))
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
        if let Some(skipped) = self.refusals.log.admit(&caller.actor.words(), now) {
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
        let Some(skipped) = self.refusals.audit.admit(&caller.actor.words(), now) else { return };
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
            (0..count).filter_map(|_| throttle.admit("ada", Instant::now())).collect::<Vec<u64>>()
        };
        assert_eq!(told(10), [0; 10]);
        assert_eq!(told(25), [0; 0]);
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(told(1), [0; 0]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(told(2), [26, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_is_refused_again_and_again_hides_nobody_else() {
        let throttle = Throttle::default();
        let told = |who: &str| throttle.admit(who, Instant::now());
        assert_eq!((0..1000).filter_map(|_| told("ada")).count(), 10);
        assert_eq!(told("bob"), Some(0));
        let more = (0..1000).filter_map(|n| told(&n.to_string())).count();
        assert_eq!(more, 89, "a hundred in all");
        assert!(throttle.0.lock().expect("no panic").each.len() <= CALLERS_MAX);
        tokio::time::advance(MINUTE).await;
        assert_eq!(told("bob"), Some(746), "those that had no window of their own");
        assert_eq!(told("ada"), Some(990));
    }
}
