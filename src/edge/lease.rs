//! How a request comes by a connection to an upstream, and what happens when that upstream fails it.
//!
//! Promises: a request that was not sent goes on to the next upstream, whatever it is; one that may have reached the
//! app is sent once more only if nothing can come of it (23), never after a deadline, and only while the budget of second
//! tries lasts. Refuses at once what no upstream would answer. Bounds: each upstream is tried once, the second try is
//! one, and requests that wait for a place wait for `wait_max` at most.

use std::rc::Rc;
use std::time::Duration;

use super::proxy::{Exchange, Failure};
use super::trip::Trip;
use super::upstream::{
    Carrier, Chosen, ConnectError, Failing, Fault, Group, Nobody, Peer, Pool, Tally, Tried, Visit,
};
use crate::base::{Denial, Queue};
use crate::telemetry::Level;
use crate::telemetry::metrics::UpstreamUse;

/// A connection, and the stay at the upstream that it belongs to.
pub(super) struct Leased {
    pub link: Carrier,
    pub visit: Visit,
    /// How it was come by.
    pub how: UpstreamUse,
    at: usize,
}

impl Leased {
    pub fn pool(&self) -> &Rc<Pool> {
        self.visit.pool()
    }
}

/// The way of one request through the upstreams of its group.
pub(super) struct Course {
    group: Rc<Group>,
    tried: Tried,
    /// Its kept connection was closed, and it was sent to a fresh one.
    freshened: bool,
    /// It had its second try.
    repeated: bool,
}

impl Course {
    pub fn begin(trip: &Trip) -> Result<Self, Denial> {
        let site = trip.host.as_ref().map(|host| host.site);
        let group = site.and_then(|site| trip.view.upstreams(site, trip.route));
        let group = group.ok_or(Denial::Internal { what: "a site without upstreams" })?;
        group.budget.request(trip.conn.worker.timers.now_ms());
        let tried = Tried::default();
        Ok(Self { group: Rc::clone(group), tried, freshened: false, repeated: false })
    }

    /// An idle connection, or a new one to the first upstream that can be reached.
    pub async fn lease(&mut self, trip: &mut Trip) -> Result<Leased, Denial> {
        let chosen = match self.choose(trip) {
            Ok(chosen) => match chosen.visit.pool().reuse() {
                Some(link) => {
                    trip.upstream = Some(Rc::clone(&chosen.visit.pool().label));
                    return Ok(leased(chosen, link, UpstreamUse::Reused));
                }
                None => Ok(chosen),
            },
            nobody => nobody,
        };
        // All of this is rare: it is no part of every request's future.
        Box::pin(self.reach(trip, chosen, true)).await
    }

    /// A new connection to the first upstream that can be reached, for an exchange that will not give it back.
    pub async fn lease_new(&mut self, trip: &mut Trip) -> Result<Leased, Denial> {
        let chosen = self.choose(trip);
        Box::pin(self.reach(trip, chosen, false)).await
    }

    fn choose(&self, trip: &Trip) -> Result<Chosen, Nobody> {
        let worker = &trip.conn.worker;
        self.group.choose(worker.timers.now_ms(), self.tried, || worker.shared.chance())
    }

    /// Tries whoever is chosen, one after the other, until one is there.
    async fn reach(
        &mut self,
        trip: &mut Trip,
        mut chosen: Result<Chosen, Nobody>,
        kept: bool,
    ) -> Result<Leased, Denial> {
        let mut failed: Option<(Rc<Pool>, Denial)> = None;
        loop {
            let next = match chosen {
                Ok(next) => Ok(next),
                Err(Nobody::Full) => self.wait(trip).await,
                Err(Nobody::Out { retry_ms }) => Err(self.out(retry_ms)),
                Err(Nobody::Left) => Err(Denial::Internal { what: "a site without upstreams" }),
            };
            let next = match (next, &failed) {
                (Ok(next), _) => next,
                // What stopped it first is what the operator has to look into.
                (Err(_), Some((_, denial))) => return Err(denial.clone()),
                (Err(denial), None) => return Err(denial),
            };
            if let Some((pool, _)) = &failed {
                Tally::up(&pool.peer.tally.retries);
            }
            match self.connected(trip, next, kept).await {
                Ok(leased) => return Ok(leased),
                Err(failure) => failed = Some(failure),
            }
            chosen = self.choose(trip);
        }
    }

    async fn connected(
        &mut self,
        trip: &mut Trip,
        mut chosen: Chosen,
        kept: bool,
    ) -> Result<Leased, (Rc<Pool>, Denial)> {
        let pool = Rc::clone(chosen.visit.pool());
        trip.upstream = Some(Rc::clone(&pool.label));
        if kept && let Some(link) = pool.reuse() {
            return Ok(leased(chosen, link, UpstreamUse::Reused));
        }
        match connect(trip, &pool).await {
            Ok(link) => Ok(leased(chosen, link, UpstreamUse::Opened)),
            Err(error) => {
                self.tried.add(chosen.at);
                if let Some(how) = error.failing() {
                    self.failed(trip, &mut chosen.visit, how, &error.to_string());
                }
                Err((Rc::clone(&pool), refusal(&pool, error)))
            }
        }
    }

