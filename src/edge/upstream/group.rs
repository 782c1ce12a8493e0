//! The upstreams of a site or a route, as one worker chooses among them.
//!
//! Promises: an upstream that is out gets no request while another is there, but for one probe in a pause; one that is
//! stalled comes after those that answer. Refuses at once where every upstream lets deadlines pass. Where all of them
//! refuse connections they are asked all the same: a refusal costs nothing, and an app that has restarted is back with
//! the first request.

use std::rc::Rc;
use std::sync::Arc;

use super::balance::Turns;
use super::breaker::{Failing, Pass, Rules, State};
use super::budget::Budget;
use super::peer::Peer;
use super::pool::Pool;
use super::queue::Ticket;
use super::visit::Visit;
use crate::config::settings::{Balance, Protocol, Upstream, Upstreams, WaitQueue};
use crate::ports::health::Health;

/// The upstreams of a site or route, with this worker's connections.
pub struct Group {
    members: Vec<Member>,
    turns: Turns,
    balance: Balance,
    pub wait_queue: WaitQueue,
    /// `None`: nobody is left alone, whatever fails.
    pub rules: Option<Rules>,
    pub budget: Budget,
}

/// One upstream of a group.
pub struct Member {
    pub pool: Rc<Pool>,
    pub requests_max: Option<usize>,
}

/// Some of a group's upstreams. Those from the 256th on, of which a configuration has none, count as one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tried([u64; 4]);

impl Tried {
    pub fn add(&mut self, at: usize) {
        let at = at.min(255);
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn has(self, at: usize) -> bool {
        let at = at.min(255);
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }
}

/// Who is to be asked.
pub struct Chosen {
    pub at: usize,
    pub visit: Visit,
}

/// Why nobody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nobody {
    /// Those that could be asked have as many requests as they may.
    Full,
    /// Every one lets deadlines pass; the first probe is due then.
    Out { retry_ms: u64 },
    /// All were tried.
    Left,
}

/// How much an upstream is to be preferred, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Fit,
    /// It takes requests and answers none, perhaps because they are long polls.
    Stalled,
    /// Out, and says so quickly.
    Quick,
    /// Nothing has failed, but its health checks have.
    Down,
    /// Out, and takes its time.
    Slow,
}

impl Standing {
    /// `minded`: whether who fails is left alone.
    pub fn of(peer: &Peer, minded: bool, now_ms: u64) -> Self {
        match if minded { peer.breaker() } else { CLOSED } {
            State::Open { how: Failing::Slow, .. } => Self::Slow,
            State::Open { how: Failing::Quick, .. } => Self::Quick,
            State::Closed { .. } if peer.health() == Health::Down => Self::Down,
            State::Closed { .. } if peer.is_stalled(now_ms) => Self::Stalled,
            State::Closed { .. } => Self::Fit,
        }
    }

    /// In which order they are asked; who is slow is not.
    pub const ASKED: [Self; 4] = [Self::Fit, Self::Stalled, Self::Quick, Self::Down];
}

impl Group {
    pub fn new(settings: &Upstreams, pool: impl Fn(&Upstream) -> Option<Rc<Pool>>) -> Self {
        let list = settings.list.iter();
        let list = list.filter_map(|upstream| Some((upstream, pool(upstream)?)));
        let (weights, members): (Vec<u32>, Vec<Member>) = list
            .map(|(upstream, pool)| {
                (upstream.weight, Member { pool, requests_max: upstream.requests_max })
            })
            .unzip();
        Self {
            members,
            turns: Turns::new(weights.into_iter()),
            balance: settings.balance,
            wait_queue: settings.wait_queue.clone(),
            rules: settings.breaker.as_ref().map(Rules::from),
            budget: Budget::new(settings.retry_percent),
        }
    }

    pub fn member(&self, at: usize) -> Option<&Member> {
        self.members.get(at)
    }

    /// Who is asked next.
    ///
    /// # Errors
    /// When nobody can be asked now.
    pub fn choose(
        &self,
        now_ms: u64,
        tried: Tried,
        chance: impl Fn() -> u32,
    ) -> Result<Chosen, Nobody> {
        if let [only] = &self.members[..]
            && self.state(only) == CLOSED
            && !tried.has(0)
        {
            return self.enter(0, now_ms).ok_or(Nobody::Full);
        }
        if let Some(rules) = self.rules
            && let Some(probe) = self.probe(now_ms, tried, rules, chance)
        {
            return Ok(probe);
        }
        let mut full = self.full(tried);
        for standing in Standing::ASKED {
            if let Some(mut chosen) = self.choose_of(standing, now_ms, tried, &mut full) {
                if standing == Standing::Quick {
                    chosen.visit.pass = Pass::Anyway;
                }
                return Ok(chosen);
            }
            // Rather than one that is out, somebody who will have a place.
            let waited_for = |at: usize| match self.standing(at, now_ms) {
                Standing::Fit => standing != Standing::Fit,
                other => other == standing,
            };
            if full != Tried::default()
                && self.untried(tried).any(|(at, _)| full.has(at) && waited_for(at))
            {
                return Err(Nobody::Full);
            }
        }
        let ends = self.untried(tried).filter_map(|(_, member)| match self.state(member) {
            State::Open { until_ms, .. } => Some(until_ms),
            State::Closed { .. } => None,
        });
        let first = ends.min().ok_or(Nobody::Left)?;
        Err(Nobody::Out { retry_ms: first.saturating_sub(now_ms) })
    }

