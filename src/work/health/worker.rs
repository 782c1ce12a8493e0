//! The loop that asks, counts, and says what has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::core::{self, Counter};
use super::probe::{self, Failure};
use super::task::{Entry, Key, Kind, Task};
use super::{Parts, Target, Wanted};
use crate::ports::health::Health;
use crate::ports::turns;
use crate::telemetry::Level;

/// Questions at a time.
const AT_ONCE: usize = 32;
/// The first questions of a configuration are spread over this, or over the pause of their check if that is shorter.
const FIRST: Duration = Duration::from_secs(1);
/// When there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);
const NEXT: &str =
    "look at the app; requests go to the other upstreams of its group meanwhile, if there are any";

/// The checks of all upstreams.
pub struct Checks {
    parts: Parts,
    entries: Mutex<HashMap<Key, Entry>>,
    nudge: Notify,
    numbers: AtomicU64,
    /// Checks that went well and that failed, pings that went well and that failed.
    counts: [AtomicU64; 4],
}

struct Answer {
    key: Key,
    number: u64,
    status: Result<u16, Failure>,
}

impl Checks {
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            entries: Mutex::default(),
            nudge: Notify::new(),
            numbers: AtomicU64::new(0),
            counts: Default::default(),
        })
    }

    /// Takes what a configuration wants. Of several checks of one upstream the first counts, in the order of the file.
    pub fn configure(&self, wanted: Vec<Wanted>) {
        let now = self.parts.clock.now();
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for Wanted { target, task } in wanted {
            let key = (target.endpoint.clone(), task.kind());
            if entries.contains_key(&key) {
                continue;
            }
            let entry = match before.remove(&key) {
                Some(kept) if kept.task == task => Entry { target, ..kept },
                other => {
                    let health = other.map_or(Health::Unknown, |entry| entry.counter.health());
                    let first = core::part(FIRST.min(task.every()), self.random());
                    Entry {
                        target,
                        task,
                        counter: Counter::new(health),
                        failures: 0,
                        answered: (0, None),
                        due: Some(now + first),
                        number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    }
                }
            };
            // It may be another one under the same address, whom nobody has told yet.
            entry.target.upstream.settle(entry.counter.health());
            entries.insert(key, entry);
        }
        // Nobody asks them any more, so nobody knows.
        let gone = before.values().filter(|entry| entry.task.kind() == Kind::Check);
        gone.for_each(|entry| entry.target.upstream.settle(Health::Unknown));
        drop(entries);
        self.nudge.notify_one();
    }

    /// What was asked since start: what for, how it ended, how often.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let names = ["check_passed", "check_failed", "ping_passed", "ping_failed"];
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        names.into_iter().zip(counts).collect()
    }

    /// Asks until `stop`.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut asking: JoinSet<Answer> = JoinSet::new();
        self.ask_anew();
        loop {
            let wait = self.ask_what_is_due(&mut asking);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.nudge.notified() => {}
                Some(answer) = asking.join_next(), if !asking.is_empty() => match answer {
                    Ok(answer) => self.take(answer),
                    // A defect; none of them may stay without an answer for ever.
                    Err(_) => self.ask_anew(),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whatever waits for an answer is asked again: the one who waited may be gone.
    fn ask_anew(&self) {
        let now = self.parts.clock.now();
        for entry in self.entries().values_mut().filter(|entry| entry.due.is_none()) {
            entry.due = Some(now + entry.task.every());
        }
    }

    /// Starts questions as far as there is room, those that have waited longest first, and says how long there will be
    /// nothing more to ask.
    fn ask_what_is_due(&self, asking: &mut JoinSet<Answer>) -> Duration {
        let now = self.parts.clock.now();
        let mut entries = self.entries();
        entries.values_mut().for_each(|entry| entry.put_off(now));
        let waiting = entries.iter().filter_map(|(key, entry)| Some((entry.due?, key)));
        let room = AT_ONCE.saturating_sub(asking.len());
        let (due, wait) = turns::due(waiting, now, room, IDLE);
        for key in due {
            let Some(entry) = entries.get_mut(&key) else { continue };
            entry.due = None;
            let (target, question) = (entry.target.clone(), entry.task.question());
            let (dial, number) = (Arc::clone(&self.parts.dial), entry.number);
            asking.spawn(async move {
                let status = probe::ask(&*dial, &target, &question).await;
                Answer { key, number, status }
            });
        }
        wait
    }

    fn take(&self, Answer { key, number, status }: Answer) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(&key).filter(|entry| entry.number == number) else {
            return;
        };
        let fault = entry.task.fault(status);
        let failed = u32::from(fault.is_some());
        entry.failures = if fault.is_some() { entry.failures.saturating_add(1) } else { 0 };
        let now = self.parts.clock.now();
        let pause = match &entry.task {
            Task::Check { check, .. } => core::spread(check.every, self.random()),
            Task::Awake { awake, .. } if entry.failures == 0 => awake.every / core::LOOKS,
            Task::Awake { awake, .. } => core::next_ping(entry.failures, awake.every),
        };
        entry.due = Some(now + pause);
        entry.answered = (entry.target.upstream.answered(), Some(now));
        let (rise, fall) = match &entry.task {
            Task::Check { check, .. } => (check.rise, check.fall),
            Task::Awake { .. } => (1, 1),
        };
        let before = entry.counter.health();
        let changed = entry.counter.take(fault.is_none(), rise, fall);
        let (target, failures) = (entry.target.clone(), entry.failures);
        if let (Some(health), Kind::Check) = (changed, key.1) {
            if let Some(why) = &fault {
                target.upstream.note_down(self.parts.clock.unix(), why);
            }
            target.upstream.settle(health);
        }
        drop(entries);
        let at = if key.1 == Kind::Check { 0 } else { 2 } + failed as usize;
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        match (changed, key.1) {
            (None, _) => {}
            (Some(_), Kind::Check) => self.say(&target, fault, failures),
            // That an app is awake is what everybody expects.
            (Some(Health::Up), Kind::Awake) if before == Health::Unknown => {}
            (Some(_), Kind::Awake) => self.say_ping(&target, fault),
        }
    }

    fn say(&self, target: &Target, fault: Option<String>, failures: u32) {
        let upstream = target.endpoint.to_string();
        let (log, site) = (&self.parts.log, &target.site);
        let (what, text) = match &fault {
            Some(why) => {
                log.event(Level::Error, "upstream_down", |line| {
                    line.text("upstream", &upstream).text("site", site).text("why", why);
                    line.number("failures", u64::from(failures)).text("next", NEXT);
                });
                ("upstream_down", format!("{upstream}: {why}"))
            }
            None => {
                log.event(Level::Info, "upstream_up", |line| {
                    line.text("upstream", &upstream).text("site", site);
                });
                ("upstream_up", upstream)
            }
        };
        self.parts.events.changed(what, Some(site.clone()), text);
    }

    fn say_ping(&self, target: &Target, fault: Option<String>) {
        let upstream = target.endpoint.to_string();
        let (log, site) = (&self.parts.log, &target.site);
        match fault {
            Some(why) => log.event(Level::Warn, "keep_awake_failed", |line| {
                line.text("upstream", &upstream).text("site", site).text("why", &why);
                line.text("next", "look at the app and at `keep_awake`; it is tried again soon");
            }),
            None => log.event(Level::Info, "keep_awake_works", |line| {
                line.text("upstream", &upstream).text("site", site);
            }),
        }
    }

    fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        // Without randomness they start together, which is no harm to speak of.
        let _ = self.parts.entropy.fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