    /// Waits until one of the upstreams has a place.
    async fn wait(&self, trip: &Trip) -> Result<Chosen, Denial> {
        let queue = &self.group.wait_queue;
        let Some(mut ticket) = self.group.line_up(trip.conn.worker.timers.now_ms(), self.tried)
        else {
            return Err(self.busy(Queue::TooLong { requests_max: queue.requests_max }));
        };
        match tokio::time::timeout(queue.wait_max, ticket.place()).await {
            Ok(place) => place
                .and_then(|at| self.group.seated(at))
                .ok_or(Denial::Internal { what: "a place at no upstream" }),
            Err(_) => Err(self.busy(Queue::TooSlow { wait_max: queue.wait_max })),
        }
    }

    fn busy(&self, queue: Queue) -> Denial {
        let Some(member) = self.group.first_capped(self.tried) else {
            return Denial::Internal { what: "a wait for no upstream" };
        };
        Tally::up(&member.pool.peer.tally.busy);
        let requests_max = member.requests_max.unwrap_or_default();
        Denial::UpstreamBusy { upstream: member.pool.label.to_string(), requests_max, queue }
    }

    /// Names one of those that let deadlines pass.
    fn out(&self, retry_ms: u64) -> Denial {
        let first = self.group.member(0).map(|member| &member.pool);
        let mut upstream = first.map(|pool| pool.label.to_string()).unwrap_or_default();
        let others = self.group.count().saturating_sub(1);
        if others > 0 {
            upstream.push_str(&format!(" (as {others} more)"));
        }
        let why = first.and_then(|pool| pool.peer.last_failure());
        let why = why.map(|last| last.text.clone()).unwrap_or_default();
        let retry_s = u32::try_from(retry_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        Denial::UpstreamDown { upstream, why, retry_s }
    }

    /// The exchange has failed. Begins it anew on another connection if it may be had again.
    ///
    /// # Errors
    /// What the client is told, where it may not.
    pub async fn again(
        &mut self,
        trip: &mut Trip,
        leased: &mut Leased,
        exchange: &Exchange,
        failure: Failure,
    ) -> Result<(), Denial> {
        let denial = exchange.refusal(failure, leased.pool());
        let kept_closed = match failure {
            // An app that ends a shared connection in peace refuses what came too late for it.
            Failure::Broke(Fault::Refused) => !self.freshened,
            Failure::Broke(Fault::Closed) => leased.how == UpstreamUse::Reused && !self.freshened,
            _ => false,
        };
        let why = match (&denial, failure) {
            // An app that waits for a client that pauses has not failed.
            (_, Failure::TimedOut) if !exchange.is_sent() => return Err(denial),
            (_, Failure::TimedOut) => format!("no answer within {:?}", exchange.first_byte),
            (Denial::UpstreamBroke { .. }, Failure::Broke(fault)) => fault.to_string(),
            // The client's own body went wrong.
            _ => return Err(denial),
        };
        let repeats = matches!(failure, Failure::Broke(_)) && leased.link.may_repeat();
        if kept_closed && repeats {
            // The app may have closed a kept connection at this very moment: that is no reason to lose a request.
            self.freshened = true;
            match connect(trip, leased.pool()).await {
                Ok(fresh) => {
                    let taken = replace(leased, fresh, UpstreamUse::Opened);
                    return if taken { Ok(()) } else { Err(denial) }; // one upstream speaks one protocol
                }
                Err(error) => {
                    if let Some(how) = error.failing() {
                        self.failed(trip, &mut leased.visit, how, &error.to_string());
                    }
                    let denial = refusal(leased.pool(), error);
                    return self.elsewhere(trip, leased, false).await.map_err(|()| denial);
                }
            }
        }
        if let (false, Some(how)) = (kept_closed, failing(trip, leased, exchange, failure)) {
            self.failed(trip, &mut leased.visit, how, &why);
        }
        if !repeats || self.repeated {
            return Err(denial);
        }
        self.elsewhere(trip, leased, true).await.map_err(|()| denial)
    }

    /// Begins the exchange anew at another upstream, if there is one. `paid`: the app had its chance to see it.
    async fn elsewhere(
        &mut self,
        trip: &mut Trip,
        leased: &mut Leased,
        paid: bool,
    ) -> Result<(), ()> {
        let now_ms = trip.conn.worker.timers.now_ms();
        self.tried.add(leased.at);
        let mut paid_for = !paid;
        while let Some(chosen) = self.group.choose_other(now_ms, self.tried) {
            let tally = &leased.pool().peer.tally;
            if !paid_for && !self.group.budget.take(now_ms) {
                Tally::up(&tally.spared);
                return Err(());
            }
            paid_for = true;
            self.repeated |= paid;
            self.freshened = false;
            if let Ok(fresh) = self.connected(trip, chosen, true).await {
                let Leased { link, visit, how, at } = fresh;
                if !replace(leased, link, how) {
                    self.tried.add(at);
                    continue;
                }
                Tally::up(&leased.pool().peer.tally.retries);
                leased.visit = visit;
                leased.at = at;
                return Ok(());
            }
        }
        trip.upstream = Some(Rc::clone(&leased.pool().label));
        Err(())
    }

    /// The head of the answer is there.
    pub fn answered(&self, trip: &Trip, leased: &mut Leased) {
        let worker = &trip.conn.worker;
        worker.shard.upstream(leased.how);
        if leased.visit.answered(worker.timers.now_ms(), self.group.rules) {
            recovered(trip, &leased.pool().peer);
        }
    }

    /// Notes a failure of the upstream, for all workers.
    fn failed(&self, trip: &Trip, visit: &mut Visit, how: Failing, why: &str) {
        let shared = &trip.conn.worker.shared;
        let pool = Rc::clone(visit.pool());
        pool.peer.note_failure(shared.clock.unix(), why.to_owned());
        let Some(rules) = self.group.rules else { return };
        if visit.failed(how, shared.now_ms(), rules, shared.chance()) {
            opened(trip, &pool.peer, why, Duration::from_millis(rules.open_ms));
        }
    }
}

/// What a failed exchange says about its upstream. One that has answered others while this request waited is slow at
/// what was asked for and not out: otherwise a few requests for that would take the site from everybody.
fn failing(trip: &Trip, leased: &Leased, exchange: &Exchange, failure: Failure) -> Option<Failing> {
    let Failure::TimedOut = failure else { return Some(Failing::Quick) };
    let waited_ms = u64::try_from(exchange.first_byte.as_millis()).unwrap_or(u64::MAX);
    let since_ms = trip.conn.worker.timers.now_ms().saturating_sub(waited_ms);
    (!leased.pool().peer.answered_since(since_ms)).then_some(Failing::Slow)
}

fn leased(chosen: Chosen, link: Carrier, how: UpstreamUse) -> Leased {
    Leased { link, visit: chosen.visit, how, at: chosen.at }
}

/// The exchange goes on, from its beginning, on this connection; false where another protocol is spoken there.
fn replace(leased: &mut Leased, mut fresh: Carrier, how: UpstreamUse) -> bool {
    let taken = fresh.repeat(&mut leased.link);
    if taken {
        leased.link = fresh;
        leased.how = how;
    }
    taken
}

async fn connect(trip: &Trip, pool: &Pool) -> Result<Carrier, ConnectError> {
    let limit = trip.view.policy.settings.timeout.connect;
    let connected = pool.connect(&trip.conn.worker.shared, limit).await;
    connected.inspect_err(|_| trip.conn.worker.shard.upstream(UpstreamUse::Failed))
}

fn refusal(pool: &Pool, error: ConnectError) -> Denial {
    let upstream = pool.label.to_string();
    match error {
        ConnectError::Timeout(limit) => {
            Denial::UpstreamTimeout { upstream, waited: limit, connected: false }
        }
        ConnectError::Tls(fault) => Denial::UpstreamTls { upstream, why: fault.to_string() },
        error => Denial::UpstreamUnreachable { upstream, why: error.to_string() },
    }
}

/// Says once, for all workers, that an upstream is out.
fn opened(trip: &Trip, peer: &Peer, why: &str, pause: Duration) {
    let shared = &trip.conn.worker.shared;
    Tally::up(&peer.tally.opened);
    peer.note_change(shared.clock.unix());
    let upstream = peer.endpoint.to_string();
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    shared.log.event(Level::Warn, "upstream_failing", |line| {
        line.text("upstream", &upstream).text("why", why).number("pause_ms", pause_ms).text(
            "next",
            "look into the app's own log; requests go to other upstreams, and one probe after each pause finds out \
             when it is back",
        );
    });
    let text = format!("left alone after failures in a row, the last one: {why}");
    shared.events.changed("upstream_failing", Some(upstream), text);
}

/// Says once that it is back.
fn recovered(trip: &Trip, peer: &Peer) {
    let shared = &trip.conn.worker.shared;
    let out = peer.note_change(shared.clock.unix()).unwrap_or_default();
    let upstream = peer.endpoint.to_string();
    let out_ms = u64::try_from(out.as_millis()).unwrap_or(u64::MAX);
    shared.log.event(Level::Info, "upstream_recovered", |line| {
        line.text("upstream", &upstream).number("out_ms", out_ms);
    });
    let text = format!("answers again, after {:.1} s", out.as_secs_f64());
    shared.events.changed("upstream_recovered", Some(upstream), text);
}
