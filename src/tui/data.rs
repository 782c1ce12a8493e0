//! What the daemon has told so far. Bounds: the last 1,000 requests and the last 50 changes.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::ops::api::live::{self, History, Point, RequestSeen, StateChange};
use crate::ops::api::{Level, Status};

const REQUESTS_MAX: usize = 1_000;
const CHANGES_MAX: usize = 50;

/// What one view fetches for itself; only that view knows its type.
pub type Document = Arc<dyn Any + Send + Sync>;

/// What the daemon's clock said, in Unix milliseconds, and when that was by this dashboard's own.
#[derive(Debug, Clone, Copy)]
struct Told {
    unix_ms: i64,
    at_ms: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Data {
    pub status: Option<Arc<Status>>,
    pub history: Option<Arc<History>>,
    /// Newest first.
    pub requests: VecDeque<Arc<RequestSeen>>,
    /// Newest first.
    pub changes: VecDeque<StateChange>,
    /// One of so many requests is shown; 1 is all of them.
    pub one_in: u32,
    /// Events that this dashboard was too slow for.
    pub missed: u64,
    /// Why there is no live tail.
    pub tail_fault: Option<String>,
    /// Whether the tail has begun.
    pub tailing: bool,
    /// The daemon's clock at its last answer, Unix seconds.
    pub clock_s: Option<i64>,
    told: Option<Told>,
    documents: BTreeMap<&'static str, Document>,
}

impl Data {
    pub fn store(&mut self, view: &'static str, document: Document) {
        self.documents.insert(view, document);
    }

    /// What the view has fetched, once it has.
    #[must_use]
    pub fn document<T: Any>(&self, view: &'static str) -> Option<&T> {
        self.kept(view)?.downcast_ref()
    }

    #[must_use]
    pub fn kept(&self, view: &'static str) -> Option<&(dyn Any + Send + Sync)> {
        self.documents.get(view).map(AsRef::as_ref)
    }

    pub fn live(&mut self, event: live::Event, at_ms: u64) {
        match event {
            live::Event::Hello { now_ms, .. } => {
                (self.tailing, self.tail_fault) = (true, None);
                self.one_in = 1;
                self.tells_time(now_ms, at_ms);
            }
            live::Event::Alive { now_ms } => self.tells_time(now_ms, at_ms),
            live::Event::Request(request) => {
                self.tailing = true;
                self.requests.push_front(Arc::from(request));
                self.requests.truncate(REQUESTS_MAX);
            }
            live::Event::State(change) => {
                self.changes.push_front(change);
                self.changes.truncate(CHANGES_MAX);
            }
            live::Event::Dropped { count } => self.missed = self.missed.saturating_add(count),
            live::Event::Sampling { one_in } => self.one_in = one_in.max(1),
            live::Event::Log(_) => {}
        }
    }

    /// The daemon has said what time it is: its clock may have been set back.
    fn tells_time(&mut self, unix_ms: i64, at_ms: u64) {
        self.told = Some(Told { unix_ms, at_ms });
        self.clock_s = Some(unix_ms.div_euclid(1_000));
    }

    /// It has answered: as much later as it is here since it said the time. One that is silent has a clock that stands.
    pub fn answers(&mut self, at_ms: u64) {
        let Some(told) = self.told else { return };
        let passed = i64::try_from(at_ms.saturating_sub(told.at_ms)).unwrap_or(0);
        let now_s = told.unix_ms.saturating_add(passed).div_euclid(1_000);
        self.clock_s = self.clock_s.max(Some(now_s));
    }

    /// It was at least this time: a history ends with the last point that is whole, up to a minute ago.
    pub fn was(&mut self, unix_s: i64, at_ms: u64) {
        if self.clock_s.is_none_or(|known| known < unix_s) {
            self.tells_time(unix_s.saturating_mul(1_000), at_ms);
        }
    }

    /// The last points of the history that cover so many seconds.
    #[must_use]
    pub fn recent(&self, seconds: u32) -> (&[Point], u32) {
        let Some(history) = &self.history else { return (&[], 0) };
        let each = history.resolution_s.max(1);
        let count = usize::try_from(seconds.div_ceil(each)).unwrap_or(1).min(history.points.len());
        let (_, recent) = history.points.split_at(history.points.len() - count);
        (recent, each * u32::try_from(count).unwrap_or(0))
    }

    /// What needs attention, most urgent first.
    #[must_use]
    pub fn attention(&self) -> Vec<(Level, String)> {
        let Some(status) = &self.status else { return Vec::new() };
        let mut found: Vec<(Level, String)> =
            status.attention.iter().map(|found| (found.level, found.message.clone())).collect();
        if let Some(error) = &status.reload.last_error {
            let text = format!(
                "the last reload was refused, the configuration before it is in force:\n{error}"
            );
            found.push((Level::Warn, text));
        }
        found
    }
}
