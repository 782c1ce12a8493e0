//! Upstreams as all workers together see them: what is known of each, whoever has found it out.
//!
//! Promises: looking is a load of an atomic; what is known of an upstream outlives a reload that keeps it. Bounds: the
//! upstreams that the configuration names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::breaker::{State, Switch};
use super::queue::Places;
use super::secure::Secure;
use super::trust::{Trust, Trusts};
use super::visit::Lane;
use crate::config::settings::{Balance, Endpoint, Settings, Site, UpstreamAddr, Upstreams};
use crate::ports::health::{Checked, Health};
use crate::ports::names::{self, Name};

/// Without an answer for this long, with [`STALLED_REQUESTS`] waiting for one, an upstream is passed over.
const STALLED_MS: u64 = 1_000;
const STALLED_REQUESTS: u64 = 4;
/// How exactly the time of the last answer is kept: most answers find it written.
const PROGRESS_MS: u64 = 100;

/// One upstream.
#[derive(Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    /// The addresses of its host, if somebody has to be asked for them.
    pub name: Option<Arc<Name>>,
    /// `None` for connections in the clear.
    pub secure: Option<Secure>,
    health: AtomicU8,
    /// Why its checks said that it is down, the last time that they did.
    down: ArcSwapOption<LastFailure>,
    pub(super) switch: Switch,
    /// When it last answered, or got something to answer after a pause.
    progress_ms: AtomicU64,
    /// Its last word was an answer, not a failure.
    heard: AtomicBool,
    /// Somebody must know how many requests it has at any moment.
    counted: AtomicBool,
    pub(super) places: Places,
    lanes: ArcSwap<Vec<Arc<Lane>>>,
    /// When the breaker last opened or closed, milliseconds since 1970.
    changed_unix_ms: AtomicU64,
    last_failure: ArcSwapOption<LastFailure>,
    pub tally: Tally,
}

/// What is counted of one upstream, on rare occasions.
#[derive(Debug, Default)]
pub struct Tally {
    /// The breaker has opened.
    pub opened: AtomicU64,
    /// Requests that it failed and that were sent once more.
    pub retries: AtomicU64,
    /// Those that were not, because the budget was spent.
    pub spared: AtomicU64,
    /// Requests that were refused because of `requests_max`.
    pub busy: AtomicU64,
}

impl Tally {
    pub fn up(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// Since 1970.
    pub at: Duration,
    pub text: String,
}

/// What is known of an upstream at one moment, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub upstream: String,
    pub health: Health,
    /// Why, and since when, while its health checks fail.
    pub down: Option<LastFailure>,
    pub breaker: State,
    /// When the breaker last opened or closed, since 1970; `None` if never.
    pub changed: Option<Duration>,
    /// Its last word was an answer; `false` too where nothing was asked yet.
    pub heard: bool,
    /// It takes requests and answers none; others are asked before it.
    pub stalled: bool,
    pub in_flight: u64,
    /// Requests that wait for a place here.
    pub waiting: u64,
    pub last_failure: Option<LastFailure>,
    pub opened: u64,
    pub retries: u64,
    pub spared: u64,
    pub busy: u64,
}

impl Peer {
    pub fn new(endpoint: Endpoint) -> Arc<Self> {
        Self::secured(endpoint, None)
    }

    pub fn secured(endpoint: Endpoint, secure: Option<Secure>) -> Arc<Self> {
        let name = match &endpoint.addr {
            UpstreamAddr::Tcp { host, .. } if names::literal(host).is_none() => {
                Some(Name::new(host))
            }
            UpstreamAddr::Tcp { .. } | UpstreamAddr::Unix(_) => None,
        };
        Arc::new(Self {
            endpoint,
            name,
            secure,
            health: AtomicU8::new(Health::Unknown as u8),
            down: ArcSwapOption::default(),
            switch: Switch::default(),
            progress_ms: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            places: Places::default(),
            lanes: ArcSwap::default(),
            changed_unix_ms: AtomicU64::new(0),
            last_failure: ArcSwapOption::default(),
            tally: Tally::default(),
        })
    }

