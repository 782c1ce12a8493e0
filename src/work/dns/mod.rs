//! Keeps the addresses of upstreams that have names: asked for when their time is over, whoever uses them meanwhile.
//!
//! Promises: each name is asked for once at a time, however many upstreams it has; no request waits for DNS except for
//! the first answer; the last addresses are used on while DNS is silent, and dropped when DNS says that they are gone;
//! nobody waits for servers that are asked no more.
//! Bounds: [`AT_ONCE`] questions at a time, each with a deadline.

mod core;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::Instant;

use self::core::{Memory, Word};
use crate::ports::names::Name;
use crate::ports::{Clock, Resolved, Resolver, SILENT, Unresolved, turns};
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
    /// Which sites they are upstreams of, for the log.
    sites: Vec<String>,
    /// `None` while it is being asked for.
    due: Option<Instant>,
    /// The question under way; an answer to another one counts for nothing.
    asking: Option<AbortHandle>,
}

/// A name that is asked for on behalf of a site.
pub struct Wanted {
    pub name: Arc<Name>,
    pub site: String,
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
    pub fn configure(&self, wanted: impl Iterator<Item = Wanted>, ask_anew: bool) {
        let now = self.parts.clock.now();
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for Wanted { name, site } in wanted {
            let entry = entries.entry(name.host().to_owned()).or_insert_with(|| {
                let new = || Entry {
                    memory: Memory::default(),
                    names: Vec::new(),
                    sites: Vec::new(),
                    due: Some(now),
                    asking: None,
                };
                let mut kept = before.remove(name.host()).unwrap_or_else(new);
                kept.names.clear();
                kept.sites.clear();
                if ask_anew {
                    kept.ask_anew(now);
                }
                kept
            });
            if let (Some(good), false) = (&entry.memory.good, name.is_known()) {
                name.tell(Ok(Arc::clone(good)));
            }
            if !entry.sites.contains(&site) {
                entry.sites.push(site);
            }
            if !entry.names.iter().any(|known| Arc::ptr_eq(known, &name)) {
                entry.names.push(name);
            }
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
                Some(answer) = asking.join_next_with_id(), if !asking.is_empty() => match answer {
                    Ok((id, (host, answer))) => self.take(id, &host, answer),
                    // Its servers are asked no more; the next question is due.
                    Err(ended) if ended.is_cancelled() => {}
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
        let room = AT_ONCE.saturating_sub(asking.len());
        let (due, wait) = turns::due(waiting, now, room, IDLE);
        for host in due {
            let Some(entry) = entries.get_mut(&host) else { continue };
            entry.due = None;
            entry.asking = Some(asking.spawn(ask(Arc::clone(&self.parts.resolver), host)));
        }
        wait
    }

    fn take(&self, id: Id, host: &str, answer: Result<Resolved, Unresolved>) {
        let failed = answer.is_err();
        let (word, sites) = {
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(host) else { return };
            if entry.asking.as_ref().map(AbortHandle::id) != Some(id) {
                return;
            }
            entry.asking = None;
            let outcome = entry.memory.take(answer);
            entry.due = Some(self.parts.clock.now() + outcome.again_in);
            entry.names.iter().for_each(|name| name.tell(outcome.known.clone()));
            let sites = if outcome.word == Word::None { Vec::new() } else { entry.sites.clone() };
            (outcome.word, sites)
        };
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        self.say(host, &sites, word);
    }

    fn say(&self, host: &str, sites: &[String], word: Word) {
        let (log, events) = (&self.parts.log, &self.parts.events);
        let subject = || Some(host.to_owned());
        match word {
            Word::None => {}
            Word::Failed { why, used_on } => {
                let next = why.next_step();
                let why = why.to_string();
                let servers = self.parts.resolver.servers();
                let level = if used_on.is_empty() { Level::Error } else { Level::Warn };
                log.event(level, "name_unresolved", |line| {
                    line.text("name", host).text("why", &why);
                    line.list("sites", sites.iter().map(String::as_str));
                    line.list("servers", servers.iter().map(String::as_str));
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

impl Entry {
    /// Other servers are asked from now on: whatever is awaited is awaited no longer.
    fn ask_anew(&mut self, now: Instant) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
        self.due = Some(now);
    }
}

async fn ask(resolver: Arc<dyn Resolver>, host: String) -> Answer {
    let answer = tokio::time::timeout(ANSWER, resolver.resolve(&host)).await;
    let late = || Unresolved::NoAnswer(SILENT.into());
    let answer = answer.unwrap_or_else(|_| Err(late()));
    (host, answer)
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
