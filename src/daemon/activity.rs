//! What the app reports, on its way into the audit log.
//!
//! Promises: an answer comes after the record is on disk; what is refused was not kept.
//! Bounds: [`PER_SECOND`] reports a second, [`BURST`] at once, and [`BYTES_PER_SECOND`], [`BURST_BYTES`] at once: the log
//! is for people, and the disk is not the app's alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ops::Caller;
use crate::ops::api::Problem;
use crate::ops::api::activity::{Activity, Recorded};
use crate::ports::Clock;
use crate::store::Store;

/// Reports that are taken in the long run.
pub(super) const PER_SECOND: u64 = 200;
/// Reports that are taken at once after a pause.
pub(super) const BURST: u64 = 1000;
/// Of records that reports become, as JSON, in the long run.
const BYTES_PER_SECOND: u64 = 1 << 20;
/// The same at once after a pause.
const BURST_BYTES: u64 = 8 * BYTES_PER_SECOND;

/// Takes the reports of the app.
pub(super) struct Reports {
    store: Store,
    clock: Arc<dyn Clock>,
    buckets: Mutex<Buckets>,
}

impl Reports {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        let buckets = Mutex::new(Buckets::full(clock.now()));
        Self { store, clock, buckets }
    }

    pub async fn take(&self, caller: &Caller, activity: Activity) -> Result<Recorded, Problem> {
        let at_ms = i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX);
        let intent = activity
            .intent(at_ms, caller.by())
            .map_err(|wrong| Problem::new(400, "Bad Request", wrong.to_string()))?;
        let intent = intent.fitting().into_owned();
        self.room(intent.json_bytes())?;
        self.store.put_intent(intent).await.map_err(|error| {
            let detail = format!("{error}; nothing was recorded, send it again later");
            Problem::new(503, "Not recorded", detail)
        })?;
        Ok(Recorded { request_id: caller.request_id.clone() })
    }

    fn room(&self, bytes: usize) -> Result<(), Problem> {
        let now = self.clock.now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(now, bytes).map_err(|wait| {
            let detail = format!(
                "more than {PER_SECOND} reports or {} MiB a second; the next one is taken in {} ms",
                BYTES_PER_SECOND >> 20,
                wait.as_millis().max(1)
            );
            Problem::new(429, "Too Many Requests", detail)
        })
    }
}

/// Of reports, and of their bytes. A report takes from both or from none.
struct Buckets {
    reports: Bucket,
    bytes: Bucket,
}

impl Buckets {
    const fn full(now: Instant) -> Self {
        Self {
            reports: Bucket { full_at: now, burst: time_of(BURST, PER_SECOND) },
            bytes: Bucket { full_at: now, burst: time_of(BURST_BYTES, BYTES_PER_SECOND) },
        }
    }

    /// Takes a report of so many bytes; the time until it can, if it cannot now.
    fn take(&mut self, now: Instant, bytes: usize) -> Result<(), Duration> {
        let report = self.reports.after(now, time_of(1, PER_SECOND));
        let bytes = self.bytes.after(now, time_of(bytes as u64, BYTES_PER_SECOND));
        match (report, bytes) {
            (Ok(report), Ok(bytes)) => {
                self.reports.full_at = report;
                self.bytes.full_at = bytes;
                Ok(())
            }
            (report, bytes) => Err(report.err().max(bytes.err()).unwrap_or_default()),
        }
    }
}

/// The time in which so many come, where there are so many a second.
const fn time_of(count: u64, per_second: u64) -> Duration {
    Duration::from_nanos(count * 1_000_000_000 / per_second)
}

/// A token bucket, told by the moment at which it is full again.
struct Bucket {
    full_at: Instant,
    burst: Duration,
}

impl Bucket {
    /// When it is full again after this is taken; the time until there is as much, if there is not.
    fn after(&self, now: Instant, taken: Duration) -> Result<Instant, Duration> {
        let full_at = self.full_at.max(now) + taken;
        let lacking = full_at.saturating_duration_since(now);
        match lacking.checked_sub(self.burst).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => Ok(full_at),
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
            bench.reports.room(300).expect("room");
        }
        let problem = bench.reports.take(&app(), refund()).await.expect_err("a flood");
        assert_eq!(problem.status, 429);
        assert!(problem.detail.expect("words").ends_with("is taken in 5 ms"));
        assert_eq!(bench.store.intents(10).expect("read"), [], "nothing was written");
        bench.clock.advance(Duration::from_secs(1));
        let taken = (0..BURST).filter(|_| bench.reports.room(300).is_ok()).count();
        assert_eq!(taken as u64, PER_SECOND);
        bench.clock.advance(Duration::from_secs(3600));
        let taken = (0..2 * BURST).filter(|_| bench.reports.room(300).is_ok()).count();
        assert_eq!(taken as u64, BURST, "a pause saves up no more than a burst");
    }

    #[tokio::test]
    async fn large_reports_are_taken_by_their_bytes() {
        let bench = bench();
        let room = || bench.reports.room(200 << 10).is_ok();
        assert_eq!((0..100).filter(|_| room()).count(), 40, "8 MiB");
        bench.reports.room(192 << 10).expect("the rest of them");
        let lines = vec!["\u{1}".repeat(1024); 100];
        let large = Activity { after: [("x".into(), Fact::from(&lines[..]))].into(), ..refund() };
        let problem = bench.reports.take(&app(), large).await.expect_err("a flood");
        assert_eq!(problem.status, 429);
        assert_eq!(bench.store.intents(10).expect("read"), [], "nothing was written");
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!((0..100).filter(|_| room()).count(), 5, "1 MiB a second");
    }
}
