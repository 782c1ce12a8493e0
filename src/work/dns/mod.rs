//! Keeps the addresses of upstreams that have names: asked for when their time is over, whoever uses them meanwhile.
//!
//! Promises: each name is asked for once at a time, however many upstreams it has; no request waits for DNS except for
//! the first answer; the last addresses are used on while DNS is silent, and dropped when DNS says that they are gone.
//! Bounds: [`AT_ONCE`] questions at a time, each with a deadline.

mod core;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::core::{Memory, Word};
use crate::ports::names::Name;
use crate::ports::{Clock, Resolved, Resolver, Unresolved};
use crate::telemetry::events::Hub;
use crate::telemetry::{Level, Log};

/// Questions at a time.
const AT_ONCE: usize = 16;
/// For one question, with every server and every try.
const ANSWER: Duration = Duration::from_secs(15);
/// When there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);

/// What it is made of.
pub struct Parts {
    pub resolver: Arc<dyn Resolver>,
    pub clock: Arc<dyn Clock>,
    pub log: Log,
    pub events: Arc<Hub>,
}

/// The names of all upstreams.
pub struct Names {
    parts: Parts,
    entries: Mutex<HashMap<String, Entry>>,
    nudge: Notify,
    failures: AtomicU64,
}

struct Entry {
    memory: Memory,
    /// Those who are told.
    names: Vec<Arc<Name>>,
    /// `None` while it is being asked for.
    due: Option<Instant>,
    /// The answer that is awaited will be one of servers that are not asked any more.
    outdated: bool,
}

type Answer = (String, Result<Resolved, Unresolved>);

impl Names {
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            entries: Mutex::default(),
            nudge: Notify::new(),
            failures: AtomicU64::new(0),
        })
    }

    /// Takes the names of a new configuration. What is known of the ones that stay is told to those who are new; with
    /// `ask_anew` other servers may know better.
    pub fn configure(&self, names: impl Iterator<Item = Arc<Name>>, ask_anew: bool) {
        let now = self.parts.clock.now();
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for name in names {
            let entry = entries.entry(name.host().to_owned()).or_insert_with(|| {
                let new = || Entry {
                    memory: Memory::default(),
                    names: Vec::new(),
                    due: Some(now),
                    outdated: false,
                };
                let mut kept = before.remove(name.host()).unwrap_or_else(new);
                kept.names.clear();
                if ask_anew {
                    kept.outdated = kept.due.is_none();
                    kept.due = kept.due.map(|_| now);
                }
                kept
            });
            if let (Some(good), false) = (&entry.memory.good, name.is_known()) {
                name.tell(Ok(Arc::clone(good)));
            }
            entry.names.push(name);
        }
        drop(entries);
        self.nudge.notify_one();
    }

    /// Questions that brought no address since start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Asks until `stop`.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // A life that was cut short may have left questions open.
        self.ask_open(Duration::ZERO);
        let mut asking: JoinSet<Answer> = JoinSet::new();
        loop {
            let wait = self.ask_what_is_due(&mut asking);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.nudge.notified() => {}
                Some(answer) = asking.join_next(), if !asking.is_empty() => match answer {
                    Ok((host, answer)) => self.take(&host, answer),
                    // A defect; no name may stay without an answer for ever.
                    Err(_) => self.ask_open(core::RETRY_MAX),
                },
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Whatever waits for an answer is asked for again: the one who waited may be gone.
    fn ask_open(&self, after: Duration) {
        let at = self.parts.clock.now() + after;
        self.entries().values_mut().for_each(|entry| entry.due = entry.due.or(Some(at)));
    }

    /// Starts questions as far as there is room, those that have waited longest first, and says how long there will be
    /// nothing more to ask.
    fn ask_what_is_due(&self, asking: &mut JoinSet<Answer>) -> Duration {
        let now = self.parts.clock.now();
        let mut entries = self.entries();
        let waiting = entries.iter().filter_map(|(host, entry)| Some((entry.due?, host)));
        let (mut due, later): (Vec<_>, Vec<_>) = waiting.partition(|(at, _)| *at <= now);
        // Whatever waits for a place has its turn after the next answer.
        let wait = later.iter().map(|(at, _)| *at - now).min().unwrap_or(IDLE);
        due.sort_by_key(|(at, _)| *at);
        let room = AT_ONCE.saturating_sub(asking.len());
        let due: Vec<String> = due.into_iter().take(room).map(|(_, host)| host.clone()).collect();
        for host in due {
            if let Some(entry) = entries.get_mut(&host) {
                entry.due = None;
            }
            asking.spawn(ask(Arc::clone(&self.parts.resolver), host));
        }
        wait
    }

    fn take(&self, host: &str, answer: Result<Resolved, Unresolved>) {
        if answer.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let word = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(host) else { return };
            if std::mem::take(&mut entry.outdated) {
                entry.due = Some(self.parts.clock.now());
                return;
            }
            let outcome = entry.memory.take(answer);
            entry.due = Some(self.parts.clock.now() + outcome.again_in);
            entry.names.iter().for_each(|name| name.tell(outcome.known.clone()));
            outcome.word
        };
        self.say(host, word);
    }

    fn say(&self, host: &str, word: Word) {
        let (log, events) = (&self.parts.log, &self.parts.events);
        let subject = || Some(host.to_owned());
        match word {
            Word::None => {}
            Word::Failed { why, used_on } => {
                let why = why.to_string();
                let next = if used_on.is_empty() {
                    "put the name right in DNS or in `upstream`; `dns.servers` says who is asked"
                } else {
                    "look after the DNS servers (`dns.servers`, or /etc/resolv.conf)"
                };
                let level = if used_on.is_empty() { Level::Error } else { Level::Warn };
                log.event(level, "name_unresolved", |line| {
                    line.text("name", host).text("why", &why);
                    line.list("used_on", texts(&used_on).iter().map(String::as_str));
                    line.text("next", next);
                });
                events.changed("name_unresolved", subject(), why);
            }
            Word::Back(addresses) => {
                let addresses = texts(&addresses);
                log.event(Level::Info, "name_resolved", |line| {
                    line.text("name", host);
                    line.list("addresses", addresses.iter().map(String::as_str));
                });
                events.changed("name_resolved", subject(), addresses.join(" "));
            }
            Word::Moved { from, to } => {
                let (from, to) = (texts(&from), texts(&to));
                log.event(Level::Info, "name_moved", |line| {
                    line.text("name", host);
                    line.list("from", from.iter().map(String::as_str));
                    line.list("addresses", to.iter().map(String::as_str));
                });
                events.changed("name_moved", subject(), to.join(" "));
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(resolver: Arc<dyn Resolver>, host: String) -> Answer {
    let answer = tokio::time::timeout(ANSWER, resolver.resolve(&host)).await;
    let late = || Unresolved::NoAnswer("no DNS server answered in time".into());
    let answer = answer.unwrap_or_else(|_| Err(late()));
    (host, answer)
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
