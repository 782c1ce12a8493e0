//! What the answers of an upstream add up to, and when to ask again.

use std::time::Duration;

use crate::ports::health::Health;

/// The first pause after a ping that failed; doubled up to the usual one.
pub const PING_RETRY: Duration = Duration::from_secs(1);

/// So often in each pause between pings it is seen whether visitors are answered: more often than a tenth of the pause is
/// of no use to anybody.
pub const LOOKS: u32 = 10;

/// Counts the answers of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    health: Health,
    /// The next answer decides alone.
    fresh: bool,
    /// Answers in a row that speak against `health`.
    against: u32,
}

impl Counter {
    /// Begins with what is believed so far; the first answer settles it.
    #[must_use]
    pub const fn new(health: Health) -> Self {
        Self { health, fresh: true, against: 0 }
    }

    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Takes an answer; the new state if it is another one now.
    pub fn take(&mut self, good: bool, rise: u32, fall: u32) -> Option<Health> {
        let says = if good { Health::Up } else { Health::Down };
        let first = std::mem::take(&mut self.fresh);
        if says == self.health {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if good { rise } else { fall };
        if !first && self.health != Health::Unknown && self.against < needed {
            return None;
        }
        self.health = says;
        self.against = 0;
        Some(says)
    }
}

/// When a ping that failed is repeated, after so many failures in a row.
#[must_use]
pub fn next_ping(failures: u32, every: Duration) -> Duration {
    PING_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(every)
}

/// A pause a little shorter or longer, at most by a tenth, so that those who began together part. `random` is any number.
#[must_use]
pub fn spread(pause: Duration, random: u32) -> Duration {
    let tenth = pause / 10;
    (pause - tenth).saturating_add(part(tenth.saturating_mul(2), random))
}

/// The share of `whole` that `random` is of all numbers.
#[must_use]
pub fn part(whole: Duration, random: u32) -> Duration {
    whole.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(counter: &mut Counter, answers: &str, rise: u32, fall: u32) -> Vec<Option<Health>> {
        answers.chars().map(|answer| counter.take(answer == '+', rise, fall)).collect()
    }

    #[test]
    fn the_first_answer_settles_it() {
        for (answer, health) in [("+", Health::Up), ("-", Health::Down)] {
            let mut counter = Counter::new(Health::Unknown);
            assert_eq!(taken(&mut counter, answer, 5, 5), [Some(health)]);
        }
        let mut counter = Counter::new(Health::Up);
        assert_eq!(taken(&mut counter, "-", 5, 5), [Some(Health::Down)], "of another check");
        let mut counter = Counter::new(Health::Up);
        assert_eq!(taken(&mut counter, "+-", 5, 5), [None, None], "nothing has changed");
    }

    #[test]
    fn it_falls_and_rises_after_so_many_in_a_row() {
        let mut counter = Counter::new(Health::Unknown);
        let (down, up) = (Some(Health::Down), Some(Health::Up));
        assert_eq!(
            taken(&mut counter, "+--+---++-++", 2, 3),
            [up, None, None, None, None, None, down, None, up, None, None, None]
        );
    }

    proptest! {
        #[test]
        fn a_state_changes_only_to_what_the_last_answers_all_say(
            answers in proptest::collection::vec(any::<bool>(), 0..60),
            rise in 1_u32..5,
            fall in 1_u32..5,
        ) {
            let mut counter = Counter::new(Health::Unknown);
            for (at, good) in answers.iter().enumerate() {
                let changed = counter.take(*good, rise, fall);
                prop_assert_eq!(changed.is_some_and(|to| to != counter.health()), false);
                if let (Some(to), 1..) = (changed, at) {
                    let needed = if to == Health::Up { rise } else { fall } as usize;
                    prop_assert!(at + 1 >= needed);
                    let last = &answers[at + 1 - needed..=at];
                    prop_assert!(last.iter().all(|good| *good == (to == Health::Up)));
                }
            }
        }
    }

    #[test]
    fn a_ping_that_failed_is_repeated_soon_and_then_less_often() {
        let every = Duration::from_secs(20);
        let waits: Vec<u64> = (1..8).map(|failures| next_ping(failures, every).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(next_ping(u32::MAX, every), every);
    }

    #[test]
    fn pauses_are_spread_by_a_tenth() {
        let pause = Duration::from_secs(10);
        assert_eq!(spread(pause, 0), Duration::from_secs(9));
        assert_eq!(spread(pause, u32::MAX), Duration::from_secs(11));
    }
}
