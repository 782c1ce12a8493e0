//! What an answer about a name means: which addresses count from now on, when to ask again, and what is worth a word.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::names::Known;
use crate::ports::{Resolved, Unresolved};

/// A name that is asked for more often than this would be asked for all the time.
pub const VALID_MIN: Duration = Duration::from_secs(1);
/// A mistake that somebody has put right in DNS is taken by then, whatever it said before.
pub const VALID_MAX: Duration = Duration::from_secs(300);
/// Between the tries while there is no address, doubled from [`VALID_MIN`] to this.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// Of one name.
const ADDRESSES_MAX: usize = 64;

/// What is remembered of a name.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last addresses that DNS gave and has not taken back.
    pub good: Option<Arc<[IpAddr]>>,
    /// Why the last question brought none.
    fault: Option<Unresolved>,
    failures: u32,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    None,
    /// There is no address any more, or DNS is silent: the addresses that are used on, if any.
    Failed {
        why: Unresolved,
        used_on: Vec<IpAddr>,
    },
    /// After that, it resolves again.
    Back(Vec<IpAddr>),
    /// None of the addresses is one of before.
    Moved {
        from: Vec<IpAddr>,
        to: Vec<IpAddr>,
    },
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub known: Known,
    pub again_in: Duration,
    pub word: Word,
}

impl Memory {
    /// Takes an answer.
    pub fn take(&mut self, answer: Result<Resolved, Unresolved>) -> Outcome {
        match answer {
            Ok(resolved) => self.resolved(resolved),
            Err(why) => self.failed(why),
        }
    }

    fn resolved(&mut self, resolved: Resolved) -> Outcome {
        let new: Arc<[IpAddr]> = resolved.addresses.into_iter().take(ADDRESSES_MAX).collect();
        let before = self.good.take();
        let old = before.as_deref().unwrap_or_default();
        let word = if self.fault.take().is_some() {
            Word::Back(new.to_vec())
        } else if !old.is_empty() && !new.iter().any(|ip| old.contains(ip)) {
            Word::Moved { from: old.to_vec(), to: new.to_vec() }
        } else {
            Word::None
        };
        // Servers answer in another order each time; that changes nothing.
        let same = old.len() == new.len() && new.iter().all(|ip| old.contains(ip));
        let good = before.filter(|_| same).unwrap_or(new);
        self.good = Some(Arc::clone(&good));
        self.failures = 0;
        let again_in = resolved.valid_for.clamp(VALID_MIN, VALID_MAX);
        Outcome { known: Ok(good), again_in, word }
    }

    fn failed(&mut self, why: Unresolved) -> Outcome {
        if why.is_answer() {
            self.good = None;
        }
        let again_in = VALID_MIN.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        let known = self.good.clone().ok_or_else(|| why.clone());
        let used_on = self.good.as_deref().unwrap_or_default().to_vec();
        // Said once per state, however the words about it change: down, and gone.
        let new = self.fault.as_ref().is_none_or(|old| old.is_answer() != why.is_answer());
        self.fault = Some(why.clone());
        let word = if new { Word::Failed { why, used_on } } else { Word::None };
        Outcome { known, again_in, word }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn gives(texts: &[&str], valid_s: u64) -> Result<Resolved, Unresolved> {
        Ok(Resolved { addresses: ips(texts), valid_for: Duration::from_secs(valid_s) })
    }

    fn silent() -> Result<Resolved, Unresolved> {
        Err(Unresolved::NoAnswer("no DNS server answered in time".into()))
    }

    #[test]
    fn a_name_is_asked_for_again_when_its_time_is_over_within_bounds() {
        let mut memory = Memory::default();
        for (valid_s, again_s) in [(0, 1), (7, 7), (86_400, 300)] {
            let outcome = memory.take(gives(&["192.0.2.1"], valid_s));
            assert_eq!(outcome.again_in, Duration::from_secs(again_s));
            assert_eq!(outcome.word, Word::None);
        }
    }

    #[test]
    fn the_last_addresses_are_used_while_dns_is_silent_and_said_once() {
        let mut memory = Memory::default();
        memory.take(gives(&["192.0.2.1"], 5));
        let mut waits = Vec::new();
        for round in 0..7 {
            let outcome = memory.take(silent());
            assert_eq!(outcome.known.expect("used on").to_vec(), ips(&["192.0.2.1"]));
            assert_eq!(outcome.word != Word::None, round == 0);
            waits.push(outcome.again_in.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        let outcome = memory.take(gives(&["192.0.2.1"], 5));
        assert_eq!(outcome.word, Word::Back(ips(&["192.0.2.1"])));
        assert_eq!(memory.take(silent()).again_in, VALID_MIN);
    }

    #[test]
    fn a_name_that_dns_says_is_gone_has_no_address_any_more() {
        let mut memory = Memory::default();
        memory.take(gives(&["192.0.2.1"], 5));
        memory.take(silent());
        let outcome = memory.take(Err(Unresolved::Missing));
        assert_eq!(outcome.known, Err(Unresolved::Missing));
        assert_eq!(outcome.word, Word::Failed { why: Unresolved::Missing, used_on: Vec::new() });
        assert!(memory.take(silent()).known.is_err(), "what is gone does not come back in silence");
    }

    #[test]
    fn another_order_changes_nothing_and_another_machine_is_said() {
        let mut memory = Memory::default();
        let first = memory.take(gives(&["192.0.2.1", "192.0.2.2"], 5)).known;
        assert_eq!(memory.take(gives(&["192.0.2.2", "192.0.2.1"], 5)).known, first);
        assert_eq!(memory.take(gives(&["192.0.2.2"], 5)).word, Word::None);
        assert_eq!(
            memory.take(gives(&["192.0.2.9"], 5)).word,
            Word::Moved { from: ips(&["192.0.2.2"]), to: ips(&["192.0.2.9"]) }
        );
    }
}
