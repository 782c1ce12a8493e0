//! One worker: a thread with its own runtime, its own upstream pools, its own counters.
//!
//! Promises: nothing on it blocks; a panic ends one connection; when told to drain it finishes what was accepted
//! within the grace time and then ends.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior};

use super::accept::Arrival;
use super::caps::Caps;
use super::complaints::Complaints;
use super::conn;
use super::crowd::{Crowd, Load, Need};
use super::ids::Ids;
use super::pages::Pages;
use super::policy::Policy;
use super::strangers::Strangers;
use super::timers::{TICK, Timers};
use super::upstream::{Group, Pool};
use crate::config::settings::{Endpoint, Timeouts, Upstream, Upstreams};
use crate::ports::actions::Actions;
use crate::ports::{Clock, Dial, Entropy};
use crate::telemetry::access::AccessLog;
use crate::telemetry::events::Hub;
use crate::telemetry::originals::Originals;
use crate::telemetry::{Ended, Log, Metrics, Shard};
use crate::work::acme::challenges::Challenges;

/// New connections waiting for one worker.
pub const ARRIVALS_MAX: usize = 512;

/// What all workers share, all of it immutable or atomic.
pub struct Shared {
    pub policy: ArcSwap<Policy>,
    pub caps: Arc<Caps>,
    pub clock: Arc<dyn Clock>,
    /// From when the milliseconds count that workers tell each other.
    pub epoch: Instant,
    pub entropy: Arc<dyn Entropy>,
    pub dial: Arc<dyn Dial>,
    pub metrics: Arc<Metrics>,
    pub log: Log,
    pub events: Arc<Hub>,
    /// Where answers of apps go that clients do not get.
    pub originals: Arc<Originals>,
    /// Where requests that are actions get their records.
    pub actions: Arc<dyn Actions>,
    /// What a CA that asks for proof is told.
    pub challenges: Arc<Challenges>,
    /// Connections that were open when the grace time was over.
    pub cut: AtomicUsize,
    /// Gives freed memory back to the system; called by a worker that has become idle.
    pub collect_memory: fn(),
}

impl Shared {
    /// Milliseconds of the clock that all workers share.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let elapsed = self.clock.now().saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// A number nobody can foresee, for what must not happen everywhere at once.
    #[must_use]
    pub fn chance(&self) -> u32 {
        let mut bytes = [0; 4];
        // Without randomness nothing is lost but the spread.
        let _ = self.entropy.fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn timers(&self) -> Rc<Timers> {
        let timers = Timers::new(self.epoch);
        timers.set_now(self.clock.now());
        timers
    }
}

/// How far a stop has got; workers follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Serving.
    No,
    /// Finish what was accepted, until then.
    Until(Instant),
}

/// The sending side of a worker: where the acceptor puts connections.
#[derive(Clone)]
pub struct Inbox {
    pub arrivals: mpsc::Sender<Arrival>,
    pub load: Arc<Load>,
}

/// The state of a worker that its connections use.
pub struct Worker {
    index: usize,
    pub shared: Arc<Shared>,
    pub timers: Rc<Timers>,
    pub shard: Arc<Shard>,
    pub pages: Pages,
    /// Its connections.
    pub crowd: Rc<Crowd>,
    pub draining: Cell<bool>,
    /// Both clocks at the last tick: the time of a request needs one look at one of them.
    clocks: Cell<(Instant, Duration)>,
    /// Requests since the last look, to know when the worker has become idle.
    pub requests: Cell<u64>,
    policy: RefCell<Cache<PolicySource, Arc<Policy>>>,
    view: RefCell<Rc<View>>,
    ids: RefCell<Ids>,
    strangers: RefCell<Strangers>,
    /// Answers that are read on behind the page that stands for them.
    pub read_behind: Cell<u32>,
    /// What the log hears of PROXY headers.
    pub proxy_complaints: Complaints,
    /// What it hears of HTTP/2 connections that had to end.
    pub flood_complaints: Complaints,
    access: RefCell<AccessLog>,
}

/// Lets [`Cache`] watch the policy inside [`Shared`].
#[derive(Clone)]
struct PolicySource(Arc<Shared>);