    /// Whether this is who is believed about it.
    fn believes(&self, trust: Option<&Arc<Trust>>) -> bool {
        match (&self.secure, trust) {
            (Some(secure), Some(trust)) => secure.believes(trust),
            (None, None) => true,
            _ => false,
        }
    }

    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            up if up == Health::Up as u8 => Health::Up,
            down if down == Health::Down as u8 => Health::Down,
            _ => Health::Unknown,
        }
    }

    /// Whether one more request gets a place at once.
    pub fn has_room(&self, max: Option<usize>) -> bool {
        max.is_none_or(|max| self.places.has_room(max))
    }

    /// What the breaker says.
    pub fn breaker(&self) -> State {
        self.switch.state()
    }

    /// A place for the counts of one worker.
    pub(super) fn lane(&self) -> Arc<Lane> {
        let lane = Arc::<Lane>::default();
        self.lanes.rcu(|lanes| {
            let mut lanes = Vec::clone(lanes);
            lanes.push(Arc::clone(&lane));
            lanes
        });
        lane
    }

    /// Takes a place, where places are counted. `None` if there is none, else whether one must be given back.
    pub fn enter(&self, max: Option<usize>) -> Option<bool> {
        let counted = max.is_some() || self.counted.load(Ordering::Relaxed);
        (!counted || self.places.enter(max)).then_some(counted)
    }

    /// It has answered.
    pub(super) fn progressed(&self, now_ms: u64) {
        if now_ms >= self.progress_ms.load(Ordering::Relaxed).saturating_add(PROGRESS_MS) {
            self.progress_ms.store(now_ms, Ordering::Relaxed);
        }
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
    }

    /// It gets a request: if it had none before, the time for an answer begins.
    pub(super) fn asked(&self, now_ms: u64) {
        if self.is_late(now_ms, STALLED_MS / 2) && self.unanswered() == 0 {
            self.progress_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// It takes requests and answers none of them.
    pub(super) fn is_stalled(&self, now_ms: u64) -> bool {
        self.is_late(now_ms, STALLED_MS) && self.unanswered() >= STALLED_REQUESTS
    }

    /// Somebody has had an answer after that moment. What [`Self::asked`] writes down does not count: a request that has
    /// waited since then was under way, so nobody was the first to ask.
    pub fn answered_since(&self, since_ms: u64) -> bool {
        self.progress_ms.load(Ordering::Relaxed) > since_ms
    }

    fn is_late(&self, now_ms: u64, by_ms: u64) -> bool {
        now_ms > self.progress_ms.load(Ordering::Relaxed).saturating_add(by_ms)
    }

    fn unanswered(&self) -> u64 {
        self.lanes.load().iter().map(|lane| u64::from(lane.unanswered())).sum()
    }

    /// Requests of all workers that are under way here.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.lanes.load().iter().map(|lane| u64::from(lane.in_flight())).sum()
    }

    #[must_use]
    pub fn last_failure(&self) -> Option<Arc<LastFailure>> {
        self.last_failure.load_full()
    }

    /// Why its health checks fail, and since when; `None` while they do not.
    #[must_use]
    pub fn down(&self) -> Option<LastFailure> {
        let down = self.down.load().as_deref().cloned();
        down.filter(|_| self.health() == Health::Down)
    }

    /// Writes down what went wrong, for people.
    pub fn note_failure(&self, at: Duration, text: String) {
        self.heard.store(false, Ordering::Relaxed);
        self.last_failure.store(Some(Arc::new(LastFailure { at, text })));
    }

    /// The breaker has opened or closed. Returns for how long it had been what it was, if that is known.
    pub fn note_change(&self, unix: Duration) -> Option<Duration> {
        let now = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let before = self.changed_unix_ms.swap(now, Ordering::Relaxed);
        (before > 0).then(|| Duration::from_millis(now.saturating_sub(before)))
    }

    /// Opens the breaker for a second.
    #[cfg(test)]
    pub fn open(&self, how: super::breaker::Failing, now_ms: u64) {
        use super::breaker::{Pass, Rules};
        self.switch.failed(Pass::Usual, how, now_ms, Rules { failures: 1, open_ms: 1_000 }, 0);
    }

    /// What is known of it now; `now_ms` is the workers' clock.
    #[must_use]
    pub fn snapshot(&self, now_ms: u64) -> Snapshot {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let changed = count(&self.changed_unix_ms);
        Snapshot {
            upstream: self.endpoint.to_string(),
            health: self.health(),
            down: self.down(),
            breaker: self.breaker(),
            changed: (changed > 0).then(|| Duration::from_millis(changed)),
            heard: self.heard.load(Ordering::Relaxed),
            stalled: self.is_stalled(now_ms),
            in_flight: self.in_flight(),
            waiting: self.places.waiting() as u64,
            last_failure: self.last_failure.load().as_deref().cloned(),
            opened: count(&self.tally.opened),
            retries: count(&self.tally.retries),
            spared: count(&self.tally.spared),
            busy: count(&self.tally.busy),
        }
    }
}

