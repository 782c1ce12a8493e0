//! How often a code may be wrong: whoever guesses has to wait, and so has everyone with a code meanwhile.
//!
//! Bounds: [`WRONG_MAX`] wrong codes in a row within [`WINDOW`], over the whole daemon. In memory: a restart forgets.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Wrong codes in a row.
pub const WRONG_MAX: usize = 5;
/// The time for that many. With one factor a guess in 333,333 is right, which takes most of a year of guesses that are
/// all in the audit log; with 20 of them, eleven days.
pub const WINDOW: Duration = Duration::from_secs(300);

/// When codes were wrong since the last one that was right, oldest first.
#[derive(Debug, Default)]
pub struct Throttle {
    wrong: VecDeque<Instant>,
}

impl Throttle {
    /// # Errors
    /// How long no code is looked at.
    pub fn look(&mut self, now: Instant) -> Result<(), Duration> {
        let over = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        while self.wrong.front().is_some_and(over) {
            self.wrong.pop_front();
        }
        match self.wrong.front() {
            Some(first) if self.wrong.len() >= WRONG_MAX => {
                Err((*first + WINDOW).saturating_duration_since(now))
            }
            _ => Ok(()),
        }
    }

    pub fn wrong(&mut self, now: Instant) {
        self.wrong.push_back(now);
    }

    pub fn right(&mut self) {
        self.wrong.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sixth_guess_waits_and_a_right_code_forgives() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..5 {
            assert_eq!(throttle.look(at(second)), Ok(()));
            throttle.wrong(at(second));
        }
        assert_eq!(throttle.look(at(10)), Err(Duration::from_secs(290)));
        assert_eq!(throttle.look(at(300)), Ok(()), "the first of them is forgotten");
        throttle.right();
        for _ in 0..4 {
            throttle.wrong(at(300));
        }
        assert_eq!(throttle.look(at(300)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_five_minutes_see_more_guesses_than_allowed(
            gaps in proptest::collection::vec(0_u64..200, 1..200),
        ) {
            let (mut throttle, mut now) = (Throttle::default(), Instant::now());
            let mut tried = Vec::new();
            for gap in gaps {
                now += Duration::from_secs(gap);
                match throttle.look(now) {
                    Ok(()) => {
                        throttle.wrong(now);
                        tried.push(now);
                    }
                    Err(wait) => prop_assert!(wait > Duration::ZERO && wait <= WINDOW),
                }
            }
            for six in tried.windows(WRONG_MAX + 1) {
                prop_assert!(six[WRONG_MAX] - six[0] >= WINDOW);
            }
            prop_assert!(throttle.look(now + WINDOW).is_ok(), "it ends by itself");
        }
    }
}