    /// Who is asked after another has failed: nobody who might fail too.
    pub fn choose_other(&self, now_ms: u64, tried: Tried) -> Option<Chosen> {
        let mut full = self.full(tried);
        let mut of = |standing| self.choose_of(standing, now_ms, tried, &mut full);
        of(Standing::Fit).or_else(|| of(Standing::Stalled))
    }

    /// Whether somebody else than `peer` would be asked first.
    pub fn has_others(&self, peer: &Arc<Peer>, now_ms: u64) -> bool {
        self.members.iter().enumerate().any(|(at, member)| {
            !Arc::ptr_eq(&member.pool.peer, peer)
                && matches!(self.standing(at, now_ms), Standing::Fit | Standing::Stalled)
        })
    }

    /// Joins the line of those that could be asked. `None` if it is too long.
    pub fn line_up(&self, now_ms: u64, tried: Tried) -> Option<Ticket> {
        let fit =
            |at: usize| matches!(self.standing(at, now_ms), Standing::Fit | Standing::Stalled);
        let any = self.untried(tried).any(|(at, _)| fit(at));
        let out = |at: usize| self.standing(at, now_ms) == Standing::Slow;
        let lines = self.untried(tried).filter(|(at, _)| fit(*at) || !any && !out(*at));
        let lines = lines.filter_map(|(at, member)| {
            let max = member.requests_max?;
            Some((at, &member.pool.peer, max))
        });
        Ticket::draw(lines, self.wait_queue.requests_max)
    }

    /// For the place that a ticket got.
    pub fn seated(&self, at: usize) -> Option<Chosen> {
        let member = self.member(at)?;
        let mut visit = Visit::begin(&member.pool, true);
        if self.state(member).is_open() {
            visit.pass = Pass::Anyway;
        }
        Some(Chosen { at, visit })
    }

    /// The first of those that a request could wait for: what the log names.
    pub fn first_capped(&self, tried: Tried) -> Option<&Member> {
        self.untried(tried).map(|(_, member)| member).find(|member| member.requests_max.is_some())
    }

    /// Those that a WebSocket does not go to, where there are others that it may go to.
    pub fn unfit_for_websockets(&self) -> Tried {
        let mut unfit = Tried::default();
        let speaks_http1 = |member: &Member| member.pool.peer.endpoint.protocol == Protocol::Http1;
        if self.members.iter().any(speaks_http1) {
            let others =
                self.members.iter().enumerate().filter(|(_, member)| !speaks_http1(member));
            others.for_each(|(at, _)| unfit.add(at));
        }
        unfit
    }

    /// Those that are left to be asked.
    pub fn untried(&self, tried: Tried) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter(move |(at, _)| !tried.has(*at))
    }

    fn state(&self, member: &Member) -> State {
        if self.rules.is_some() { member.pool.peer.breaker() } else { CLOSED }
    }

    fn standing(&self, at: usize, now_ms: u64) -> Standing {
        let Some(member) = self.members.get(at) else { return Standing::Slow };
        Standing::of(&member.pool.peer, self.rules.is_some(), now_ms)
    }

    /// Sends this request as the probe of an upstream whose pause is over.
    fn probe(
        &self,
        now_ms: u64,
        tried: Tried,
        rules: Rules,
        chance: impl Fn() -> u32,
    ) -> Option<Chosen> {
        let due = |member: &Member| match member.pool.peer.breaker() {
            State::Open { until_ms, .. } => until_ms <= now_ms,
            State::Closed { .. } => false,
        };
        let alone = self.members.len() == 1;
        let asked = |member: &Member| alone || member.pool.peer.health() != Health::Down;
        self.untried(tried).filter(|(_, member)| due(member) && asked(member)).find_map(
            |(at, member)| {
                let mut chosen = self.enter(at, now_ms)?;
                let probes = member.pool.peer.switch.probe(now_ms, rules, &chance);
                probes.then(|| {
                    chosen.visit.pass = Pass::Probe;
                    chosen
                })
            },
        )
    }

    /// Those that have no place: it is not their turn.
    fn full(&self, tried: Tried) -> Tried {
        let mut full = Tried::default();
        for (at, member) in self.untried(tried) {
            if let Some(max) = member.requests_max
                && !member.pool.peer.places.has_room(max)
            {
                full.add(at);
            }
        }
        full
    }

    /// Of those of this standing whose turn it is. Adds to `full` whoever has no place after all.
    fn choose_of(
        &self,
        wanted: Standing,
        now_ms: u64,
        tried: Tried,
        full: &mut Tried,
    ) -> Option<Chosen> {
        loop {
            let may =
                |at: usize| !tried.has(at) && !full.has(at) && self.standing(at, now_ms) == wanted;
            let load = |at: usize| {
                self.members.get(at).map_or(0, |member| member.pool.peer.places.taken() as u64)
            };
            let at = match self.balance {
                Balance::RoundRobin => self.turns.next(may),
                Balance::LeastLoaded => self.turns.least(load, may),
            }?;
            if let Some(chosen) = self.enter(at, now_ms) {
                return Some(chosen);
            }
            full.add(at);
        }
    }

    fn enter(&self, at: usize, now_ms: u64) -> Option<Chosen> {
        let member = self.members.get(at)?;
        let placed = member.pool.peer.enter(member.requests_max)?;
        if self.members.len() > 1 {
            member.pool.peer.asked(now_ms);
        }
        Some(Chosen { at, visit: Visit::begin(&member.pool, placed) })
    }
}

const CLOSED: State = State::Closed { failures: 0 };

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