impl Checked for Peer {
    fn settle(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    fn note_down(&self, at: Duration, why: &str) {
        self.down.store(Some(Arc::new(LastFailure { at, text: why.to_owned() })));
    }

    fn answered(&self) -> u64 {
        self.progress_ms.load(Ordering::Relaxed)
    }
}

/// The upstreams of one policy.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<HashMap<Endpoint, Arc<Peer>>>);

/// What the groups together want of one upstream.
#[derive(Default, Clone, Copy)]
struct Needs {
    counted: bool,
    breaker: bool,
}

impl Peers {
    /// Those that `settings` name; the ones that `before` has already stay what they are, unless other authorities are
    /// believed about them now. `trusts` has what each of them asks for: one without it cannot be reached.
    #[must_use]
    pub fn of(settings: &Settings, before: Option<&Self>, trusts: &Trusts) -> Self {
        let mut needs: HashMap<&Endpoint, Needs> = HashMap::new();
        for group in settings.sites.iter().flat_map(groups) {
            for upstream in &group.list {
                let need = needs.entry(&upstream.endpoint).or_default();
                need.counted |= upstream.requests_max.is_some();
                need.counted |= group.balance == Balance::LeastLoaded && group.list.len() > 1;
                need.breaker |= group.breaker.is_some();
            }
        }
        let peers = needs.into_iter().map(|(endpoint, need)| {
            let trust = endpoint.tls.as_ref().and_then(|tls| trusts.get(tls.ca_file.as_ref()));
            let kept =
                before.and_then(|before| before.get(endpoint)).filter(|peer| peer.believes(trust));
            let peer = kept.cloned().unwrap_or_else(|| {
                let tls = endpoint.tls.as_ref().zip(trust.cloned());
                let secure =
                    tls.and_then(|(tls, trust)| Secure::new(tls, endpoint.protocol, trust));
                Peer::secured(endpoint.clone(), secure)
            });
            peer.counted.store(need.counted, Ordering::Relaxed);
            if !need.breaker {
                peer.switch.reset();
            }
            (endpoint.clone(), peer)
        });
        Self(Arc::new(peers.collect()))
    }

    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Option<&Arc<Peer>> {
        self.0.get(endpoint)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.0.values()
    }

    /// All of them by name.
    #[must_use]
    pub fn snapshots(&self, now_ms: u64) -> Vec<Snapshot> {
        let mut all: Vec<Snapshot> = self.iter().map(|peer| peer.snapshot(now_ms)).collect();
        all.sort_by(|a, b| a.upstream.cmp(&b.upstream));
        all
    }
}

/// The group of a site, and those of its routes.
pub fn groups(site: &Site) -> impl Iterator<Item = &Upstreams> {
    let of_routes = site.routes.iter().filter_map(|route| route.upstreams.as_ref());
    std::iter::once(&site.upstreams).chain(of_routes)
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