impl std::ops::Deref for PolicySource {
    type Target = ArcSwap<Policy>;

    fn deref(&self) -> &ArcSwap<Policy> {
        &self.0.policy
    }
}

/// The policy with this worker's pools: what one request looks at, unchanged from its first step to its last.
pub struct View {
    pub policy: Arc<Policy>,
    sites: Vec<SiteUpstreams>,
    pools: HashMap<Endpoint, Rc<Pool>>,
}

struct SiteUpstreams {
    own: Rc<Group>,
    /// `None` where a route uses the site's.
    routes: Vec<Option<Rc<Group>>>,
}

impl View {
    fn build(policy: &Arc<Policy>, previous: Option<&Self>) -> Self {
        let pools = policy.peers.iter().map(|peer| {
            let kept = previous.and_then(|view| view.pools.get(&peer.endpoint));
            let kept = kept.filter(|pool| Arc::ptr_eq(&pool.peer, peer)).cloned();
            (peer.endpoint.clone(), kept.unwrap_or_else(|| Pool::new(Arc::clone(peer))))
        });
        let pools: HashMap<Endpoint, Rc<Pool>> = pools.collect();
        let group = |upstreams: &Upstreams| {
            let pool = |upstream: &Upstream| pools.get(&upstream.endpoint).cloned();
            Rc::new(Group::new(upstreams, pool))
        };
        let sites = policy.settings.sites.iter().map(|site| SiteUpstreams {
            own: group(&site.upstreams),
            routes: site.routes.iter().map(|route| route.upstreams.as_ref().map(group)).collect(),
        });
        let sites = sites.collect();
        Self { policy: Arc::clone(policy), sites, pools }
    }

    /// The upstreams of a route of a site.
    pub fn upstreams(&self, site: usize, route: Option<usize>) -> Option<&Rc<Group>> {
        let site = self.sites.get(site)?;
        let own = route.and_then(|at| site.routes.get(at)?.as_ref());
        Some(own.unwrap_or(&site.own))
    }
}

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> io::Result<Rc<Self>> {
        let policy = shared.policy.load_full();
        let access = AccessLog::new(shared.log.clone(), policy.settings.log.access);
        Ok(Rc::new(Self {
            index,
            timers: shared.timers(),
            shard: shared.metrics.shard(index),
            pages: Pages::new().map_err(io::Error::other)?,
            crowd: Rc::default(),
            draining: Cell::new(false),
            requests: Cell::new(0),
            clocks: Cell::new((shared.clock.now(), shared.clock.unix())),
            policy: RefCell::new(Cache::new(PolicySource(Arc::clone(&shared)))),
            view: RefCell::new(Rc::new(View::build(&policy, None))),
            ids: RefCell::new(Ids::new(Arc::clone(&shared.entropy))),
            strangers: RefCell::default(),
            read_behind: Cell::new(0),
            proxy_complaints: Complaints::default(),
            flood_complaints: Complaints::default(),
            access: RefCell::new(access),
            shared,
        }))
    }

    /// The view in force now. One atomic load when nothing has changed.
    pub fn view(&self) -> Rc<View> {
        let mut cache = self.policy.borrow_mut();
        let policy = cache.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(policy, &view.policy) {
            *view = Rc::new(View::build(policy, Some(&view)));
            self.access.borrow_mut().set_enabled(policy.settings.log.access);
        }
        Rc::clone(&view)
    }

    /// Deadlines in force now.
    pub fn timeouts(&self) -> Timeouts {
        self.view.borrow().policy.settings.timeout.clone()
    }

    /// Slowest peer that is waited for, bytes a second.
    pub fn rate_min(&self) -> u64 {
        self.view.borrow().policy.settings.http.rate_min.0
    }

    pub fn ids<T>(&self, act: impl FnOnce(&mut Ids) -> T) -> T {
        act(&mut self.ids.borrow_mut())
    }

    pub fn strangers<T>(&self, act: impl FnOnce(&mut Strangers) -> T) -> T {
        act(&mut self.strangers.borrow_mut())
    }

    pub fn access<T>(&self, act: impl FnOnce(&mut AccessLog) -> T) -> T {
        act(&mut self.access.borrow_mut())
    }

    /// The number of this worker in what workers share.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// The time of day at `now`, true to the tick.
    pub fn unix_at(&self, now: Instant) -> Duration {
        let (instant, unix) = self.clocks.get();
        unix.saturating_add(now.saturating_duration_since(instant))
    }

    /// Closes idle connections for others that want to come.
    fn make_room(&self, load: &Load) {
        for (need, why) in [(Need::Places, Ended::Crowded), (Need::Files, Ended::NoFiles)] {
            let wanted = load.take(need);
            if wanted > 0 {
                (0..self.crowd.make_room(wanted)).for_each(|_| self.shard.ended(why));
            }
        }
    }

    fn tick(&self) {
        let now = self.shared.clock.now();
        self.clocks.set((now, self.shared.clock.unix()));
        self.timers.tick(now);
        self.access(AccessLog::hand_over);
        let now_ms = self.timers.now_ms();
        for pool in self.view().pools.values() {
            pool.sweep(now_ms);
        }
    }
}

