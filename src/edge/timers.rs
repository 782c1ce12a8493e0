//! Deadlines without a timer each: connections and exchanges write down when they must have moved on, and the
//! worker's tick looks at all of them.
//!
//! Arming is a store, so a request pays nanoseconds for the promises 8 and 17. Deadlines fire up to one tick late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How often a worker looks at its deadlines.
pub const TICK: Duration = Duration::from_millis(200);

const NEVER: u64 = u64::MAX;

/// All deadlines of one worker, and its coarse clock.
#[derive(Debug)]
pub struct Timers {
    base: Instant,
    now_ms: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Slot {
    at_ms: u64,
    waker: Option<Waker>,
}

impl Timers {
    #[must_use]
    pub fn new(now: Instant) -> Rc<Self> {
        Rc::new(Self {
            base: now,
            now_ms: Cell::new(0),
            slots: RefCell::new(Vec::new()),
            free: RefCell::new(Vec::new()),
        })
    }

    /// Milliseconds since the epoch of all workers, as of the last tick or request.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Moves the coarse clock.
    pub fn set_now(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.base);
        self.now_ms.set(millis(elapsed));
    }

    /// Wakes whoever is past its deadline.
    pub fn tick(&self, now: Instant) {
        self.set_now(now);
        let now_ms = self.now_ms();
        self.wake(|slot| slot.at_ms <= now_ms);
    }

    /// Wakes everybody, for changes that all connections must look at.
    pub fn wake_all(&self) {
        self.wake(|_| true);
    }

    fn wake(&self, which: impl Fn(&Slot) -> bool) {
        let wakers: Vec<Waker> = self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| which(slot))
            .filter_map(|slot| slot.waker.take())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A new deadline, not yet armed.
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        let slot = Slot { at_ms: NEVER, waker: None };
        let mut slots = self.slots.borrow_mut();
        let key = match self.free.borrow_mut().pop() {
            Some(key) => key,
            None => slots.len(),
        };
        match slots.get_mut(key) {
            Some(old) => *old = slot,
            None => slots.push(slot),
        }
        Deadline { timers: Rc::clone(self), key }
    }
}

/// One deadline. Dropping it frees its place.
#[derive(Debug)]
pub struct Deadline {
    timers: Rc<Timers>,
    key: usize,
}

impl Deadline {
    /// Expires `after` from now, unless armed anew.
    pub fn arm(&self, after: Duration) {
        self.set(self.timers.now_ms().saturating_add(millis(after)));
    }

    pub fn disarm(&self) {
        self.set(NEVER);
    }

    /// Expires at once, and wakes whoever waits for it without waiting for the tick.
    pub fn fire(&self) {
        self.set(0);
        if let Some(waker) = self.slot(|slot| slot.waker.take()) {
            waker.wake();
        }
    }

    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.slot(|slot| slot.at_ms != NEVER)
    }

    /// The worker's coarse clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.timers.now_ms()
    }

    fn set(&self, at_ms: u64) {
        self.slot(|slot| slot.at_ms = at_ms);
    }

    fn slot<T: Default>(&self, act: impl FnOnce(&mut Slot) -> T) -> T {
        self.timers.slots.borrow_mut().get_mut(self.key).map(act).unwrap_or_default()
    }

    /// Whether it has passed. If not, the task of `cx` is woken when it does.
    pub fn expired(&self, cx: &Context<'_>) -> bool {
        let now_ms = self.timers.now_ms();
        self.slot(|slot| {
            if slot.at_ms <= now_ms {
                return true;
            }
            match &slot.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => slot.waker = Some(cx.waker().clone()),
            }
            false
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.slot(|slot| *slot = Slot { at_ms: NEVER, waker: None });
        self.timers.free.borrow_mut().push(self.key);
    }
}

/// How fast a peer takes or gives bytes, counting only the time spent waiting for it (promise 17).
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    waiting_since_ms: Option<u64>,
    waited_ms: u64,
    bytes: u64,
}

/// Before this much waiting, nobody is judged.
const JUDGED_AFTER_MS: u64 = 30_000;

impl Pace {
    const NEW: Self = Self { waiting_since_ms: None, waited_ms: 0, bytes: 0 };

    /// The peer must move next.
    pub fn wait(&mut self, now_ms: u64) {
        self.waiting_since_ms.get_or_insert(now_ms);
    }

