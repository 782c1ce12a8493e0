//! How often a code may be wrong: whoever guesses has to wait, and nobody else has to.
//!
//! Bounds: [`WRONG_MAX`] wrong codes in a row within [`WINDOW`] of each user and token, [`ALL_MAX`] of all of them; root
//! and whoever palisade runs as wait for their own only. In memory: a restart forgets.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::elevation::Who;

/// Wrong codes in a row, of each caller.
pub const WRONG_MAX: usize = 5;
/// Of all callers. One that guesses cannot use up what the others may.
pub const ALL_MAX: usize = 30;
/// The time for that many. With one factor a guess in 333,333 is right, which takes one caller most of a year of guesses
/// that are all in the audit log; with 20 of them, eleven days.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Which codes were wrong, oldest first; a right one forgives those of its caller.
#[derive(Debug, Default)]
pub struct Throttle {
    wrong: VecDeque<(Instant, Who)>,
}

impl Throttle {
    /// `is_own` is whether the others' guesses are nothing to this caller.
    ///
    /// # Errors
    /// How long no code of the caller is looked at.
    pub fn look(&mut self, who: &Who, is_own: bool, now: Instant) -> Result<(), Duration> {
        self.wrong.retain(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
        let left = |at: &Instant| (*at + WINDOW).saturating_duration_since(now);
        let mut own = self.wrong.iter().filter(|(_, other)| other == who);
        let first = own.next().map(|(at, _)| left(at));
        let full = own.count() + 1 >= WRONG_MAX;
        if let Some(wait) = first.filter(|_| full) {
            return Err(wait);
        }
        match self.wrong.front() {
            Some((at, _)) if !is_own && self.wrong.len() >= ALL_MAX => Err(left(at)),
            _ => Ok(()),
        }
    }

    pub fn wrong(&mut self, who: &Who, now: Instant) {
        self.wrong.push_back((now, who.clone()));
    }

    pub fn right(&mut self, who: &Who) {
        self.wrong.retain(|(_, other)| other != who);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANNA: Who = Who::User(1);

    #[test]
    fn the_sixth_guess_waits_and_a_right_code_forgives() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..5 {
            assert_eq!(throttle.look(&ANNA, false, at(second)), Ok(()));
            throttle.wrong(&ANNA, at(second));
        }
        assert_eq!(throttle.look(&ANNA, false, at(10)), Err(Duration::from_secs(290)));
        assert_eq!(throttle.look(&ANNA, true, at(10)), Err(Duration::from_secs(290)));
        assert_eq!(throttle.look(&ANNA, false, at(300)), Ok(()), "the first of them is forgotten");
        throttle.right(&ANNA);
        for _ in 0..4 {
            throttle.wrong(&ANNA, at(300));
        }
        assert_eq!(throttle.look(&ANNA, false, at(300)), Ok(()));
    }

    #[test]
    fn whoever_guesses_locks_nobody_else_out() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let token = |number: usize| Who::Token(number.to_string());
        for _ in 0..WRONG_MAX {
            throttle.wrong(&token(0), now);
        }
        throttle.right(&ANNA);
        assert!(
            throttle.look(&token(0), false, now).is_err(),
            "another one's code forgives nothing"
        );
        assert_eq!(throttle.look(&ANNA, false, now), Ok(()));
        for number in WRONG_MAX..ALL_MAX {
            assert_eq!(throttle.look(&ANNA, false, now), Ok(()), "{number}");
            throttle.wrong(&token(number), now);
        }
        assert_eq!(throttle.look(&ANNA, false, now), Err(WINDOW));
        assert_eq!(throttle.look(&ANNA, true, now), Ok(()), "root always has its own");
    }

    proptest! {
        #[test]
        fn no_five_minutes_see_more_guesses_than_allowed(
            guesses in proptest::collection::vec((0_u64..20, 0_u32..9), 1..300),
        ) {
            let (mut throttle, mut now) = (Throttle::default(), Instant::now());
            let mut tried: Vec<(Instant, u32)> = Vec::new();
            for (gap, uid) in guesses {
                now += Duration::from_secs(gap);
                match throttle.look(&Who::User(uid), uid == 0, now) {
                    Ok(()) => {
                        throttle.wrong(&Who::User(uid), now);
                        tried.push((now, uid));
                    }
                    Err(wait) => prop_assert!(wait > Duration::ZERO && wait <= WINDOW),
                }
            }
            for uid in 0..9 {
                let own: Vec<_> = tried.iter().filter(|(_, who)| *who == uid).collect();
                for six in own.windows(WRONG_MAX + 1) {
                    prop_assert!(six[WRONG_MAX].0 - six[0].0 >= WINDOW);
                }
            }
            let most = ALL_MAX + WRONG_MAX;
            for all in tried.windows(most + 1) {
                prop_assert!(all[most].0 - all[0].0 >= WINDOW);
            }
            for uid in 0..9 {
                prop_assert!(throttle.look(&Who::User(uid), false, now + WINDOW).is_ok(), "it ends");
            }
        }
    }
}
