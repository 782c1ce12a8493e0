//! When an HTTP/2 connection on which nothing comes is asked whether it is still there, and when it is given up.
//!
//! Promises: nobody is asked who has nothing to do for us, and nobody so often that it is taken for an attack: gRPC servers
//! close a connection that asks again within five minutes and got nothing in between (gRFC A8).

use std::time::Duration;

/// Between two looks at a connection.
pub const LOOK: Duration = Duration::from_secs(10);
/// Looks without a byte before it is asked.
const QUIET_LOOKS: u32 = 2;
/// Looks after a question that may stay without a byte.
const ANSWER_LOOKS: u32 = 2;
/// Looks between two questions with nothing between them: more than five minutes.
const AGAIN_LOOKS: u32 = 31;
/// More than what a PING and other frames for the connection itself bring.
const WORDS_MIN: u64 = 128;

/// What is known of the silence of one connection.
#[derive(Debug, Default)]
pub struct Silence {
    heard: u64,
    quiet_looks: u32,
    /// The last question: looks since, bytes heard before it, and whether it still waits.
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    looks_ago: u32,
    heard: u64,
    waiting: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Ask,
    /// It has not answered.
    GiveUp,
}

impl Silence {
    /// One look: the bytes that have come so far, and the exchanges that wait for more.
    pub fn look(&mut self, heard: u64, exchanges: usize) -> Due {
        self.quiet_looks = if heard == self.heard { self.quiet_looks + 1 } else { 0 };
        self.heard = heard;
        if let Some(asked) = &mut self.asked {
            asked.looks_ago = asked.looks_ago.saturating_add(1);
            asked.waiting &= heard == asked.heard;
            if asked.waiting {
                let given_up = asked.looks_ago >= ANSWER_LOOKS;
                return if given_up { Due::GiveUp } else { Due::Nothing };
            }
        }
        let may = self.asked.as_ref().is_none_or(|asked| {
            asked.looks_ago >= AGAIN_LOOKS || heard.saturating_sub(asked.heard) >= WORDS_MIN
        });
        if exchanges == 0 || self.quiet_looks < QUIET_LOOKS || !may {
            return Due::Nothing;
        }
        self.asked = Some(Asked { looks_ago: 0, heard, waiting: true });
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_silent_is_asked_and_given_up() {
        let mut silence = Silence::default();
        let looks: Vec<Due> = (0..5).map(|_| silence.look(40, 1)).collect();
        assert_eq!(looks, [Due::Nothing, Due::Nothing, Due::Ask, Due::Nothing, Due::GiveUp]);
    }

    #[test]
    fn nobody_is_asked_for_nothing() {
        let mut silence = Silence::default();
        assert!((0..99).all(|_| silence.look(40, 0) == Due::Nothing));
    }

    #[test]
    fn who_answers_is_asked_again_only_after_five_minutes() {
        let mut silence = Silence::default();
        let mut heard = 40;
        let mut asked_at = Vec::new();
        for at in 0..100 {
            match silence.look(heard, 1) {
                Due::Nothing => {}
                Due::Ask => {
                    asked_at.push(at);
                    heard += 17; // the answer
                }
                Due::GiveUp => panic!("it has answered"),
            }
        }
        assert_eq!(asked_at.len(), 4);
        assert!(asked_at.windows(2).all(|two| (two[1] - two[0]) * LOOK.as_secs() > 300));
    }

    #[test]
    fn who_has_spoken_since_may_be_asked_sooner() {
        let mut silence = Silence::default();
        let looks: Vec<Due> = (0..3).map(|_| silence.look(40, 1)).collect();
        assert_eq!(looks.last(), Some(&Due::Ask));
        let looks: Vec<Due> = (0..3).map(|_| silence.look(4000, 1)).collect();
        assert_eq!(looks, [Due::Nothing, Due::Nothing, Due::Ask]);
    }
}