    /// The peer moved `bytes`.
    pub fn moved(&mut self, now_ms: u64, bytes: u64) {
        if let Some(since) = self.waiting_since_ms.take() {
            self.waited_ms = self.waited_ms.saturating_add(now_ms.saturating_sub(since));
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Below `rate_min` bytes a second over the time waited.
    #[must_use]
    pub fn too_slow(&self, rate_min: u64) -> bool {
        self.waited_ms >= JUDGED_AFTER_MS
            && self.bytes.saturating_mul(1000) < rate_min.saturating_mul(self.waited_ms)
    }
}

/// What one HTTP/2 stream waits for: that its client takes some of the response, and not too slowly. A closed window
/// stalls a stream without stalling the socket, and a fast stream beside a slow one says nothing about it.
#[derive(Debug)]
pub struct Stall {
    deadline: Deadline,
    pace: Cell<Pace>,
    /// Bytes handed out that the client has to take before more is asked for.
    given: Cell<u64>,
}

impl Stall {
    #[must_use]
    pub const fn new(deadline: Deadline) -> Self {
        Self { deadline, pace: Cell::new(Pace::NEW), given: Cell::new(0) }
    }

    /// `bytes` were handed out: the next step is the client's, within `limit`.
    pub fn wait(&self, limit: Duration, bytes: u64) {
        self.deadline.arm(limit);
        self.given.set(bytes);
        self.with_pace(|pace| pace.wait(self.deadline.now_ms()));
    }

    /// More is asked for: the client has taken what was given.
    pub fn moved(&self) {
        if self.deadline.is_armed() {
            self.deadline.disarm();
            let bytes = self.given.take();
            self.with_pace(|pace| pace.moved(self.deadline.now_ms(), bytes));
        }
    }

    /// Nothing is waited for any more.
    pub fn over(&self) {
        self.deadline.disarm();
    }

    /// Whether the client has not moved in time. If it has, the task of `cx` is woken when it has not.
    pub fn expired(&self, cx: &Context<'_>) -> bool {
        self.deadline.expired(cx)
    }

    /// Below `rate_min` bytes a second over the time waited.
    #[must_use]
    pub fn too_slow(&self, rate_min: u64) -> bool {
        self.pace.get().too_slow(rate_min)
    }

    fn with_pace(&self, act: impl FnOnce(&mut Pace)) {
        let mut pace = self.pace.get();
        act(&mut pace);
        self.pace.set(pace);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(deadline: &Deadline) -> bool {
        deadline.expired(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_deadline_fires_once_its_time_is_past_and_not_before() {
        let start = Instant::now();
        let timers = Timers::new(start);
        let deadline = timers.deadline();
        assert!(!expired(&deadline));
        deadline.arm(Duration::from_secs(10));
        timers.tick(start + Duration::from_millis(9_999));
        assert!(!expired(&deadline));
        timers.tick(start + Duration::from_secs(10));
        assert!(expired(&deadline));
        deadline.disarm();
        assert!(!expired(&deadline));
    }

    #[test]
    fn a_freed_place_is_used_again_unarmed() {
        let timers = Timers::new(Instant::now());
        let first = timers.deadline();
        first.arm(Duration::ZERO);
        let key = first.key;
        drop(first);
        let second = timers.deadline();
        assert_eq!(second.key, key);
        assert!(!second.is_armed());
    }

    #[test]
    fn only_time_spent_waiting_for_the_peer_counts_against_it() {
        let mut pace = Pace::default();
        pace.moved(0, 100);
        pace.moved(3_600_000, 100);
        assert!(!pace.too_slow(240), "nobody waited for it");
        for minute in 0..2 {
            pace.wait(4_000_000 + minute * 60_000);
            pace.moved(4_029_000 + minute * 60_000, 1);
        }
        assert!(pace.too_slow(240), "202 bytes in 58 s of waiting");
        assert!(!pace.too_slow(3));
    }

    #[test]
    fn a_stream_whose_client_takes_a_little_now_and_then_is_too_slow_in_the_end() {
        let timers = Timers::new(Instant::now());
        let stall = Stall::new(timers.deadline());
        let start = timers.base;
        let limit = Duration::from_secs(60);
        let taken = |bytes: u64, rounds: u64| {
            for round in 0..rounds {
                timers.tick(start + Duration::from_secs(round * 29));
                stall.wait(limit, bytes);
                timers.tick(start + Duration::from_secs((round + 1) * 29));
                assert!(!stall.expired(&Context::from_waker(Waker::noop())), "it moves in time");
                stall.moved();
            }
        };
        taken(1000, 1);
        assert!(!stall.too_slow(240), "not judged yet");
        taken(1000, 2);
        assert!(stall.too_slow(240), "3000 bytes in 87 s");
        taken(100_000, 1);
        assert!(!stall.too_slow(240));
    }
}
