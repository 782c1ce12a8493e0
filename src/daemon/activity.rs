//! What the app reports, on its way into the audit log.
//!
//! Promises: an answer comes after the record is on disk; what is refused was not kept.
//! Bounds: [`PER_SECOND`] reports a second, [`BURST`] at once: the log is for people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ops::Caller;
use crate::ops::api::Problem;
use crate::ops::api::activity::{Activity, Recorded};
use crate::ports::Clock;
use crate::store::Store;

/// Reports that are taken in the long run.
pub(super) const PER_SECOND: u32 = 200;
/// Reports that are taken at once after a pause.
pub(super) const BURST: u32 = 1000;

/// Takes the reports of the app.
pub(super) struct Reports {
    store: Store,
    clock: Arc<dyn Clock>,
    bucket: Mutex<Bucket>,
}

impl Reports {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let bucket = Mutex::new(Bucket::full(clock.now()));
        Self { store, clock, bucket }
    }

    pub async fn take(&self, caller: &Caller, activity: Activity) -> Result<Recorded, Problem> {
        self.room()?;
        let at_ms = i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX);
        let intent = activity
            .intent(at_ms, caller.by())
            .map_err(|wrong| Problem::new(400, "Bad Request", wrong.to_string()))?;
        self.store.put_intent(intent).await.map_err(|error| {
            let detail = format!("{error}; nothing was recorded, send it again later");
            Problem::new(503, "Not recorded", detail)
        })?;
        Ok(Recorded { request_id: caller.request_id.clone() })
    }

    fn room(&self) -> Result<(), Problem> {
        let now = self.clock.now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(now).map_err(|wait| {
            let detail = format!(
                "more than {PER_SECOND} reports a second; the next one is taken in {} ms",
                wait.as_millis().max(1)
            );
            Problem::new(429, "Too Many Requests", detail)
        })
    }
}

/// A token bucket, told by the moment at which it is full again.
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    const fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token; the time until there is one, if there is none.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let token = Duration::from_secs(1) / PER_SECOND;
        let full_at = self.full_at.max(now) + token;
        let lacking = full_at.saturating_duration_since(now);
        match lacking.checked_sub(token * BURST).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                self.full_at = full_at;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Role;
    use crate::base::audit::{Actor, Fact, Outcome};
    use crate::ops::Door;
    use crate::ports::fake::FakeClock;
    use crate::telemetry::Log;

    const NOW: Duration = Duration::from_secs(1_795_292_266);

    struct Bench {
        dir: tempfile::TempDir,
        clock: Arc<FakeClock>,
        store: Store,
        reports: Reports,
    }

    fn bench() -> Bench {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(FakeClock::at(NOW));
        let (log, _) = Log::open(Some(&dir.path().join("log")), clock.clone()).expect("a log");
        let store = Store::open(&dir.path().join("state"), clock.clone(), log).expect("a state");
        let reports = Reports::new(store.clone(), clock.clone());
        Bench { dir, clock, store, reports }
    }

    fn app() -> Caller {
        Caller {
            actor: Actor::App { uid: 33, user: Some("www-data".into()) },
            door: Door::App,
            role: Role::Viewer,
            scopes: Vec::new(),
            request_id: "019-id".into(),
            confirmed: None,
        }
    }

    fn refund() -> Activity {
        let body = r#"{"action": "order.refund", "subject": "order 7", "user": "ada", "after": {"cents": 1200}}"#;
        Activity::read(body.as_bytes()).expect("an activity")
    }

    #[tokio::test]
    async fn a_report_is_on_disk_when_it_is_answered_and_says_who_spoke() {
        let bench = bench();
        let answer = bench.reports.take(&app(), refund()).await.expect("recorded");
        assert_eq!(answer.request_id, "019-id");
        let intents = bench.store.intents(10).expect("read");
        let [(1, intent)] = &intents[..] else { panic!("{intents:?}") };
        assert_eq!((intent.action.as_str(), intent.outcome), ("app.order.refund", Outcome::Done));
        assert_eq!(intent.by, app().by());
        assert_eq!(intent.after["user"], Fact::from("ada"));
        assert_eq!(intent.at_ms, 1_795_292_266_000);
    }

    #[tokio::test]
    async fn a_report_that_cannot_be_written_is_refused_and_not_kept() {
        let bench = bench();
        let file = bench.dir.path().join("state/core.redb");
        std::fs::rename(&file, bench.dir.path().join("away")).expect("moved");
        let problem = bench.reports.take(&app(), refund()).await.expect_err("refused");
        assert_eq!(problem.status, 503);
        assert!(problem.detail.expect("words").contains("nothing was recorded"));
        assert_eq!(bench.store.intents(10).expect("read"), []);
    }

    #[tokio::test]
    async fn a_flood_is_told_when_to_come_back() {
        let bench = bench();
        for _ in 0..BURST {
            bench.reports.room().expect("room");
        }
        let problem = bench.reports.take(&app(), refund()).await.expect_err("a flood");
        assert_eq!(problem.status, 429);
        assert!(problem.detail.expect("words").ends_with("is taken in 5 ms"));
        assert_eq!(bench.store.intents(10).expect("read"), [], "nothing was written");
        bench.clock.advance(Duration::from_secs(1));
        let taken = (0..BURST).filter(|_| bench.reports.room().is_ok()).count();
        assert_eq!(taken, PER_SECOND as usize);
        bench.clock.advance(Duration::from_secs(3600));
        let taken = (0..2 * BURST).filter(|_| bench.reports.room().is_ok()).count();
        assert_eq!(taken, BURST as usize, "a pause saves up no more than a burst");
    }
}
