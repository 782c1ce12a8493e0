//! How many requests one subscriber is shown. Pure: counts of a tick in, one in how many out.
//!
//! Errors and refusals have their own share, so that a flood of ordinary requests does not hide them.

/// Ticks that make a second.
pub(super) const TICKS_PER_SECOND: usize = 10;
/// Requests shown a second.
const SHOWN_MAX: u64 = 500;
/// Of those, at most so many are kept for errors and refusals.
const NOTABLE_MAX: u64 = 250;

/// Requests of a tick: ordinary ones, and errors and refusals.
pub(super) type Counts = [u64; 2];

/// The rate at which a subscriber's requests come, and what follows from it.
#[derive(Debug)]
pub(super) struct Meter {
    last_second: [Counts; TICKS_PER_SECOND],
    next: usize,
    one_in: [u32; 2],
    /// Ticks in a row that would have allowed to show more.
    calm: [usize; 2],
}

impl Default for Meter {
    fn default() -> Self {
        Self { last_second: Default::default(), next: 0, one_in: [1; 2], calm: [0; 2] }
    }
}

impl Meter {
    /// Adds the counts of one tick and returns one in how many to show from now on: powers of two, raised at once,
    /// lowered after a second that would have allowed it.
    pub fn tick(&mut self, counts: Counts) -> [u32; 2] {
        if let Some(slot) = self.last_second.get_mut(self.next) {
            *slot = counts;
        }
        self.next = (self.next + 1) % TICKS_PER_SECOND;
        let [ordinary, notable] = self
            .last_second
            .iter()
            .fold([0, 0], |[a, b]: Counts, [x, y]| [a.saturating_add(*x), b.saturating_add(*y)]);
        let left = SHOWN_MAX - notable.min(NOTABLE_MAX);
        let enough = [one_in(ordinary, left), one_in(notable, NOTABLE_MAX)];
        for ((now, calm), enough) in self.one_in.iter_mut().zip(&mut self.calm).zip(enough) {
            *calm = if enough < *now { *calm + 1 } else { 0 };
            if enough > *now || *calm >= TICKS_PER_SECOND {
                *now = enough;
                *calm = 0;
            }
        }
        self.one_in
    }
}

fn one_in(rate: u64, most: u64) -> u32 {
    let times = rate.div_ceil(most.max(1)).clamp(1, 1 << 30);
    u32::try_from(times).unwrap_or(1 << 30).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(meter: &mut Meter, ticks: usize, counts: Counts) -> [u32; 2] {
        (0..ticks).map(|_| meter.tick(counts)).last().expect("at least one tick")
    }

    #[test]
    fn a_quiet_site_is_shown_whole() {
        assert_eq!(run(&mut Meter::default(), 30, [50, 0]), [1, 1]);
        assert_eq!(run(&mut Meter::default(), 30, [20, 25]), [1, 1]);
    }

    #[test]
    fn a_busy_site_is_sampled_and_its_errors_are_not() {
        let mut meter = Meter::default();
        assert_eq!(run(&mut meter, 10, [1000, 2]), [32, 1]);
        assert_eq!(run(&mut meter, 10, [1000, 1000]), [64, 64]);
    }

    #[test]
    fn showing_more_again_takes_a_quiet_second() {
        let mut meter = Meter::default();
        run(&mut meter, 10, [1000, 0]);
        assert_eq!(run(&mut meter, 9, [0, 0]), [32, 1]);
        let calm = run(&mut meter, 20, [10, 0]);
        assert_eq!(calm, [1, 1]);
    }
}
