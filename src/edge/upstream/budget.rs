//! How many second tries there may be: a share of the requests, so that an app that is dying is not asked twice as
//! often as one that is well.
//!
//! Pure, and each worker's own. Bounds: the share of the requests of about ten seconds, and [`FLOOR_PER_S`] besides, so
//! that a site with few visitors has second tries too.

use std::cell::{Cell, RefCell};

/// Seconds that are looked at.
const WINDOW_S: u64 = 10;
/// Second tries that need no requests to be a share of.
pub const FLOOR_PER_S: u64 = 1;

#[derive(Debug)]
pub struct Budget {
    percent: u64,
    /// The second that is under way, and its requests.
    now_s: Cell<u64>,
    requests: Cell<u64>,
    before: RefCell<Before>,
}

/// The seconds before, each in its place.
#[derive(Debug, Default)]
struct Before {
    requests: [Second; WINDOW_S as usize],
    tries: [Second; WINDOW_S as usize],
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    at_s: u64,
    count: u64,
}

impl Budget {
    pub fn new(percent: u8) -> Self {
        Self {
            percent: u64::from(percent),
            now_s: Cell::new(0),
            requests: Cell::new(0),
            before: RefCell::default(),
        }
    }

    /// A request has come.
    pub fn request(&self, now_ms: u64) {
        if now_ms / 1000 != self.now_s.get() {
            self.turn(now_ms / 1000);
        }
        self.requests.set(self.requests.get() + 1);
    }

    /// Takes a second try, if there is one.
    pub fn take(&self, now_ms: u64) -> bool {
        let now_s = now_ms / 1000;
        self.turn(now_s);
        let mut before = self.before.borrow_mut();
        let requests = sum(&before.requests, now_s) + self.requests.get();
        let tries = sum(&before.tries, now_s);
        let allowed = (requests * self.percent).div_ceil(100) + FLOOR_PER_S * WINDOW_S;
        if self.percent == 0 || tries >= allowed {
            return false;
        }
        add(&mut before.tries, now_s, 1);
        true
    }

    /// What was counted goes to the seconds before.
    fn turn(&self, now_s: u64) {
        let second = self.now_s.replace(now_s);
        add(&mut self.before.borrow_mut().requests, second, self.requests.take());
    }
}

fn sum(seconds: &[Second], now_s: u64) -> u64 {
    let recent = seconds.iter().filter(|second| second.at_s + WINDOW_S > now_s);
    recent.map(|second| second.count).sum()
}

fn add(seconds: &mut [Second], at_s: u64, count: u64) {
    let place = usize::try_from(at_s % WINDOW_S).unwrap_or(0);
    let Some(second) = seconds.get_mut(place) else { return };
    if second.at_s != at_s {
        *second = Second { at_s, count: 0 };
    }
    second.count += count;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(budget: &Budget, now_ms: u64) -> usize {
        (0..10_000).take_while(|_| budget.take(now_ms)).count()
    }

    #[test]
    fn a_share_of_the_requests_and_a_few_besides() {
        let budget = Budget::new(20);
        (0..500).for_each(|n| budget.request(40_000 + n * 10));
        assert_eq!(taken(&budget, 45_000), 100 + 10);
        assert!(!budget.take(46_000), "they were taken a second ago");
        assert_eq!(taken(&budget, 70_000), 10, "and are forgotten by now");
    }

    #[test]
    fn none_is_none() {
        let budget = Budget::new(0);
        (0..500).for_each(|_| budget.request(0));
        assert_eq!(taken(&budget, 0), 0);
    }

    proptest! {
        #[test]
        fn there_is_one_exactly_while_the_window_has_room(
            percent in 1_u8..=100,
            gaps in proptest::collection::vec((0_u64..400, any::<bool>()), 1..600),
        ) {
            let budget = Budget::new(percent);
            let (mut now_ms, mut requests, mut tries) = (0, Vec::new(), Vec::new());
            for (gap, fails) in gaps {
                now_ms += gap;
                budget.request(now_ms);
                requests.push(now_ms / 1000);
                let recent = |all: &[u64]| all.iter().filter(|s| *s + 10 > now_ms / 1000).count();
                let share = (recent(&requests) * usize::from(percent)).div_ceil(100);
                let room = recent(&tries) < share + 10;
                if fails {
                    prop_assert_eq!(budget.take(now_ms), room);
                    tries.extend(room.then_some(now_ms / 1000));
                }
            }
        }
    }
}
