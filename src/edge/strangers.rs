//! Clients that ask for names no site has (promise 7): a few get a polite alert, the rest a closed connection.
//!
//! Pure: the time is a parameter. Bounds: [`TABLE_MAX`] prefixes and [`NAMES_MAX`] names. Room is made by forgetting
//! those that owe least, so an offender cannot buy itself free with other addresses (promise 31); when nobody can be
//! forgotten, newcomers share one bucket.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::base::{Host, IpKey};

/// Polite answers at once, and in a minute.
const BURST: u64 = 20;
const INTERVAL_MS: u64 = 60_000 / BURST;
const WINDOW_MS: u64 = BURST * INTERVAL_MS;
/// An offender is somebody who has used up half of the burst.
const OFFENCE_MS: u64 = WINDOW_MS / 2;
const TABLE_MAX: usize = 4096;
/// Between two looks for room in a full table: each visits every entry.
const SWEEP_MS: u64 = 1000;
const NAMES_MAX: usize = 1024;

/// What one worker remembers.
#[derive(Debug, Default)]
pub struct Strangers {
    /// When each prefix has paid for its answers (GCRA: the theoretical arrival time).
    paid_at_ms: HashMap<IpKey, u64>,
    /// The same for all that found no room.
    others_paid_at_ms: u64,
    swept_at_ms: Option<u64>,
    /// Names found unknown, in one generation of the policy only: a reload that adds one is obeyed at once. A question
    /// to somebody else about a name, once there is one, is spared by this too.
    names: HashSet<Host>,
    generation: u64,
}

impl Strangers {
    /// Whether this client still gets an answer; counts the question.
    pub fn may_be_answered(&mut self, peer: IpAddr, now_ms: u64) -> bool {
        let key = IpKey::of(peer);
        if !self.paid_at_ms.contains_key(&key) && self.paid_at_ms.len() >= TABLE_MAX {
            self.sweep(now_ms);
        }
        let full = self.paid_at_ms.len() >= TABLE_MAX;
        let paid_at_ms = match self.paid_at_ms.get_mut(&key) {
            Some(paid_at_ms) => paid_at_ms,
            None if full => &mut self.others_paid_at_ms,
            None => self.paid_at_ms.entry(key).or_insert(0),
        };
        let next = now_ms.max(*paid_at_ms).saturating_add(INTERVAL_MS);
        let fits = next <= now_ms.saturating_add(WINDOW_MS);
        if fits {
            *paid_at_ms = next;
        }
        fits
    }

    /// Forgets whoever is no offender; at most once a second.
    fn sweep(&mut self, now_ms: u64) {
        if self.swept_at_ms.is_some_and(|at| now_ms.saturating_sub(at) < SWEEP_MS) {
            return;
        }
        self.swept_at_ms = Some(now_ms);
        self.paid_at_ms.retain(|_, paid_at| paid_at.saturating_sub(now_ms) >= OFFENCE_MS);
    }

    /// Whether no site of this generation has the name, as far as it was looked for.
    pub fn knows_as_unknown(&self, name: &Host, generation: u64) -> bool {
        self.generation == generation && self.names.contains(name)
    }

    /// No site of this generation has the name.
    pub fn note_unknown(&mut self, name: &Host, generation: u64) {
        if self.generation != generation || self.names.len() >= NAMES_MAX {
            self.names.clear();
            self.generation = generation;
        }
        self.names.insert(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    fn answered(strangers: &mut Strangers, peer: IpAddr, now_ms: u64, times: u64) -> u64 {
        (0..times).map(|_| u64::from(strangers.may_be_answered(peer, now_ms))).sum()
    }

    #[test]
    fn a_burst_is_answered_and_then_one_every_three_seconds() {
        let mut strangers = Strangers::default();
        assert_eq!(answered(&mut strangers, v4(1), 5_000, 100), BURST);
        assert_eq!(answered(&mut strangers, v4(1), 5_000 + INTERVAL_MS - 1, 10), 0);
        assert_eq!(answered(&mut strangers, v4(1), 5_000 + INTERVAL_MS, 10), 1);
        assert_eq!(answered(&mut strangers, v4(2), 5_000, 100), BURST, "another address");
        assert_eq!(answered(&mut strangers, v4(1), 200_000, 100), BURST);
    }

    #[test]
    fn a_64_and_a_mapped_address_are_one_client() {
        let mut strangers = Strangers::default();
        let v6 = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n));
        assert_eq!(answered(&mut strangers, v6(1), 0, 15), 15);
        assert_eq!(answered(&mut strangers, v6(2), 0, 15), 5);
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(answered(&mut strangers, mapped, 0, 15), 15);
        assert_eq!(answered(&mut strangers, v4(1), 0, 15), 5);
    }

    #[test]
    fn a_crowd_of_addresses_frees_no_offender_and_the_table_stays_bounded() {
        let mut strangers = Strangers::default();
        assert_eq!(answered(&mut strangers, v4(0), 0, 100), BURST);
        for n in 1..20_000 {
            strangers.may_be_answered(v4(n), u64::from(n) / 1000);
        }
        assert!(strangers.paid_at_ms.len() <= TABLE_MAX);
        assert_eq!(answered(&mut strangers, v4(0), 20, 100), 0, "still an offender");
    }

    #[test]
    fn where_everybody_is_an_offender_newcomers_share_one_bucket() {
        let mut strangers = Strangers::default();
        for n in 0..TABLE_MAX {
            answered(&mut strangers, v4(u32::try_from(n).expect("small")), 0, BURST);
        }
        let newcomers: u64 =
            (0..1000).map(|n| answered(&mut strangers, v4(1_000_000 + n), 0, 1)).sum();
        assert_eq!(newcomers, BURST);
        assert_eq!(strangers.paid_at_ms.len(), TABLE_MAX);
        assert_eq!(answered(&mut strangers, v4(2_000_000), WINDOW_MS, 100), BURST, "room again");
    }

    #[test]
    fn an_unknown_name_is_remembered_for_one_generation_only() {
        let mut strangers = Strangers::default();
        let name = |text: &str| text.parse::<Host>().expect("a host");
        strangers.note_unknown(&name("a.example"), 1);
        assert!(strangers.knows_as_unknown(&name("a.example"), 1));
        assert!(!strangers.knows_as_unknown(&name("b.example"), 1));
        assert!(!strangers.knows_as_unknown(&name("a.example"), 2));
        strangers.note_unknown(&name("b.example"), 2);
        assert!(!strangers.knows_as_unknown(&name("a.example"), 1));
        for n in 0..3 * NAMES_MAX {
            strangers.note_unknown(&name(&format!("n{n}.example")), 2);
        }
        assert!(strangers.names.len() <= NAMES_MAX);
    }
}