/// Runs a worker until it has drained. Blocks the calling thread.
///
/// # Errors
/// When the runtime cannot be built.
pub fn run(
    shared: Arc<Shared>,
    index: usize,
    arrivals: mpsc::Receiver<Arrival>,
    load: Arc<Load>,
    drain: watch::Receiver<Drain>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build_local(LocalOptions::default())?;
    let worker = Worker::new(shared, index)?;
    runtime.block_on(serve(Rc::clone(&worker), arrivals, load, drain));
    // Ends what is left; the lines of requests that were cut are written then.
    runtime.shutdown_timeout(Duration::ZERO);
    worker.access(AccessLog::hand_over);
    Ok(())
}

async fn serve(
    worker: Rc<Worker>,
    mut arrivals: mpsc::Receiver<Arrival>,
    load: Arc<Load>,
    mut drain: watch::Receiver<Drain>,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle = IdleWatch::default();
    let mut accepting = true;
    loop {
        tokio::select! {
            arrival = arrivals.recv(), if accepting => match arrival {
                Some(arrival) => { spawn_local(conn::serve(Rc::clone(&worker), arrival)); }
                // The acceptor ends before anybody says until when connections may go on.
                None => accepting = false,
            },
            _ = ticks.tick() => {
                worker.tick();
                idle.look(&worker, load.open.load(Ordering::Relaxed));
            }
            () = load.asked() => worker.make_room(&load),
            changed = drain.changed() => {
                if changed.is_err() || *drain.borrow() != Drain::No { break }
            }
        }
    }
    // Connections that were accepted before the stop are still in the queue: they get their answer.
    arrivals.close();
    while let Some(arrival) = arrivals.recv().await {
        spawn_local(conn::serve(Rc::clone(&worker), arrival));
    }
    worker.draining.set(true);
    worker.timers.wake_all();
    // Looked at each time: whoever stops may lose patience.
    let over = |now: Instant| match *drain.borrow() {
        Drain::Until(until) => now >= until,
        Drain::No => true,
    };
    while load.open.load(Ordering::Relaxed) > 0 && !over(worker.shared.clock.now()) {
        ticks.tick().await;
        worker.tick();
        worker.timers.wake_all();
    }
    worker.shared.cut.fetch_add(load.open.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Notices that a burst of work is over.
#[derive(Default)]
struct IdleWatch {
    worked: bool,
    quiet_ticks: u32,
    open_before: usize,
}

/// Ticks without a request before memory is given back.
const QUIET_TICKS: u32 = 5;

impl IdleWatch {
    fn look(&mut self, worker: &Worker, open: usize) {
        let busy = worker.requests.replace(0) > 0 || open != self.open_before;
        self.open_before = open;
        if busy {
            self.worked = true;
            self.quiet_ticks = 0;
            return;
        }
        self.quiet_ticks += 1;
        if self.worked && self.quiet_ticks >= QUIET_TICKS {
            self.worked = false;
            (worker.shared.collect_memory)();
        }
    }
}
