//! One request at an upstream, from the moment it is chosen until its answer has ended: counted exactly once, however
//! it ends.

use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::breaker::{Failing, Pass, Rules};
use super::carrier::Carrier;
use super::pool::Pool;

/// The requests of one worker at one upstream. Only that worker writes it: a load and a store, no locked instruction.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Lane {
    in_flight: AtomicU32,
    /// Of those, the ones that have no answer yet.
    unanswered: AtomicU32,
}

impl Lane {
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

fn up(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

fn down(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
}

/// A request that is under way. Ends when it is dropped, if not before.
pub struct Visit {
    pool: Rc<Pool>,
    pub(super) pass: Pass,
    /// It has a place of its upstream, to be freed.
    placed: bool,
    answered: bool,
    /// The breaker knows how it went.
    settled: bool,
    over: bool,
}

impl Visit {
    pub fn begin(pool: &Rc<Pool>, placed: bool) -> Self {
        up(&pool.lane.in_flight);
        up(&pool.lane.unanswered);
        Self {
            pool: Rc::clone(pool),
            pass: Pass::Usual,
            placed,
            answered: false,
            settled: false,
            over: false,
        }
    }

    pub const fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The head of an answer came. True if that closed the breaker.
    pub fn answered(&mut self, now_ms: u64, rules: Option<Rules>) -> bool {
        self.no_more_unanswered();
        self.pool.peer.progressed(now_ms);
        self.settled = true;
        rules.is_some() && self.pool.peer.switch.answered()
    }

    /// The upstream failed it. True if that opened the breaker.
    pub fn failed(&mut self, how: Failing, now_ms: u64, rules: Rules, chance: u32) -> bool {
        self.settled = true;
        self.pool.peer.switch.failed(self.pass, how, now_ms, rules, chance)
    }

    fn no_more_unanswered(&mut self) {
        if !std::mem::replace(&mut self.answered, true) {
            down(&self.pool.lane.unanswered);
        }
    }

    /// The answer has ended: its connection may serve others, and others may come.
    pub fn finish(&mut self, link: Carrier, now_ms: u64) {
        self.pool.give_back(link, now_ms);
        self.end();
    }

    /// The upstream is done with it.
    pub fn end(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.no_more_unanswered();
        down(&self.pool.lane.in_flight);
        let peer = &self.pool.peer;
        if self.pass == Pass::Probe && !self.settled {
            peer.switch.unprobed();
        }
        if self.placed {
            peer.places.leave();
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.end();
    }
}
